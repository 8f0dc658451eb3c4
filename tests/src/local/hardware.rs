//! The simulated hardware as its control endpoint tells it.

use anyhow::Context;
use kube::Client;
use scaleset_hardware::Machine;
use scaleset_hardware::sim::{Call, JournalEntry, Outcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: usize = 500;

/// The control endpoint of one controller.
#[derive(Clone)]
pub struct HardwareEndpoint {
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MachinePage {
    machines: Vec<Machine>,
    next_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JournalPage {
    entries: Vec<JournalEntry>,
    next_after: Option<u64>,
}

impl HardwareEndpoint {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The machines whose objects are in a namespace.
    pub async fn machines(&self, namespace: &str) -> anyhow::Result<Vec<Machine>> {
        let (mut machines, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/machines?namespace={namespace}&limit={PAGE}&after={after}");
            let page: MachinePage = self.send(http::Method::GET, &path, &Value::Null).await?;
            machines.extend(page.machines);
            match page.next_after {
                Some(next) => after = next,
                None => return Ok(machines),
            }
        }
    }

    /// What was asked of the machines whose objects are in a namespace, oldest first.
    pub async fn journal(&self, namespace: &str) -> anyhow::Result<Vec<JournalEntry>> {
        let owner = format!("{namespace}/");
        let entries = self.journal_after(0).await?.into_iter();
        Ok(entries.filter(|entry| entry.owner.starts_with(&owner)).collect())
    }

    /// Everything that was asked after the call of that number, oldest first.
    pub async fn journal_after(&self, number: u64) -> anyhow::Result<Vec<JournalEntry>> {
        let (mut entries, mut after) = (Vec::new(), number);
        loop {
            let path = format!("/journal?limit={PAGE}&after={after}");
            let page: JournalPage = self.send(http::Method::GET, &path, &Value::Null).await?;
            entries.extend(page.entries);
            match page.next_after {
                Some(next) => after = next,
                None => return Ok(entries),
            }
        }
    }

    /// Sends one request and reads its answer.
    pub async fn send<T: DeserializeOwned>(&self, method: http::Method, path: &str, body: &Value) -> anyhow::Result<T> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let request = http::Request::builder().method(method.clone()).uri(path);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").body(bytes)?;
        let answer = self.client.request_text(request).await.with_context(|| format!("{method} {path}"))?;
        serde_json::from_str(&answer).with_context(|| format!("{method} {path} answers {answer}"))
    }
}

/// The calls of that kind that took effect, whether or not the caller was told so.
pub fn effective(journal: &[JournalEntry], call: Call) -> Vec<&JournalEntry> {
    let took_effect = |outcome: &Outcome| match outcome {
        Outcome::Accepted | Outcome::AnswerLost => true,
        Outcome::Unchanged | Outcome::Refused { .. } => false,
    };
    journal.iter().filter(|entry| entry.call == call && took_effect(&entry.outcome)).collect()
}
