//! The guard of instances and the controller's role: who may do what.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Error};
use scaleset_crds::labels;
use serde_json::{Value, json};

use crate::objects::{flex_vm, merged, scale_set_vm, uniform_set};
use crate::server::{DryRun, Server, USER, api, create_as, name, patch_as, run, until};

const REFUSED_CREATION: &str =
    "OperationNotAllowed: a ScaleSetVM is made by its set only; raise spec.replicas of the ScaleSet instead";

fn instance(set: &str) -> Value {
    merged(&scale_set_vm(), &json!({"metadata": {"name": format!("{set}-3")}, "spec": {"scaleSetRef": {"name": set}}}))
}

/// Every right on the kinds in the namespace: the guard alone is in the way.
async fn grant_everything_to_user(server: &Server) {
    let role = |kind: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {"name": "scaleset-editor", "namespace": "default"}})
    };
    let rules = json!({"rules": [{"apiGroups": ["compute.scaleset.io"], "resources": ["*"], "verbs": ["*"]}]});
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "scaleset-editor"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    server.apply(&merged(&role("Role"), &rules)).await;
    server.apply(&merged(&role("RoleBinding"), &binding)).await;
}

/// The server takes about a second to heed a new policy, and a moment to heed a new role.
async fn guard_in_force(server: &Server) {
    grant_everything_to_user(server).await;
    let probe = instance("probe");
    until("the guard is in force", async || {
        let refused = create_as(&server.user, &probe, DryRun::Yes).await.err()?.to_string();
        refused.contains(REFUSED_CREATION).then_some(())
    })
    .await;
}

fn refusal(answer: Result<Value, Error>) -> String {
    answer.expect_err("the guard refuses it").to_string()
}

#[test]
fn only_the_controller_makes_instances() {
    run(async |server| {
        guard_in_force(server).await;
        let instance = instance("guarded");
        for client in [&server.admin, &server.user] {
            let refused = refusal(create_as(client, &instance, DryRun::Yes).await);
            assert!(refused.contains(REFUSED_CREATION), "{refused}");
        }
        create_as(&server.controller, &instance, DryRun::No).await.expect("the controller makes instances");
        // Deleting one is everybody's right: it asks for a replacement.
        let deleted = api(&server.user, &instance).delete(name(&instance), &DeleteParams::default()).await;
        deleted.expect("an instance can be deleted");
        create_as(&server.user, &flex_vm(), DryRun::Yes).await.expect("a FlexVM is anybody's own object");
    });
}

#[test]
fn only_the_controller_decides_model_and_place() {
    run(async |server| {
        guard_in_force(server).await;
        let placed = json!({"spec": {"platformFaultDomain": 1, "updateDomain": 0}});
        let instance = merged(&instance("placed"), &placed);
        create_as(&server.controller, &instance, DryRun::No).await.expect("the controller makes instances");
        let changes = [
            ("modelRevision", json!("web-2")),
            ("platformFaultDomain", json!(2)),
            ("platformFaultDomain", Value::Null),
            ("updateDomain", json!(4)),
            ("placementGroup", json!("0")),
            ("surplus", json!("Overprovisioned")),
            ("surplus", Value::Null),
        ];
        for (field, value) in changes {
            let patch = json!({"spec": {field: value}});
            for client in [&server.admin, &server.user] {
                let refused = refusal(patch_as(client, &instance, &patch).await);
                let expected =
                    format!("PropertyChangeNotAllowed: spec.{field} is changed by the set's controller only");
                assert!(refused.contains(&expected), "{patch}: {refused}");
            }
            patch_as(&server.controller, &instance, &patch).await.expect("the controller decides");
        }
        let mark = json!({"metadata": {"annotations": {labels::FORCE_DELETION: "true"}}});
        let unmark = json!({"metadata": {"annotations": {labels::FORCE_DELETION: null}}});
        for patch in [&mark, &unmark] {
            if patch == &unmark {
                patch_as(&server.controller, &instance, &mark).await.expect("the controller marks");
            }
            let refused = refusal(patch_as(&server.user, &instance, patch).await);
            let expected = "PropertyChangeNotAllowed: annotation compute.scaleset.io/force-deletion is changed by the \
                            set's controller only";
            assert!(refused.contains(expected), "{patch}: {refused}");
        }
        for patch in [
            json!({"spec": {"powerState": "Stopped"}}),
            json!({"spec": {"protectionPolicy": {"protectFromScaleIn": true}}}),
            json!({"metadata": {"labels": {"team": "web"}, "annotations": {"note": "mine"}}}),
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
            json!({"metadata": {"finalizers": null}}),
        ] {
            patch_as(&server.user, &instance, &patch).await.unwrap_or_else(|error| panic!("{patch}: {error}"));
        }
        let deleted = api(&server.admin, &instance).delete(name(&instance), &DeleteParams::default()).await;
        deleted.expect("an instance can be deleted");
    });
}

/// The garbage collector takes owner references away and deletes; the namespace controller deletes.
#[test]
fn collectors_are_not_in_the_guards_way() {
    run(async |server| {
        guard_in_force(server).await;
        for (set_name, how) in [("orphaned", DeleteParams::orphan()), ("collected", DeleteParams::background())] {
            let set = merged(&uniform_set(), &json!({"metadata": {"name": set_name}}));
            let set = server.create(&set, DryRun::No).await.expect("a legal set");
            let member = create_as(&server.controller, &owned(&instance(set_name), &set), DryRun::No).await;
            let member = member.expect("the controller makes instances");
            seen_by_the_collector(server, set_name).await;
            api(&server.admin, &set).delete(set_name, &how).await.expect("a set can be deleted");
            until(&format!("the member of the {set_name} set is let go"), async || {
                let found = api(&server.admin, &member).get_opt(name(&member)).await.expect("an answer");
                found.is_none_or(|member| member.metadata.owner_references.is_none()).then_some(())
            })
            .await;
        }
        let left = api(&server.admin, &instance("orphaned")).get("orphaned-3").await;
        server.delete(&serde_json::to_value(left.expect("an orphan stays")).expect("an object is plain data")).await;

        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving"}});
        server.create(&namespace, DryRun::No).await.expect("a namespace");
        let member = merged(&instance("web"), &json!({"metadata": {"namespace": "leaving"}}));
        create_as(&server.controller, &member, DryRun::No).await.expect("the controller makes instances");
        server.delete(&namespace).await;
        until("the namespace is gone", async || {
            api(&server.admin, &namespace).get_opt("leaving").await.expect("an answer").is_none().then_some(())
        })
        .await;
    });
}

/// The collector orphans the members that it has seen, and later collects the others. It sees instances in the order in which they
/// were made: it has seen all before one of which it finds that its owner is gone.
async fn seen_by_the_collector(server: &Server, set_name: &str) {
    let gone = json!({"apiVersion": "compute.scaleset.io/v1alpha1", "metadata": {
        "name": "never-made", "uid": "00000000-0000-4000-8000-000000000000"}});
    let last = owned(&instance(&format!("after-{set_name}")), &gone);
    let last = create_as(&server.controller, &last, DryRun::No).await.expect("the controller makes instances");
    until(&format!("the collector has seen the member of the {set_name} set"), async || {
        api(&server.admin, &last).get_opt(name(&last)).await.expect("an answer").is_none().then_some(())
    })
    .await;
}

fn owned(member: &Value, set: &Value) -> Value {
    let owner = json!({"apiVersion": set["apiVersion"], "kind": "ScaleSet", "name": name(set),
        "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true});
    merged(member, &json!({"metadata": {"ownerReferences": [owner]}}))
}

#[test]
fn the_role_of_the_controller_has_what_it_needs_and_no_more() {
    let compute = "compute.scaleset.io";
    let allowed = [
        (compute, "scalesets", "", "list watch patch"),
        (compute, "scalesetvms", "", "list watch create patch delete"),
        (compute, "flexvms", "", "list watch create patch delete"),
        (compute, "scalesets", "status", "patch"),
        (compute, "scalesetvms", "status", "patch"),
        (compute, "flexvms", "status", "patch"),
        (compute, "scalesetoperations", "", "list watch delete"),
        (compute, "scalesetoperations", "status", "patch"),
        (compute, "capacityreservationgroups", "", "list watch patch"),
        (compute, "capacityreservationgroups", "status", "patch"),
        (compute, "autoscalesettings", "", "list watch"),
        (compute, "autoscalesettings", "status", "patch"),
        (compute, "scalesets", "scale", "patch"),
        (compute, "scalesets", "finalizers", "update"),
        ("autoscaling", "horizontalpodautoscalers", "", "list watch"),
        ("apps", "controllerrevisions", "", "list watch create patch delete"),
        ("events.k8s.io", "events", "", "create patch"),
    ];
    let forbidden = [
        (compute, "scalesets", "", "get create update delete deletecollection"),
        (compute, "scalesets", "scale", "get update"),
        (compute, "capacityreservationgroups", "", "get create update delete"),
        (compute, "autoscalesettings", "", "get create update patch delete"),
        (compute, "scalesetvms", "", "get update deletecollection"),
        (compute, "flexvms", "", "get update deletecollection"),
        (compute, "scalesetoperations", "", "get create update patch"),
        ("", "secrets", "", "get list watch"),
        ("", "pods", "", "get list create delete"),
        ("apps", "controllerrevisions", "", "get update deletecollection"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "", "get update patch"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", "", "get update patch delete"),
        ("rbac.authorization.k8s.io", "clusterroles", "", "get bind escalate"),
    ];
    run(async |server| {
        for (group, resource, subresource, verbs) in allowed {
            for verb in verbs.split(' ') {
                until(&format!("the role allows {verb} of {resource}/{subresource}"), async || {
                    may(server, group, resource, subresource, verb).await.then_some(())
                })
                .await;
            }
        }
        for (group, resource, subresource, verbs) in forbidden {
            for verb in verbs.split(' ') {
                assert!(!may(server, group, resource, subresource, verb).await, "{verb} of {resource}/{subresource}");
            }
        }
    });
}

async fn may(server: &Server, group: &str, resource: &str, subresource: &str, verb: &str) -> bool {
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: Some("default".to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(server.controller.clone());
    let review = reviews.create(&PostParams::default(), &review).await.expect("everybody may ask about himself");
    review.status.expect("an answer").allowed
}

#[test]
fn people_change_no_status_with_the_controllers_rights_on_specs() {
    run(async |server| {
        let set = merged(&uniform_set(), &json!({"metadata": {"name": "status"}}));
        let set = server.create(&set, DryRun::No).await.expect("a legal set");
        // A patch of the object does not reach the status.
        let patch = json!({"metadata": {"labels": {"seen": "true"}}, "status": {"capacity": 7}});
        let patched = patch_as(&server.controller, &set, &patch).await.expect("the controller patches sets");
        assert_eq!(patched["status"].get("capacity"), None);
        server.delete(&set).await;
    });
}
