//! The client of the API server, and whether the server is one that we can work with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use scaleset_crds::API_VERSION;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tower::timeout::TimeoutLayer;
use tracing::warn;

use super::Kind;
use super::failure::{chain, describe};
use crate::leader::Gate;

/// How long the API may take to begin an answer; a list of many objects takes longest.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);
const PROBE_MAX: Duration = Duration::from_secs(10);
const PROBE_SPACING: Duration = Duration::from_secs(2);
/// Between two messages while waiting.
const MESSAGE_SPACING: Duration = Duration::from_secs(10);

/// Why there is no client, or no server to work with. Each says what to do.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file does not exist, cannot be read or is no kubeconfig.
    #[error("kubeconfig {path}: {message}; name a readable kubeconfig with --kubeconfig or KUBECONFIG")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// No file was named, and this is no pod.
    #[error("no kubeconfig given and not in a cluster ({message}); set --kubeconfig PATH or KUBECONFIG")]
    NotInCluster {
        /// What is missing.
        message: String,
    },
    /// The configuration cannot be used.
    #[error("kubernetes client: {message}; check certificates and addresses in the kubeconfig")]
    Client {
        /// What is wrong.
        message: String,
    },
    /// No answer, or none that makes sense.
    #[error(
        "kubernetes api {url} is unreachable: {message}; start the API server or correct the server address in the \
         kubeconfig (waited {waited_seconds} s)"
    )]
    Unreachable {
        /// Address.
        url: String,
        /// The last failure.
        message: String,
        /// How long it was tried.
        waited_seconds: u64,
    },
    /// The API server serves no such kinds.
    #[error(
        "kubernetes api {url} lacks the CRDs {}; install them: kubectl apply -f crds/manifests (waited \
         {waited_seconds} s)",
        missing.join(", ")
    )]
    MissingCrds {
        /// Address.
        url: String,
        /// Names of the CRDs.
        missing: Vec<String>,
        /// How long it was tried.
        waited_seconds: u64,
    },
}

/// A client and the address that it talks to.
#[derive(Clone)]
pub struct Connection {
    /// Without retries of its own: a failure goes to the pass, whose backoff shows.
    pub client: Client,
    /// The same, for who decides whether this process may write: its writes go through no gate.
    pub ungated: Client,
    /// For messages.
    pub url: String,
}

/// Reads the configuration; nothing is sent.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Connection, ConnectError> {
    connect_through(kubeconfig, &Gate::open()).await
}

/// The same; what is written goes through a gate.
pub async fn connect_through(kubeconfig: Option<&Path>, gate: &Gate) -> Result<Connection, ConnectError> {
    let config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::incluster().map_err(|error| ConnectError::NotInCluster { message: chain(&error) })?,
    };
    let url = config.cluster_url.to_string();
    let failed = |error: kube::Error| ConnectError::Client { message: describe(&error) };
    let ungated = client(config.clone()).map_err(failed)?;
    let client = client_through(config, gate).map_err(failed)?;
    Ok(Connection { client, ungated, url })
}

/// A client with our deadlines and without retries of its own.
pub fn client(config: Config) -> kube::Result<Client> {
    client_through(config, &Gate::open())
}

fn client_through(mut config: Config, gate: &Gate) -> kube::Result<Client> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_MAX);
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&TimeoutLayer::new(ANSWER_MAX)).with_layer(gate).build())
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let failed = |error: &(dyn std::error::Error + 'static)| ConnectError::Kubeconfig {
        path: path.to_owned(),
        message: chain(error),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.map_err(|error| failed(&error))
}

/// Waits at most `patience` for an API server that serves our kinds, and says every ten seconds what it waits for.
pub async fn wait_until_usable(connection: &Connection, patience: Duration) -> Result<(), ConnectError> {
    let begun = Instant::now();
    let mut next_message = begun;
    loop {
        let Err(problem) = probe(&connection.client).await else { return Ok(()) };
        let error = problem.into_error(connection, begun.elapsed().as_secs());
        if begun.elapsed() >= patience {
            return Err(error);
        }
        if Instant::now() >= next_message {
            warn!(patience_seconds = patience.as_secs(), "waiting: {error}");
            next_message = Instant::now() + MESSAGE_SPACING;
        }
        sleep(PROBE_SPACING).await;
    }
}

#[derive(Debug)]
enum Problem {
    Unreachable(String),
    Missing(Vec<String>),
}

impl Problem {
    fn into_error(self, connection: &Connection, waited_seconds: u64) -> ConnectError {
        let url = connection.url.clone();
        match self {
            Self::Unreachable(message) => ConnectError::Unreachable { url, message, waited_seconds },
            Self::Missing(missing) => ConnectError::MissingCrds { url, missing, waited_seconds },
        }
    }
}

async fn probe(client: &Client) -> Result<(), Problem> {
    let served: Vec<String> = match timeout(PROBE_MAX, client.list_api_group_resources(API_VERSION)).await {
        Ok(Ok(list)) => list.resources.into_iter().map(|resource| resource.name).collect(),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Vec::new(),
        Ok(Err(error)) => return Err(Problem::Unreachable(describe(&error))),
        Err(_) => return Err(Problem::Unreachable(format!("no answer within {} s", PROBE_MAX.as_secs()))),
    };
    let missing: Vec<String> = required()
        .filter(|name| !served.contains(name))
        .map(|name| format!("{name}.{}", scaleset_crds::GROUP))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Problem::Missing(missing)) }
}

/// Names of the resources that the API server must serve: all of our kinds. Kubernetes' own are always there.
fn required() -> impl Iterator<Item = String> {
    Kind::ALL.into_iter().filter(|kind| kind.api_version() == API_VERSION).map(Kind::plural)
}

#[cfg(test)]
mod tests;
