//! Structured logs on stderr: fields, not sentences.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::args::LogFormat;

/// The client logs each failed call as an error of its own; what it means is logged where it is handled.
const CLIENT: &str = "kube_client::client::builder=off";

/// The level is none.
#[derive(Debug, Error)]
#[error("log level {level:?}: {source}; use error, warn, info, debug or trace")]
pub struct LogLevelError {
    level: String,
    source: ParseError,
}

/// Begins logging; to be called once.
pub fn start(format: LogFormat, level: &str) -> Result<(), LogLevelError> {
    let failed = |source| LogLevelError { level: level.to_owned(), source };
    let filter = EnvFilter::try_new(level).map_err(failed)?;
    let filter = filter.add_directive(CLIENT.parse().expect("a constant directive"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
