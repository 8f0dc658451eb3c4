use kube::core::Status;
use serde_json::json;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

/// On something of that API and kind named `web`, with a wish where it has looked already.
fn on(name: &str, api_version: &str, kind: &str, wish: Option<i32>) -> HorizontalPodAutoscaler {
    let looked = json!([{"type": "AbleToScale", "status": "True"}]);
    let status = wish.map_or_else(
        || json!({"currentMetrics": null, "desiredReplicas": 0}),
        |wish| json!({"desiredReplicas": wish, "conditions": looked}),
    );
    let value = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": "web"}, "maxReplicas": 9},
        "status": status,
    });
    serde_json::from_value(value).unwrap()
}

fn on_set(name: &str, wish: Option<i32>) -> HorizontalPodAutoscaler {
    on(name, scaleset_crds::API_VERSION, "ScaleSet", wish)
}

fn listed(all: Vec<HorizontalPodAutoscaler>) -> Autoscalers {
    let autoscalers = Autoscalers::default();
    list(&autoscalers, all);
    autoscalers
}

fn list(autoscalers: &Autoscalers, all: Vec<HorizontalPodAutoscaler>) {
    autoscalers.observe(Event::Init);
    for one in all {
        autoscalers.observe(Event::InitApply(one));
    }
    autoscalers.observe(Event::InitDone);
}

fn refused(code: u16, wrap: fn(kube::Error) -> watcher::Error) -> watcher::Error {
    wrap(kube::Error::Api(Box::new(Status { code, ..Status::failure("no", "No") })))
}

/// Whether one scales `web`, or why nobody can tell.
fn asked(autoscalers: &Autoscalers) -> Result<bool, String> {
    autoscalers.scale(&key("web")).map_err(|error| error.to_string())
}

#[test]
fn of_several_on_a_set_the_least_wish_counts_and_others_are_not_looked_at() {
    let autoscalers = listed(vec![
        on_set("a", Some(7)),
        on_set("b", Some(4)),
        on_set("c", None),
        on("of-pods", "apps/v1", "Deployment", Some(1)),
        on("of-vms", scaleset_crds::API_VERSION, "FlexVM", Some(1)),
    ]);
    assert_eq!(autoscalers.wish(&key("web")).unwrap(), Some(4));
    assert_eq!(autoscalers.write().scaled.len(), 3, "what does not concern us is not kept");
    assert!(!autoscalers.scale(&key("db")).unwrap());
    assert!(!autoscalers.scale(&ObjectKey { namespace: "other".to_owned(), ..key("web") }).unwrap());
}

#[test]
fn it_follows_what_comes_what_changes_and_what_goes() {
    let autoscalers = listed(Vec::new());
    assert_eq!(asked(&autoscalers), Ok(false));
    autoscalers.observe(Event::Apply(on_set("a", None)));
    assert_eq!((asked(&autoscalers), autoscalers.wish(&key("web")).unwrap()), (Ok(true), None), "it has yet to look");
    autoscalers.observe(Event::Apply(on_set("a", Some(3))));
    assert_eq!(autoscalers.wish(&key("web")).unwrap(), Some(3));
    autoscalers.observe(Event::Apply(on("a", "apps/v1", "Deployment", Some(3))));
    assert_eq!(asked(&autoscalers), Ok(false), "it scales something else by now");
    autoscalers.observe(Event::Apply(on_set("a", Some(3))));
    autoscalers.observe(Event::Delete(on_set("a", Some(3))));
    assert_eq!(asked(&autoscalers), Ok(false));
    autoscalers.observe(Event::Apply(on_set("a", Some(3))));
    autoscalers.observe(Event::Init);
    assert_eq!(asked(&autoscalers), Ok(true), "what was known stands until the list is complete");
    autoscalers.observe(Event::InitDone);
    assert_eq!(asked(&autoscalers), Ok(false));
}

#[test]
fn nobody_is_told_that_there_is_none_before_somebody_has_answered() {
    let autoscalers = Autoscalers::default();
    assert!(asked(&autoscalers).unwrap_err().contains("not listed yet"));
    assert!(!*autoscalers.asked_for.borrow());
    autoscalers.observe(Event::Init);
    autoscalers.observe(Event::InitApply(on_set("a", Some(3))));
    assert!(asked(&autoscalers).is_err(), "half a list");
    autoscalers.observe(Event::InitDone);
    assert_eq!((asked(&autoscalers), *autoscalers.asked_for.borrow()), (Ok(true), true));
}

#[test]
fn where_the_api_has_none_there_is_none_and_where_they_may_not_be_read_nobody_can_tell() {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    for (error, at_first, later, next) in [
        (refused(404, InitialListFailed), Ok(false), Ok(false), Next::RebuildLate),
        (refused(403, InitialListFailed), Err("list: no"), Err("list: no"), Next::RebuildLate),
        (refused(403, WatchStartFailed), Err("list: no"), Err("list: no"), Next::RebuildLate),
        (refused(500, WatchStartFailed), Err("list: no"), Ok(true), Next::Continue),
        (watcher::Error::NoResourceVersion, Err("list: no"), Ok(true), Next::Continue),
    ] {
        for (autoscalers, expected) in [(Autoscalers::default(), at_first), (listed(vec![on_set("a", None)]), later)] {
            assert_eq!(autoscalers.note_failure(&error, "list: no".to_owned()), next, "{error}");
            let answer = asked(&autoscalers);
            match expected {
                Ok(there) => assert_eq!(answer, Ok(there), "{error}"),
                Err(why) => assert!(answer.unwrap_err().contains(why), "{error}"),
            }
            assert!(*autoscalers.asked_for.borrow(), "nobody waits for it any longer: {error}");
            list(&autoscalers, vec![on_set("a", None)]);
            assert_eq!(asked(&autoscalers), Ok(true), "once it works: {error}");
        }
    }
}
