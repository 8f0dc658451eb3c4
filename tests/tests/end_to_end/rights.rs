//! What the controller may do, as the API server sees it.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use crate::world::{World, peaceful, run_bare};

/// Every right that its role gives, beside those of any authenticated user.
const RIGHTS: &[&str] = &[
    "autoscalesettings.compute.scaleset.io [list watch]",
    "autoscalesettings.compute.scaleset.io/status [patch]",
    "capacityreservationgroups.compute.scaleset.io [list patch watch]",
    "capacityreservationgroups.compute.scaleset.io/status [patch]",
    "controllerrevisions.apps [create delete list patch watch]",
    "events.events.k8s.io [create patch]",
    "flexvms.compute.scaleset.io [create delete list patch watch]",
    "flexvms.compute.scaleset.io/status [patch]",
    "horizontalpodautoscalers.autoscaling [list watch]",
    "scalesetoperations.compute.scaleset.io [delete list watch]",
    "scalesetoperations.compute.scaleset.io/status [patch]",
    "scalesets.compute.scaleset.io [list patch watch]",
    "scalesets.compute.scaleset.io/finalizers [update]",
    "scalesets.compute.scaleset.io/scale [patch]",
    "scalesets.compute.scaleset.io/status [patch]",
    "scalesetvms.compute.scaleset.io [create delete list patch watch]",
    "scalesetvms.compute.scaleset.io/status [patch]",
];

/// `resource [verbs]`, sorted, of the rules that are no self-review and no URL.
fn rights(table: &str) -> BTreeSet<String> {
    let of_line = |line: &str| {
        let resource = line.split_whitespace().next().filter(|word| !word.starts_with('['))?;
        let verbs = line.rsplit_once('[')?.1.trim_end_matches(']');
        let verbs: BTreeSet<&str> = verbs.split_whitespace().collect();
        let verbs: Vec<&str> = verbs.into_iter().collect();
        Some(format!("{resource} [{}]", verbs.join(" ")))
    };
    // Every service account may read the authorities that the cluster publishes.
    let of_everybody = ["self", "clustertrustbundles.certificates.k8s.io "];
    let own = |right: &String| {
        !of_everybody.iter().any(|start| right.starts_with(start)) && !right.contains("authentication.k8s.io")
    };
    table.lines().skip(1).filter_map(of_line).filter(own).collect()
}

#[test]
fn the_controllers_rights_are_these_and_no_others() {
    run_bare(async || {
        let world = peaceful().await;
        let user = ["--as", world.cluster.controller_user()];
        let table = world.cluster.kubectl(&[&["auth", "can-i", "--list"], &user[..]].concat())?;
        let expected: BTreeSet<String> = RIGHTS.iter().map(|right| (*right).to_owned()).collect();
        assert_eq!(rights(&table), expected, "{table}");
        assert!(may(world, "list", ours("scalesets")).await?, "the question can be answered with yes");
        for (verb, resource) in [
            ("get", core("secrets", "")),
            ("list", core("configmaps", "")),
            ("create", core("pods", "")),
            ("create", core("pods", "exec")),
            ("get", core("nodes", "")),
            ("delete", ours("scalesets")),
            ("deletecollection", ours("scalesetvms")),
            ("update", ours("scalesets")),
            ("escalate", of_group("clusterroles", "rbac.authorization.k8s.io")),
            ("bind", of_group("clusterroles", "rbac.authorization.k8s.io")),
            ("impersonate", core("users", "")),
            ("create", of_group("tokenreviews", "authentication.k8s.io")),
        ] {
            let told = format!("{verb} {resource:?}");
            assert!(!may(world, verb, resource).await?, "{told}");
        }
        Ok(())
    });
}

fn core(resource: &str, subresource: &str) -> ResourceAttributes {
    let subresource = Some(subresource.to_owned());
    ResourceAttributes { subresource, ..of_group(resource, "") }
}

fn ours(resource: &str) -> ResourceAttributes {
    of_group(resource, scaleset_crds::GROUP)
}

fn of_group(resource: &str, group: &str) -> ResourceAttributes {
    ResourceAttributes {
        // Rights of the whole cluster count here too.
        namespace: Some("default".to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        ..ResourceAttributes::default()
    }
}

/// Whether the API server would let the controller do that. An error is no answer.
async fn may(world: &World, verb: &str, resource: ResourceAttributes) -> anyhow::Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(world.cluster.controller_user().to_owned()),
            groups: Some(vec!["system:authenticated".to_owned()]),
            resource_attributes: Some(ResourceAttributes { verb: Some(verb.to_owned()), ..resource }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::<SubjectAccessReview>::all(world.client.clone()).create(&PostParams::default(), &review).await?;
    let status = answer.status.context("a review without an answer")?;
    ensure!(status.evaluation_error.is_none(), "{verb} was not decided: {:?}", status.evaluation_error);
    Ok(status.allowed)
}
