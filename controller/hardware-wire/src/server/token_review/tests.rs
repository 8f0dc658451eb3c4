use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

const USER: &str = "system:serviceaccount:scaleset-system:controller";

/// An API that takes a while over each review, and how many it was asked for.
fn reviewer(status: Value) -> (TokenReviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |_: Request<Body>| {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {},
            "status": status,
        });
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, Infallible>(Response::new(Body::from(review.to_string().into_bytes())))
        }
    };
    let client = Client::new(service_fn(answer), "default");
    (TokenReviewer::new(client, "hardware".to_owned(), USER.to_owned()), asked)
}

/// An API that never answers about wrong tokens, and how many questions it was asked.
fn reviewer_without_answers_to_wrong_ones() -> (TokenReviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |request: Request<Body>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let question = request.into_body().collect_bytes().await.unwrap();
            if String::from_utf8_lossy(&question).contains("wrong") {
                std::future::pending::<()>().await;
            }
            let review = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                "status": of_user(USER),
            });
            Ok::<_, Infallible>(Response::new(Body::from(review.to_string().into_bytes())))
        }
    };
    let client = Client::new(service_fn(answer), "default");
    (TokenReviewer::new(client, "hardware".to_owned(), USER.to_owned()), asked)
}

fn of_user(user: &str) -> Value {
    json!({"authenticated": true, "audiences": ["hardware"], "user": {"username": user}})
}

#[tokio::test]
async fn calls_that_come_together_are_one_question() {
    let (reviewer, asked) = reviewer(of_user(USER));
    let reviews = join_all((0..100).map(|_| reviewer.review("token"))).await;
    assert!(reviews.iter().all(Result::is_ok), "{reviews:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    reviewer.review("token").await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is remembered");
    reviewer.review("another token").await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Shows that many wrong tokens, then does the other thing while nobody answers about them.
async fn beside_wrong_tokens<T>(reviewer: &TokenReviewer, count: usize, other: impl Future<Output = T>) -> T {
    let wrong: Vec<String> = (0..count).map(|number| format!("wrong-{number}")).collect();
    tokio::select! {
        biased;
        reviews = join_all(wrong.iter().map(|token| reviewer.review(token))) => panic!("nobody answers: {reviews:?}"),
        done = other => done,
    }
}

#[tokio::test]
async fn a_good_token_does_not_wait_for_wrong_ones() {
    let (reviewer, asked) = reviewer_without_answers_to_wrong_ones();
    let good = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        reviewer.review("good").await
    };
    // One that waited for the first wrong one would get no answer in time.
    beside_wrong_tokens(&reviewer, 5, good).await.unwrap();
}

#[tokio::test]
async fn wrong_tokens_do_not_flood_the_api() {
    let (reviewer, asked) = reviewer_without_answers_to_wrong_ones();
    let looks = async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
    };
    beside_wrong_tokens(&reviewer, 100, looks).await;
    assert_eq!(asked.load(Ordering::SeqCst), asking::MOST_AT_ONCE);
}

#[tokio::test]
async fn a_refusal_is_remembered_with_its_reason() {
    let (reviewer, asked) = reviewer(of_user("somebody"));
    for review in join_all((0..100).map(|_| reviewer.review("token"))).await {
        let status = review.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert_eq!(status.message(), format!("the token must be of {USER}, it is of somebody"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_could_not_be_reviewed_is_asked_again() {
    let (reviewer, asked) = reviewer(json!("no status"));
    for times in 1..3 {
        let status = reviewer.review("token").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
}
