use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Response;
use futures::stream;
use kube::Client;
use kube::client::Body;
use scaleset_hardware::Owner;
use tower::service_fn;

use super::*;
use crate::cluster::watched::WatchedNamespaces;
use crate::runtime::queue::WorkQueue;

fn change() -> Change {
    let owner = Owner {
        kind: "FlexVM".to_owned(),
        namespace: "default".to_owned(),
        name: "vm".to_owned(),
        set_uid: None,
        instance_number: None,
    };
    Change::Machine { uid: "uid".to_owned(), owner }
}

#[tokio::test(start_paused = true)]
async fn announcements_that_end_are_listened_to_anew() {
    let nobody = service_fn(|_| std::future::pending::<Result<Response<Body>, Infallible>>());
    let client = Client::new(nobody, "default");
    let (cluster, _changes, _watches) = KubernetesCluster::start(client, WatchedNamespaces::All, Arc::default());
    let queues = Queues {
        sets: Arc::new(WorkQueue::new(Duration::ZERO)),
        instances: Arc::new(WorkQueue::new(Duration::ZERO)),
        operations: Arc::new(WorkQueue::new(Duration::ZERO)),
        groups: Arc::new(WorkQueue::new(Duration::ZERO)),
        settings: Arc::new(WorkQueue::new(Duration::ZERO)),
    };
    let listened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&listened);
    let listen = move || match count.fetch_add(1, Ordering::SeqCst) {
        0 => stream::empty().boxed(),
        1 => stream::iter([change()]).chain(stream::pending()).boxed(),
        again => panic!("listened {again} times to what has not ended"),
    };
    let telling = tokio::spawn(tell_hardware(listen, cluster, queues.clone()));
    let key = tokio::time::timeout(Duration::from_mins(1), queues.instances.next()).await.expect("told in time");
    assert_eq!(key.to_string(), "FlexVM default/vm");
    assert_eq!(listened.load(Ordering::SeqCst), 2);
    assert!(!telling.is_finished());
}
