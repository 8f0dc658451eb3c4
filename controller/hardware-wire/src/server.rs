//! The side that holds the hardware: lets callers in, makes their calls under their epoch, and sends what came of them.

mod guard;
mod token_review;
mod verdicts;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use http::HeaderMap;
use scaleset_hardware::{Change, Hardware, Inventory, epoch};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tower::{Service, service_fn};

use crate::clock::Reading;
use crate::codec::Json;
use crate::rpc::{self, CHANGES, CLOCK, InventoryPart, Listen, OBSERVE_ALL, Reply, Rpc};
use crate::{EPOCH_HEADER, LONGEST_MESSAGE_BYTES, SERVICE};

pub use guard::Guard;
pub use token_review::TokenReviewer;

/// How often the clock is looked at, for who follows it.
const CLOCK_LOOKS: Duration = Duration::from_millis(100);
/// The clock is told at least this often.
const CLOCK_REPEATS: Duration = Duration::from_secs(1);
/// What two looks at a clock may differ by, in wall time, before it is told at once.
const CLOCK_TOLERANCE_SECONDS: f64 = 0.02;
/// A connection that does not answer for this long twice is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Calls of one connection at the same time; more wait.
const CALLS_PER_CONNECTION: u32 = 1_024;

/// Serves hardware on a listener until this is dropped; ends only when the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    hardware: Arc<dyn Hardware>,
    guard: Guard,
) -> Result<(), tonic::transport::Error> {
    let mut server = Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE));
    if let Some(tls) = tls {
        server = server.tls_config(tls)?;
    }
    let service = HardwareService { hardware, guard: Arc::new(guard) };
    // Small answers must not wait for one another.
    let connections = TcpListenerStream::new(listener)
        .map(|connection| connection.and_then(|connection| connection.set_nodelay(true).map(|()| connection)));
    server.serve_with_incoming(service, connections).await
}

/// Hardware as a gRPC service.
#[derive(Clone)]
struct HardwareService {
    hardware: Arc<dyn Hardware>,
    guard: Arc<Guard>,
}

impl Service<http::Request<Body>> for HardwareService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { hardware, guard } = self.clone();
        Box::pin(async move { Ok(answer(hardware, &guard, request).await.unwrap_or_else(Status::into_http)) })
    }
}

async fn answer(
    hardware: Arc<dyn Hardware>,
    guard: &Guard,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    guard.admit(request.headers()).await?;
    let epoch = epoch_of(request.headers())?;
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE)?.strip_prefix('/'));
    let exchange = Exchange { hardware, epoch, request };
    let answered = match name {
        Some(OBSERVE_ALL) => Some(exchange.observe_all().await),
        Some(CHANGES) => Some(exchange.changes().await),
        Some(CLOCK) => Some(exchange.clock().await),
        Some(name) => rpc::answer(name, exchange).await,
        None => None,
    };
    answered.ok_or_else(|| Status::unimplemented(format!("there is no call {path}")))
}

/// Who names no epoch has not been elected.
fn epoch_of(headers: &HeaderMap) -> Result<u64, Status> {
    let Some(value) = headers.get(EPOCH_HEADER) else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Status::invalid_argument(format!("{EPOCH_HEADER} must be a number, got {value:?}")))
}

/// One call on its way.
pub(crate) struct Exchange {
    hardware: Arc<dyn Hardware>,
    epoch: u64,
    request: http::Request<Body>,
}

impl Exchange {
    /// Makes a call that is answered once.
    pub(crate) async fn unary<R: Rpc>(self) -> http::Response<Body> {
        let Self { hardware, epoch, request } = self;
        let make = move |question: Request<R>| {
            let hardware = Arc::clone(&hardware);
            async move {
                let reply: Reply<R::Answer> = epoch::within(epoch, question.into_inner().make(hardware.as_ref())).await;
                Ok::<_, Status>(Response::new(reply))
            }
        };
        let codec = Json::<Reply<R::Answer>, R>::new();
        Grpc::new(codec).max_decoding_message_size(LONGEST_MESSAGE_BYTES).unary(service_fn(make), request).await
    }

    async fn observe_all(self) -> http::Response<Body> {
        let Self { hardware, epoch, request } = self;
        let parts = match epoch::within(epoch, hardware.observe_all()).await {
            Ok(inventory) => parts(inventory).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        send::<Reply<InventoryPart>>(parts, request).await
    }

    /// Says first that anything may have changed: until now nobody listened. Goes to old leaders too, as the clock does: it
    /// is no call, and whatever they would do about it is one.
    async fn changes(self) -> http::Response<Body> {
        let changes = self.hardware.changes();
        send(stream::iter([Change::Everything]).chain(changes).boxed(), self.request).await
    }

    async fn clock(self) -> http::Response<Body> {
        send(readings(self.hardware), self.request).await
    }
}

/// Answers a call with a stream.
pub(crate) async fn send<T>(items: BoxStream<'static, T>, request: http::Request<Body>) -> http::Response<Body>
where
    T: Serialize + Send + Sync + 'static,
{
    let mut items = Some(items.map(Ok::<T, Status>));
    let open = move |_: Request<Listen>| {
        let opened = items.take().map(Response::new).ok_or_else(|| Status::internal("opened twice"));
        async move { opened }
    };
    Grpc::new(Json::<T, Listen>::new()).server_streaming(service_fn(open), request).await
}

fn parts(inventory: Inventory) -> impl futures::Stream<Item = InventoryPart> {
    let Inventory { machines, highest_instance_numbers } = inventory;
    let machines = machines.into_values().map(|machine| InventoryPart::Machine(Box::new(machine)));
    let first = [InventoryPart::HighestInstanceNumbers(highest_instance_numbers)];
    stream::iter(first.into_iter().chain(machines).chain([InventoryPart::End]))
}

/// What the clock shows: at once, whenever it goes otherwise than was told, and once a second.
fn readings(hardware: Arc<dyn Hardware>) -> BoxStream<'static, Reading> {
    let read = move || Reading::of(hardware.now(), |scenario| hardware.wall_duration(scenario));
    let told: Option<(Reading, Instant)> = None;
    stream::unfold((read, told), async |(read, told)| {
        let Some((before, at)) = told else {
            let first = read();
            return Some((first, (read, Some((first, Instant::now())))));
        };
        loop {
            sleep(CLOCK_LOOKS).await;
            let reading = read();
            if at.elapsed() >= CLOCK_REPEATS || is_otherwise(&before, at.elapsed(), &reading) {
                return Some((reading, (read, Some((reading, Instant::now())))));
            }
        }
    })
    .boxed()
}

/// Whether who goes on from `before` shows something else than `now`.
fn is_otherwise(before: &Reading, elapsed: Duration, now: &Reading) -> bool {
    let off = now.scenario.duration_since(before.after(elapsed)).as_secs_f64().abs();
    let tolerated = CLOCK_TOLERANCE_SECONDS * before.time_scale.max(1.0);
    off > tolerated || (before.time_scale - now.time_scale).abs() > f64::EPSILON * before.time_scale
}
