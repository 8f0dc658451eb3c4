//! Structured logs on stderr: fields, not sentences; and, where somebody collects them, traces by OTLP.
//!
//! A trace is a pass: its five steps are its spans, and the calls to the hardware are spans of the step that made them.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use scaleset_hardware_wire::flags::LogFormat;
use thiserror::Error;
use tracing::warn;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// The client logs each failed call as an error of its own; what it means is logged where it is handled.
const CLIENT: &str = "kube_client::client::builder=off";
/// How the process is named in a trace.
const SERVICE: &str = "scaleset-controller";
/// What a collector that does not answer may cost a batch of spans; it never costs a pass anything.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// Telemetry cannot be started as the flags wish.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("log level {level:?}: {source}; use error, warn, info, debug or trace")]
    LogLevel {
        /// What was given.
        level: String,
        /// Why.
        source: ParseError,
    },
    /// Spans cannot be sent there.
    #[error(
        "--otlp-endpoint {endpoint:?}: {source}; give the address of an OTLP collector, such as http://localhost:4317"
    )]
    Collector {
        /// What was given.
        endpoint: String,
        /// Why.
        source: ExporterBuildError,
    },
}

/// What must be told when the process ends.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends the spans that are left.
    pub fn end(self) {
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown()) {
            warn!(%error, "the last spans were not sent");
        }
    }
}

/// Begins logging, and tracing where a collector is given; to be called once, in the async runtime.
pub fn start(format: LogFormat, level: &str, collector: Option<&str>) -> Result<Telemetry, TelemetryError> {
    let failed = |source| TelemetryError::LogLevel { level: level.to_owned(), source };
    let filter = EnvFilter::try_new(level).map_err(failed)?;
    let filter = filter.add_directive(CLIENT.parse().expect("a constant directive"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let traces = collector.map(provider).transpose()?;
    let ours = Targets::new().with_target("scaleset_controller", LevelFilter::DEBUG);
    let spans = traces.as_ref().map(|traces| {
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer(SERVICE));
        layer.with_location(false).with_threads(false).with_filter(ours)
    });
    tracing_subscriber::registry().with(lines).with(spans).init();
    Ok(Telemetry { traces })
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_MAX).build();
    let exporter = exporter.map_err(|source| TelemetryError::Collector { endpoint: endpoint.to_owned(), source })?;
    let service = Resource::builder().with_service_name(SERVICE).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(service).build())
}
