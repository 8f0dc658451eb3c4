//! The control endpoint, over its router.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use scaleset_hardware::Hardware;
use scaleset_hardware::sim::control::{router, serve};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fixture::{Fixture, request, target};
use crate::reservation::{GROUP, group_request, reserved, small};

struct Endpoint {
    fixture: Fixture,
    router: Router,
}

impl Endpoint {
    async fn new() -> Self {
        let fixture = Fixture::new();
        fixture.running("a").await;
        let router = router(fixture.simulation.clone());
        Self { fixture, router }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    async fn done(&self, method: Method, path: &str, body: &str) -> Value {
        let (status, value) = self.ask(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }
}

#[tokio::test]
async fn the_index_names_every_route_that_answers() {
    let endpoint = Endpoint::new().await;
    let index = endpoint.get("/").await;
    for route in index.as_object().unwrap().keys() {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap().replace("{machine}", "a").replace("{location}", "testland");
        let path = path.replace("{group}", "default:reserved");
        let path = path.replace("load-balancers/{name}", "load-balancers/front").replace("{name}", "x");
        let (status, answer) = endpoint.ask(method.parse().unwrap(), &path, "").await;
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{route}");
        let unknown = answer["error"]["message"].as_str().is_some_and(|message| message.contains("nothing is at"));
        assert!(!unknown, "{route}: {answer}");
    }
}

#[tokio::test]
async fn machines_are_found_by_uid_and_by_the_name_of_their_owner() {
    let endpoint = Endpoint::new().await;
    for path in ["/machines/a", "/machines/default:a"] {
        let machine = endpoint.get(path).await;
        assert_eq!((&machine["uid"], &machine["power"]), (&json!("a"), &json!("running")), "{machine}");
        assert_eq!(machine["owner"]["setUid"], "set");
    }
    let (status, refused) = endpoint.ask(Method::GET, "/machines/default:b", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        refused,
        json!({"error": {"code": "NotFound", "field": "machine", "message": "no machine default:b, neither a uid nor namespace:name"}})
    );
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let endpoint = Endpoint::new().await;
    for uid in ["b", "c", "d", "e"] {
        endpoint.fixture.simulation.create(request(uid)).await.unwrap();
    }
    let mut uids = Vec::new();
    let mut after = String::new();
    loop {
        let page = endpoint.get(&format!("/machines?limit=2&after={after}")).await;
        uids.extend(page["machines"].as_array().unwrap().iter().map(|machine| machine["uid"].clone()));
        match page["nextAfter"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(uids, ["a", "b", "c", "d", "e"]);
    let some = endpoint.get("/machines?namePrefix=c&namespace=default&location=testland").await;
    assert_eq!(some["machines"].as_array().unwrap().len(), 1);

    let first = endpoint.get("/journal?limit=3").await;
    assert_eq!((first["entries"].as_array().unwrap().len(), &first["nextAfter"]), (3, &json!(3)));
    let rest = endpoint.get("/journal?after=3").await;
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["nextAfter"]), (2, &Value::Null));
    let entry = &endpoint.get("/journal?machine=default:c").await["entries"][0];
    assert_eq!(
        (&entry["call"], &entry["owner"], &entry["result"]),
        (&json!("create"), &json!("default/ScaleSetVM/c"), &json!("accepted"))
    );
    assert_eq!(endpoint.get("/calls").await["create"]["accepted"], 5);
}

#[tokio::test]
async fn machines_fail_heal_drift_and_vanish() {
    let endpoint = Endpoint::new().await;
    let power = |machine: &Value| machine["power"].as_str().unwrap().to_owned();
    let hung = endpoint.done(Method::POST, "/machines/a/fail", "").await;
    assert_eq!(power(&hung), "unknown");
    let healed = endpoint.done(Method::POST, "/machines/a/heal", "").await;
    assert_eq!(power(&healed), "running");
    let sick = endpoint.done(Method::PUT, "/machines/a/health", r#"{"health": "Unhealthy"}"#).await;
    assert_eq!(sick["health"], "Unhealthy");
    let drifted =
        endpoint.done(Method::PATCH, "/machines/a/model", r#"{"vmSize": "Medium", "tags": {"a": "b"}}"#).await;
    assert_eq!((&drifted["model"]["vmSize"], &drifted["model"]["tags"]["a"]), (&json!("Medium"), &json!("b")));
    let crashed = endpoint.done(Method::POST, "/machines/a/fail", r#"{"as": "Crash"}"#).await;
    assert_eq!(power(&crashed), "stopped");
    let (status, refused) = endpoint.ask(Method::POST, "/machines/a/fail", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(refused, json!({"error": {"code": "Conflict", "message": "machine a does not run"}}));
    endpoint.done(Method::DELETE, "/machines/a", "").await;
    assert_eq!(endpoint.fixture.simulation.observe("a").await.unwrap(), None);
    let calls = endpoint.get("/calls").await;
    assert_eq!(calls["control"], json!({"accepted": 6, "unchanged": 0, "failed": 1}), "every change is journalled");
}

#[tokio::test]
async fn places_go_down_and_come_back() {
    let endpoint = Endpoint::new().await;
    let host = endpoint.get("/machines/a").await["host"].as_str().unwrap().to_owned();
    let body = json!({"location": "testland", "host": host}).to_string();
    endpoint.done(Method::PUT, "/outages/host", &body).await;
    assert_eq!(endpoint.get("/machines/a").await["power"], "unknown");
    let region = endpoint.get("/regions/testland").await;
    assert_eq!((&region["hostsUp"], &region["hostsDown"], &region["machines"]), (&json!(11), &json!(1), &json!(1)));
    assert_eq!(endpoint.get("/outages").await["host"]["host"], json!(host));
    endpoint.done(Method::DELETE, "/outages/host", "").await;
    assert_eq!(endpoint.get("/machines/a").await["power"], "running");
    let balancer = endpoint.get("/regions/testland/load-balancers/front").await;
    assert_eq!((&balancer["up"], &balancer["down"]), (&json!(1), &json!(0)));
    endpoint.done(Method::PUT, "/machines/a/health", r#"{"health": "Unhealthy"}"#).await;
    let balancer = endpoint.get("/regions/testland/load-balancers/front").await;
    assert_eq!((&balancer["backends"][0]["state"], &balancer["down"]), (&json!("Down"), &json!(1)));
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let endpoint = Endpoint::new().await;
    let body =
        r#"{"effect": {"type": "throttleCalls", "calls": ["create"], "retryAfterSeconds": 1.5}, "ratePercent": 100}"#;
    let faults = endpoint.done(Method::PUT, "/faults/slow-down", body).await;
    assert_eq!(faults["slow-down"]["effect"]["retryAfterSeconds"], 1.5);
    let refused = endpoint.fixture.simulation.create(request("b")).await.unwrap_err();
    assert_eq!(refused.to_string(), "throttled, try again in 1500 ms");
    assert_eq!(endpoint.done(Method::DELETE, "/faults/slow-down", "").await, json!({}));
    endpoint.fixture.simulation.create(request("b")).await.unwrap();
    let published = r#"{"image": "golden", "version": "2"}"#;
    assert_eq!(endpoint.done(Method::POST, "/images", published).await["latest"], "2");
    assert_eq!(endpoint.get("/regions/testland").await["images"]["golden"], json!(["1", "2"]));
}

#[tokio::test]
async fn refusals_name_code_and_field() {
    let endpoint = Endpoint::new().await;
    endpoint.fixture.simulation.delete(target("a", 1)).await.unwrap();
    let table = [
        (Method::GET, "/nothing", "", 404, "NotFound", Value::Null),
        (Method::POST, "/clock", "", 405, "MethodNotAllowed", Value::Null),
        (Method::GET, "/regions/moon", "", 404, "NotFound", json!("location")),
        (Method::GET, "/regions/testland/load-balancers/back", "", 404, "NotFound", json!("name")),
        (Method::GET, "/machines?limit=two", "", 400, "InvalidParameter", json!("")),
        (Method::GET, "/machines?colour=red", "", 400, "InvalidParameter", json!("")),
        (Method::POST, "/machines/a/fail", "", 409, "Conflict", Value::Null),
        (Method::POST, "/machines/a/fail", r#"{"as": "Melt"}"#, 400, "InvalidParameter", json!("as")),
        (Method::PUT, "/machines/a/health", "{}", 400, "InvalidParameter", json!("")),
        (Method::PUT, "/machines/a/health", "{", 400, "InvalidParameter", json!("")),
        (Method::PUT, "/outages/x", r#"{"location": "moon"}"#, 400, "InvalidParameter", json!("location")),
        (Method::PUT, "/outages/x", r#"{"location": "testland", "zone": "9"}"#, 400, "InvalidParameter", json!("zone")),
        (Method::DELETE, "/outages/x", "", 404, "NotFound", json!("name")),
        (
            Method::PUT,
            "/faults/x",
            r#"{"effect": {"type": "failCalls"}, "ratePercent": 101}"#,
            400,
            "InvalidParameter",
            json!("ratePercent"),
        ),
        (
            Method::PUT,
            "/faults/x",
            r#"{"effect": {"type": "slowBoot", "factor": 0.1}}"#,
            400,
            "InvalidParameter",
            json!("effect.factor"),
        ),
        (Method::PUT, "/faults/x", r#"{"effect": {"type": "meteor"}}"#, 400, "InvalidParameter", json!("effect.type")),
        (
            Method::PUT,
            "/faults/x",
            r#"{"effect": {"type": "failCalls"}, "sometimes": 1}"#,
            400,
            "InvalidParameter",
            json!("sometimes"),
        ),
        (
            Method::PUT,
            "/faults/x",
            r#"{"effect": {"type": "failCalls", "calls": ["control"]}}"#,
            400,
            "InvalidParameter",
            json!("effect.calls"),
        ),
        (Method::POST, "/images", r#"{"image": "golden", "version": "1"}"#, 409, "Conflict", json!("version")),
        (Method::POST, "/images", r#"{"image": "lead", "version": "1"}"#, 404, "NotFound", json!("name")),
    ];
    for (method, path, body, status, code, field) in table {
        let (answered, refused) = endpoint.ask(method.clone(), path, body).await;
        let error = &refused["error"];
        assert_eq!((answered.as_u16(), &error["code"]), (status, &json!(code)), "{method} {path} {body}: {refused}");
        assert_eq!(error["field"], field, "{method} {path} {body}: {refused}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{refused}");
    }
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let fixture = Fixture::new();
    let everywhere = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(everywhere, fixture.simulation.clone(), std::future::ready(())).await.unwrap_err();
    assert!(refused.to_string().contains("it has no authentication; use 127.0.0.1"), "{refused}");
    let loopback = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(loopback, fixture.simulation, std::future::ready(())).await.unwrap();
}

#[tokio::test]
async fn reservation_groups_are_shown_with_their_machines_and_hosts_with_what_is_set_aside() {
    let endpoint = Endpoint::new().await;
    assert_eq!(endpoint.get("/reservation-groups").await, json!([]));
    let simulation = &endpoint.fixture.simulation;
    simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    simulation.reserve(target(GROUP, 1), small(3)).await.unwrap();
    endpoint.fixture.running_as(reserved("b")).await;
    let group = endpoint.get("/reservation-groups/default:reserved").await;
    assert_eq!(endpoint.get("/reservation-groups").await, json!([group]));
    assert_eq!(endpoint.get("/reservation-groups/group-uid").await, group);
    let reservation = &group["reservations"][0];
    assert_eq!(reservation["currentCapacity"], 3);
    assert_eq!(reservation["machines"][0]["state"], "Allocated");
    let of_machine = endpoint.get("/machines/b").await["capacityReservation"].take();
    let told =
        json!({"groupNamespace": "default", "group": "reserved", "reservation": "small-1", "state": "Allocated"});
    assert_eq!(of_machine, told);
    let hosts = endpoint.get("/regions/testland").await["hosts"].take();
    let aside = hosts.as_array().unwrap().iter().filter_map(|host| host["setAsideVcpus"].as_i64());
    assert_eq!(aside.sum::<i64>(), 2);
    let (status, answer) = endpoint.ask(Method::GET, "/reservation-groups/default:none", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["error"]["message"], "no group default:none, neither a uid nor namespace:name");
}
