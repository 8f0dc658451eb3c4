//! A release that works in one namespace: what is installed, what its accounts may do, and that two of them fit into one
//! cluster.

use std::collections::BTreeSet;

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm, golden};
use serde_json::{Value, json};

use crate::pods::restricted;
use crate::rendered::folder;
use crate::rights::{granted, told};

/// Where the release is, and where its sets are.
const RELEASED: &str = "shop-system";
const WATCHED: &str = "shop";

fn values() -> Value {
    json!({"watchNamespace": WATCHED, "hardware": {"tokenSecretName": "hardware-token"}})
}

/// Kind and name of what belongs to no namespace.
fn of_the_cluster(objects: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let outside = objects.iter().filter(|object| object["metadata"]["namespace"].is_null());
    outside.map(|object| (text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

#[test]
fn a_release_for_one_namespace_renders_as_before() -> anyhow::Result<()> {
    let text = Helm::offline()?.render_in(RELEASED, Chart::Controller, &values())?;
    golden::compare(&folder().join("namespaced.golden"), &text)
}

/// Whoever may make objects of two namespaces can install it, hooks included.
#[test]
fn nothing_of_it_belongs_to_the_whole_cluster() -> anyhow::Result<()> {
    let objects = Helm::offline()?.objects_in(RELEASED, Chart::Controller, &values())?;
    assert!(objects.len() > 10, "{}", objects.len());
    assert_eq!(of_the_cluster(&objects), BTreeSet::new());
    Ok(())
}

/// Only the right to have tokens reviewed cannot be given in a namespace, so its names differ from release to release.
#[test]
fn two_releases_of_one_name_share_no_object() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let of = |namespace: &str, watched: &str| -> anyhow::Result<BTreeSet<(String, String)>> {
        let values = json!({"watchNamespace": watched});
        Ok(of_the_cluster(&helm.objects_in(namespace, Chart::Controller, &values)?))
    };
    let (one, other) = (of(RELEASED, WATCHED)?, of("bank-system", "bank")?);
    let name = format!("scaleset-controller-hardware-{RELEASED}");
    let reviewer = ["ClusterRole", "ClusterRoleBinding"].map(|kind| (kind.to_owned(), name.clone()));
    assert_eq!(one, BTreeSet::from(reviewer));
    assert!(one.is_disjoint(&other), "{one:?} {other:?}");
    // A release may also work in its own namespace, where its other Role is.
    let objects = helm.objects_in(WATCHED, Chart::Controller, &values())?;
    let names: Vec<(&Value, &Value)> =
        objects.iter().map(|object| (&object["kind"], &object["metadata"]["name"])).collect();
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(*name));
    assert_eq!(twice, None);
    Ok(())
}

#[test]
fn its_accounts_may_do_what_is_written_here_and_nothing_elsewhere() -> anyhow::Result<()> {
    for namespace in [RELEASED, WATCHED] {
        restricted().kubectl(&["create", "namespace", namespace])?;
    }
    let objects = Helm::offline()?.objects_in(RELEASED, Chart::Controller, &values())?;
    let users = granted(objects, &format!("--namespace={WATCHED}"))?;
    assert_eq!(users.len(), 2, "controller and uninstall guard; the hardware may do nothing: {users:?}");
    let told = told(&users, &[RELEASED, WATCHED, "default"])?;
    golden::compare(&folder().join("namespaced-rights.golden"), &told)
}

/// The policy lets in all that are named, and nobody else.
#[test]
fn the_policy_knows_every_controller() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let condition = |values: Value| -> anyhow::Result<String> {
        let objects = helm.objects(Chart::Definitions, &values)?;
        let policy = objects.iter().find(|object| object["kind"] == "ValidatingAdmissionPolicy");
        let condition = &policy.context("no policy")?["spec"]["matchConditions"][0]["expression"];
        Ok(condition.as_str().context("no condition")?.to_owned())
    };
    let further = |names: &[&str]| json!({"controllerUsername": "a", "furtherControllerUsernames": names});
    assert_eq!(condition(further(&[]))?, r#"request.userInfo.username != "a""#);
    assert_eq!(
        condition(further(&["b:c", "a", "d"]))?,
        r#"request.userInfo.username != "a" && request.userInfo.username != "b:c" && request.userInfo.username != "d""#
    );
    Ok(())
}
