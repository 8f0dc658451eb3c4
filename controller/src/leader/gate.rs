//! Keeps a process that does not lead from writing: the last thing between a pass that was paused and the API.
//!
//! The hardware refuses the calls of a former leader by itself; the API does not know who leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::http::{Method, Request};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// Whether this process may write now. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The origin of `open_until`.
    start: Instant,
    /// Milliseconds after `start`.
    open_until: Arc<AtomicU64>,
}

/// A write was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this process does not lead")]
pub struct NotLeading;

impl Gate {
    /// A gate that nothing closes: there is no election.
    pub fn open() -> Self {
        Self { start: Instant::now(), open_until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// A gate that is closed until somebody leads.
    pub fn closed() -> Self {
        Self { start: Instant::now(), open_until: Arc::new(AtomicU64::new(0)) }
    }

    /// Lets writes through until then.
    pub(super) fn open_until(&self, instant: Instant) {
        let milliseconds = instant.saturating_duration_since(self.start).as_millis();
        self.open_until.store(u64::try_from(milliseconds).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.start.elapsed().as_millis() < u128::from(self.open_until.load(Ordering::Acquire))
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// A client whose writes go through a gate.
#[derive(Clone, Debug)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && !self.gate.is_open() {
            return Box::pin(async { Err(NotLeading.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tower::service_fn;

    use super::*;

    async fn goes_through(gate: &Gate, method: Method) -> bool {
        let mut service = gate.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(())));
        let request = Request::builder().method(method).body(()).unwrap();
        service.call(request).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_go_through_while_this_process_leads_and_reads_always() {
        let gate = Gate::closed();
        assert!(!goes_through(&gate, Method::PATCH).await);
        assert!(goes_through(&gate, Method::GET).await, "a new leader lists before it acts");
        gate.open_until(Instant::now() + Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(goes_through(&gate, Method::POST).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!goes_through(&gate, Method::POST).await, "it was not renewed");
        assert!(goes_through(&Gate::open(), Method::DELETE).await, "without an election there is nobody else");
    }
}
