//! A Prometheus of its own, which scrapes one target each second.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use kube::{Client, Config};
use scaleset_control_plane::{Supervisor, free_addresses};
use scaleset_tests::local::until;
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// Points of a series: seconds since the epoch, and value.
pub(crate) type Points = Vec<(f64, f64)>;

/// It ends when this is dropped.
pub(crate) struct Prometheus {
    client: Client,
    _supervisor: Supervisor,
    _directory: TempDir,
}

impl Prometheus {
    pub(crate) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let configuration = directory.path().join("prometheus.yaml");
        fs::write(&configuration, scrape(target))?;
        let [address] = free_addresses()?;
        let mut supervisor = Supervisor::removing(None)?;
        let arguments = [
            format!("--config.file={}", configuration.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let program = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("prometheus"))
            .find(|path| path.is_file())
            .context("no prometheus on PATH: apt-get install prometheus")?;
        supervisor.start(&program, &arguments, &directory.path().join("prometheus.log"))?;
        let client = Client::try_from(Config::new(format!("http://{address}").parse()?))?;
        until("prometheus is ready", LIMIT, async || {
            Ok(client.request_text(http::Request::get("/-/ready").body(Vec::new())?).await?)
        })
        .await?;
        Ok(Self { client, _supervisor: supervisor, _directory: directory })
    }

    /// The series of an expression, one point for each second of the span.
    pub(crate) async fn range(
        &self,
        expression: &str,
        (begin, end): (Timestamp, Timestamp),
    ) -> anyhow::Result<Vec<(Value, Points)>> {
        let query = encoded(expression);
        let path =
            format!("/api/v1/query_range?query={query}&start={}&end={}&step=1", begin.as_second(), end.as_second());
        let answer = self.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["status"] == "success", "{answer}");
        let series = answer["data"]["result"].as_array().context("a list of series")?;
        Ok(series.iter().map(|one| (one["metric"].clone(), points(&one["values"]))).collect())
    }
}

/// As the Prometheus operator makes it of the chart's `ServiceMonitor`: the target has the namespace of its pod as a label, and
/// the series keep theirs.
fn scrape(target: SocketAddr) -> String {
    format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - job_name: scaleset\n  \
           honor_labels: true\n  \
           static_configs: [{{targets: ['{target}'], labels: {{namespace: scaleset-system}}}}]\n"
    )
}

/// What has no value at a time has no point there.
fn points(values: &Value) -> Points {
    let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse::<f64>().ok()?));
    values.as_array().into_iter().flatten().filter_map(point).filter(|(_, value)| value.is_finite()).collect()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
