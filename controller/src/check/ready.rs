//! Whether a controller that runs somewhere else is ready.

use std::time::Duration;

use axum::http::{self, Uri};
use clap::Args;
use kube::{Client, Config};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

use crate::cluster::failure::describe;

const ASK_EVERY: Duration = Duration::from_millis(500);

/// Whom to ask, and for how long.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Address of its /readyz, without the path.
    #[arg(long, value_name = "URL")]
    url: Uri,
    /// After so many seconds the answer is no.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout_seconds: u16,
}

/// It did not become ready.
#[derive(Debug, Error)]
#[error("{url} is not ready after {waited_seconds} s: {message}; its log says why")]
pub struct NotReady {
    url: Uri,
    waited_seconds: u64,
    message: String,
}

/// Asks until the answer is yes.
pub(super) async fn ask(arguments: Arguments) -> Result<String, NotReady> {
    let Arguments { url, timeout_seconds } = arguments;
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(timeout_seconds.into());
    let mut message = "no answer".to_owned();
    while Instant::now() < deadline {
        match timeout_at(deadline, ask_once(&url)).await {
            Ok(Ok(())) => return Ok(format!("{url} is ready")),
            Ok(Err(failure)) => message = failure,
            Err(_) => break,
        }
        sleep(ASK_EVERY).await;
    }
    Err(NotReady { url, waited_seconds: begun.elapsed().as_secs(), message })
}

async fn ask_once(url: &Uri) -> Result<(), String> {
    let mut config = Config::new(url.clone());
    // The image holds no authority's certificate, and the endpoint speaks plain HTTP: nobody is trusted.
    config.root_cert = Some(Vec::new());
    // What is answered is told; asking again is done here.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| describe(&error))?;
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| describe(&error))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(answer: StatusCode) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answers = Router::new().route("/readyz", get(async move || (answer, "waiting for lists")));
        let server = tokio::spawn(async move { axum::serve(listener, answers).await });
        let asked = ask(Arguments { url, timeout_seconds: 5 }).await.map_err(|error| error.to_string());
        server.abort();
        asked
    }

    #[tokio::test]
    async fn the_answer_is_the_endpoints() {
        assert!(asked(StatusCode::OK).await.unwrap().ends_with("is ready"));
        let refused = asked(StatusCode::SERVICE_UNAVAILABLE).await.unwrap_err();
        assert!(refused.contains("is not ready after 5 s") && refused.contains("waiting for lists"), "{refused}");
    }

    #[tokio::test]
    async fn nobody_is_not_ready() {
        // Nobody listens on a port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url = format!("http://{free}").parse().unwrap();
        let refused = ask(Arguments { url, timeout_seconds: 1 }).await.unwrap_err().to_string();
        assert!(refused.contains("refused"), "{refused}");
    }
}
