//! What a person sees of the inside: traces at a collector, and what the controller waits for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Field;
use opentelemetry_proto::tonic::trace::v1::Span;
use scaleset_control_plane::Supervisor;
use scaleset_tests::local::binary::Program;
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::until;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::scene::{LIMIT, flexible};
use crate::world::run_bare;

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
            for attribute in attributes.filter(|attribute| attribute.key == "service.name") {
                if let Some(Field::StringValue(name)) = attribute.value.as_ref().and_then(|value| value.value.as_ref())
                {
                    self.services.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
                }
            }
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn listen(&self) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(endpoint)
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn field(span: &Span, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Field::StringValue(text) => Some(text.clone()),
        Field::BoolValue(_)
        | Field::IntValue(_)
        | Field::DoubleValue(_)
        | Field::ArrayValue(_)
        | Field::KvlistValue(_)
        | Field::BytesValue(_)
        | Field::StringValueStrindex(_) => None,
    }
}

/// The names of the spans that a span is in, the nearest first.
fn around(span: &Span, all: &[Span]) -> Vec<String> {
    let mut names = Vec::new();
    let mut parent = span.parent_span_id.clone();
    while let Some(found) = all.iter().find(|other| other.span_id == parent && other.trace_id == span.trace_id) {
        names.push(found.name.clone());
        parent.clone_from(&found.parent_span_id);
    }
    names
}

#[test]
fn a_pass_and_its_calls_are_a_trace_at_the_collector() {
    run_bare(async || {
        let collector = Collector::default();
        let endpoint = collector.listen().await?;
        let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
        let directory = tempfile::tempdir()?;
        let mut supervisor = Supervisor::removing(None)?;
        let arguments = [
            format!("--kubeconfig={}", cluster.controller_kubeconfig()?.display()),
            format!("--hardware-store={}", directory.path().join("hardware.redb").display()),
            "--health-listen=127.0.0.1:0".to_owned(),
            "--hardware-latency=zero".to_owned(),
            format!("--otlp-endpoint={endpoint}"),
        ];
        let log = directory.path().join("controller.log");
        let _process = supervisor.start(&Program::Controller.binary().await?, &arguments, &log)?;
        cluster.kubectl_with(&["apply"], &flexible("web", 1, json!({})).to_string())?;
        until("the creation of a machine is traced", LIMIT, async || {
            let spans = collector.spans();
            let is_creation =
                |span: &&Span| span.name == "hardware" && field(span, "call").as_deref() == Some("create");
            let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            let creation = spans.iter().find(is_creation);
            ensure!(creation.is_some_and(|span| around(span, &spans) == ["execute", "pass"]), "there are {names:?}");
            for step in ["observe", "validate", "plan", "execute", "report"] {
                let of_set = |span: &&Span| span.name == step && around(span, &spans) == ["pass"];
                ensure!(spans.iter().any(|span| of_set(&span)), "{step} is not in a pass yet");
            }
            let of_instance =
                |span: &&Span| span.name == "pass" && field(span, "controller").as_deref() == Some("instance");
            ensure!(spans.iter().any(|span| of_instance(&span)), "no pass of an instance yet");
            Ok(())
        })
        .await?;
        let services = collector.services.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(services, BTreeSet::from(["scaleset-controller".to_owned()]));
        Ok(())
    });
}

#[test]
fn a_collector_that_does_not_answer_costs_no_pass() {
    run_bare(async || {
        let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
        let directory = tempfile::tempdir()?;
        let mut supervisor = Supervisor::removing(None)?;
        let arguments = [
            format!("--kubeconfig={}", cluster.controller_kubeconfig()?.display()),
            format!("--hardware-store={}", directory.path().join("hardware.redb").display()),
            "--health-listen=127.0.0.1:0".to_owned(),
            "--hardware-latency=zero".to_owned(),
            // Nobody listens at port 1.
            "--otlp-endpoint=http://127.0.0.1:1".to_owned(),
        ];
        let log = directory.path().join("controller.log");
        let _process = supervisor.start(&Program::Controller.binary().await?, &arguments, &log)?;
        cluster.kubectl_with(&["apply"], &flexible("web", 1, json!({})).to_string())?;
        cluster.kubectl(&["wait", "sset/web", "--for=condition=Ready", "--timeout=60s"])?;
        Ok(())
    });
}
