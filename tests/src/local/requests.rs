//! What an API server was asked, from its own metrics.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use kube::Client;

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKind {
    /// Resource, with its subresource: `scalesetvms/status`.
    pub resource: String,
    /// `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `LIST`, `GET`, `WATCH`.
    pub verb: String,
}

/// How often an API server was asked, by kind of request, also in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<RequestKind, u64>);

impl Requests {
    /// What the server has been asked since it was started.
    pub async fn of(client: &Client) -> anyhow::Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Self::parse(&client.request_text(request).await?)
    }

    fn parse(metrics: &str) -> anyhow::Result<Self> {
        let mut counts: BTreeMap<RequestKind, u64> = BTreeMap::new();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("apiserver_request_total{") else { continue };
            let (labels, count) = rest.rsplit_once("} ").with_context(|| line.to_owned())?;
            let labels: BTreeMap<&str, &str> =
                labels.split("\",").filter_map(|label| label.trim_end_matches('"').split_once("=\"")).collect();
            let label = |name| labels.get(name).copied().unwrap_or_default();
            let resource = match (label("resource"), label("subresource")) {
                (resource, "") => resource.to_owned(),
                (resource, subresource) => format!("{resource}/{subresource}"),
            };
            let kind = RequestKind { resource, verb: label("verb").to_owned() };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count, written like 1.2e+06"
            )]
            let count = count.parse::<f64>()? as u64;
            *counts.entry(kind).or_default() += count;
        }
        Ok(Self(counts))
    }

    /// What was asked between `earlier` and this.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |kind: &RequestKind| earlier.0.get(kind).copied().unwrap_or(0);
        let later = self.0.iter().map(|(kind, count)| (kind.clone(), count.saturating_sub(before(kind))));
        Self(later.filter(|(_, count)| *count > 0).collect())
    }

    /// Those that `wanted` picks.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&RequestKind) -> bool) -> Self {
        Self(self.0.iter().filter(|(kind, _)| wanted(kind)).map(|(kind, count)| (kind.clone(), *count)).collect())
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// By kind of request, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestKind, u64)> {
        self.0.iter().map(|(kind, count)| (kind, *count))
    }
}

impl RequestKind {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"].contains(&self.verb.as_str())
    }

    /// Whether it reads a whole collection.
    pub fn is_list(&self) -> bool {
        self.verb == "LIST"
    }

    /// Whether it is about what the controller works with: our kinds, revisions, events.
    pub fn is_ours(&self) -> bool {
        let resource = self.resource.split('/').next().unwrap_or_default();
        let ours =
            ["scalesets", "scalesetvms", "flexvms", "capacityreservationgroups", "controllerrevisions", "events"];
        ours.contains(&resource)
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (RequestKind { resource, verb }, count) in self.iter() {
            let comma = if first { "" } else { ", " };
            write!(formatter, "{comma}{count} {verb} {resource}")?;
            first = false;
        }
        if first { write!(formatter, "none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_codes_and_tells_subresources_apart() {
        let text = "\
# HELP apiserver_request_total Counter\n\
apiserver_request_total{code=\"201\",component=\"apiserver\",resource=\"scalesetvms\",subresource=\"\",verb=\"POST\"} 3\n\
apiserver_request_total{code=\"409\",component=\"apiserver\",resource=\"scalesetvms\",subresource=\"\",verb=\"POST\"} 1\n\
apiserver_request_total{code=\"200\",component=\"apiserver\",resource=\"scalesetvms\",subresource=\"status\",verb=\"APPLY\"} 1e+03\n\
apiserver_request_duration_seconds_count{verb=\"POST\"} 7\n";
        let requests = Requests::parse(text).unwrap();
        assert_eq!(requests.to_string(), "4 POST scalesetvms, 1000 APPLY scalesetvms/status");
        assert_eq!(requests.since(&requests).to_string(), "none");
        assert_eq!(requests.only(|kind| kind.resource == "scalesetvms").total(), 4);
    }
}
