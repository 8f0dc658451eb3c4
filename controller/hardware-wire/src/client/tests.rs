//! A server that keeps to the protocol and not to its promises.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use scaleset_hardware::Change;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower::service_fn;

use super::*;
use crate::SERVICE;
use crate::codec::Json;
use crate::rpc::{CHANGES, Rpc};
use crate::server::send;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The limit of a call: long for a call in one process, short for who waits for it in vain.
const LIMIT: Duration = Duration::from_secs(2);

/// What the server's clock tells before it falls silent.
#[derive(Clone, Copy)]
enum Clock {
    Nothing,
    OneReading,
}

/// A server and the names of the calls that it gets. It ends with this.
struct Unreliable {
    options: RemoteOptions,
    calls: UnboundedReceiver<(String, Instant)>,
    _serving: JoinSet<()>,
}

impl Unreliable {
    async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options =
            RemoteOptions { url: format!("http://{}", listener.local_addr().unwrap()), ..RemoteOptions::default() };
        let (tell, calls) = unbounded_channel();
        let service = service_fn(move |request| {
            let tell = tell.clone();
            async move { answer(clock, &tell, request).await }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            Server::builder().serve_with_incoming(service, TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { options, calls, _serving: serving }
    }

    fn connection(&self) -> Connection {
        Connection::new(&self.options, 0).unwrap().limited(LIMIT)
    }

    /// When the next call of that name was made.
    async fn called(&mut self, name: &str) -> Instant {
        loop {
            let next = timeout(PATIENCE, self.calls.recv()).await;
            let (called, at) = next.unwrap_or_else(|_| panic!("{name} is not called")).expect("the server is there");
            if called == name {
                return at;
            }
        }
    }
}

async fn answer(
    clock: Clock,
    tell: &UnboundedSender<(String, Instant)>,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let path = request.uri().path().to_owned();
    let name = path.trim_start_matches(&format!("/{SERVICE}/")).to_owned();
    let _ = tell.send((name.clone(), Instant::now()));
    Ok(match name.as_str() {
        GetCatalog::NAME => {
            let catalog = |_: Request<GetCatalog>| async {
                let reply: Reply<Catalog> = Ok(Catalog::default());
                Ok::<_, Status>(Response::new(reply))
            };
            Grpc::new(Json::<Reply<Catalog>, GetCatalog>::new()).unary(service_fn(catalog), request).await
        }
        CLOCK => match clock {
            Clock::Nothing => send::<Reading>(stream::pending().boxed(), request).await,
            Clock::OneReading => send(stream::iter([reading()]).chain(stream::pending()).boxed(), request).await,
        },
        CHANGES => send(stream::iter([Change::Everything]).boxed(), request).await,
        _ => panic!("{name} is not expected"),
    })
}

fn reading() -> Reading {
    Reading::of(Timestamp::UNIX_EPOCH, |scenario| scenario)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_says_nothing_is_not_waited_for_for_ever() {
    let mut server = Unreliable::start(Clock::Nothing).await;
    let connection = server.connection();
    let introduced = timeout(PATIENCE, introduce(&connection)).await.expect("it has a deadline");
    let HardwareError::Transient { message } = introduced.unwrap_err() else { panic!("it is unknown") };
    assert!(message.ends_with(": no answer within 2 s"), "{message}");
    server.called(CLOCK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_falls_silent_is_asked_anew() {
    let mut server = Unreliable::start(Clock::OneReading).await;
    let remote = RemoteHardware::following(server.connection(), reading());
    server.called(CLOCK).await;
    server.called(CLOCK).await;
    drop(remote);
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_that_end_at_once_are_asked_for_ever_more_seldom() {
    let mut server = Unreliable::start(Clock::OneReading).await;
    let remote = RemoteHardware::following(server.connection(), reading());
    let mut changes = remote.changes();
    let listening = tokio::spawn(async move {
        loop {
            assert_eq!(changes.next().await, Some(Change::Everything));
        }
    });
    let first = server.called(CHANGES).await;
    for milliseconds in [100, 300, 700, 1_500] {
        let next = server.called(CHANGES).await;
        let waited = next.duration_since(first);
        assert!(waited >= Duration::from_millis(milliseconds), "{waited:?}, not {milliseconds} ms");
    }
    listening.abort();
}
