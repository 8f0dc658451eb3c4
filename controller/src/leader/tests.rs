use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Method, Request, Response, StatusCode};
use futures::future::{self, Either};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::service_fn;

use super::*;

/// How long a write is on its way: longer than the retry period, so that a renewal falls due meanwhile.
const WRITE: Duration = Duration::from_secs(3);

/// One lease in an API server whose writes take their time. Tells of each that was carried out.
struct Server {
    lease: Mutex<Option<Value>>,
    written: UnboundedSender<i64>,
}

impl Server {
    fn client() -> (Client, UnboundedReceiver<i64>) {
        let (written, told) = unbounded_channel();
        let server = Arc::new(Self { lease: Mutex::default(), written });
        let answer = move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        };
        (Client::new(service_fn(answer), "default"), told)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            return future::pending().await;
        }
        let is_write = request.method() != Method::GET;
        let body = request.into_body().collect_bytes().await.expect("it is in memory");
        if is_write {
            sleep(WRITE).await;
            return self.write(serde_json::from_slice(&body).expect("it is an object"));
        }
        match self.lease.lock().expect("nothing panics").clone() {
            Some(lease) => told(StatusCode::OK, &lease),
            None => told(StatusCode::NOT_FOUND, &refusal(404, "NotFound")),
        }
    }

    fn write(&self, mut lease: Value) -> Response<Body> {
        let mut stored = self.lease.lock().expect("nothing panics");
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let current = stored.as_ref().and_then(version);
        if version(&lease) != current {
            return told(StatusCode::CONFLICT, &refusal(409, "Conflict"));
        }
        let next = current.map_or(1, |current| current.parse::<u64>().expect("a number") + 1);
        lease["metadata"]["resourceVersion"] = json!(next.to_string());
        *stored = Some(lease.clone());
        drop(stored);
        let _ = self.written.send(lease["spec"]["leaseTransitions"].as_i64().expect("it is always written"));
        told(StatusCode::OK, &lease)
    }
}

fn refusal(code: u16, reason: &str) -> Value {
    let details = json!({"kind": "leases"});
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "details": details})
}

fn told(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = status;
    response
}

async fn tenure(client: Client) -> Tenure {
    let seconds = Duration::from_secs;
    let timing = Timing::new(seconds(15), seconds(10), seconds(2)).unwrap();
    Election::new(client, "default", "controller", timing, Gate::closed()).win(|_| ()).await
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_falls_due_while_the_epoch_is_raised_does_not_undo_it() {
    let (client, mut written) = Server::client();
    let tenure = tenure(client).await;
    let first = written.recv().await.expect("the lease is made");
    assert_eq!(tenure.epoch(), first.unsigned_abs());
    let raised = async {
        assert_eq!(tenure.raise_above(7).await, Ok(8));
        [written.recv().await, written.recv().await]
    };
    let (raised, keep) = (std::pin::pin!(raised), std::pin::pin!(tenure.keep()));
    let Either::Left((written, _)) = future::select(raised, keep).await else { panic!("the lease is kept") };
    assert_eq!(written, [Some(8), Some(8)], "raised, then renewed");
    assert_eq!(tenure.epoch(), 8);
}

#[test]
fn the_number_of_changes_never_falls() {
    let table = [
        (Transitions::Keep, 3, 3),
        (Transitions::RaiseTo(8), 3, 8),
        (Transitions::RaiseTo(3), 8, 8),
        (Transitions::RaiseTo(8), 8, 8),
    ];
    for (transitions, known, after) in table {
        assert_eq!(transitions.after(known), after, "{transitions:?} of {known}");
    }
}
