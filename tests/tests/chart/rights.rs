//! What each account of the chart may do, as the API server sees it, and what the built-in roles of people gain.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use scaleset_tests::chart::rights::Rights;
use scaleset_tests::chart::{Chart, Helm, NAMESPACE, golden};
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::until;
use serde_json::{Value, json};

use crate::pods::restricted;
use crate::rendered::folder;

/// What nobody of ours may do, wherever.
const NEVER: &[&[&str]] = &[
    &["get", "secrets"],
    &["list", "secrets"],
    &["get", "pods"],
    &["create", "pods"],
    &["create", "pods", "--subresource=exec"],
    &["get", "nodes"],
    &["escalate", "clusterroles.rbac.authorization.k8s.io"],
    &["bind", "clusterroles.rbac.authorization.k8s.io"],
    &["impersonate", "users"],
    &["create", "serviceaccounts", "--subresource=token"],
    &["delete", "scalesets.compute.scaleset.io"],
    &["deletecollection", "scalesetvms.compute.scaleset.io"],
];

/// Installs the kinds, and accounts, roles and bindings of the chart, hooks included; answers the accounts' users.
fn installed() -> anyhow::Result<Vec<String>> {
    let helm = Helm::offline()?;
    let objects = helm.objects(Chart::Controller, &json!({}))?;
    let users = granted(objects.clone(), "--all-namespaces")?;
    apply_rights(helm.objects(Chart::Definitions, &json!({}))?)?;
    Ok(users)
}

/// Gives what roles and bindings among the objects give; answers the accounts' users once the server heeds it, in the
/// namespaces that a flag names.
pub fn granted(objects: Vec<Value>, where_asked: &str) -> anyhow::Result<Vec<String>> {
    let granted = Rights::granted(&objects)?;
    let users: Vec<String> = granted.users().map(str::to_owned).collect();
    apply_rights(objects)?;
    // Of a resource that the server does not know, the answer is always no.
    let definitions = workspace().join("crds/manifests").display().to_string();
    restricted().kubectl(&["apply", "--server-side", "-f", &definitions])?;
    restricted().kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"])?;
    users.iter().try_for_each(|user| heeded(&granted, user, where_asked))?;
    Ok(users)
}

fn apply_rights(objects: Vec<Value>) -> anyhow::Result<()> {
    let wanted = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    let chosen: Vec<Value> =
        objects.into_iter().filter(|object| wanted.iter().any(|kind| object["kind"] == **kind)).collect();
    let mut file = tempfile::Builder::new().suffix(".json").tempfile()?;
    write!(file, "{}", json!({"apiVersion": "v1", "kind": "List", "items": chosen}))?;
    restricted().kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()])?;
    Ok(())
}

/// The server takes a moment to heed new roles and bindings.
fn heeded(granted: &Rights, user: &str, where_asked: &str) -> anyhow::Result<()> {
    let right = granted.of(user).last().with_context(|| format!("{user} has no right"))?;
    let resource = format!("{}.{}", right.resource, right.group);
    let asked = ["auth", "can-i", &right.verb, &resource, "--as", user, where_asked];
    tokio::runtime::Runtime::new()?.block_on(until(&format!("{user}: {right}"), Duration::from_mins(1), async || {
        restricted().kubectl(&asked).map(drop).map_err(anyhow::Error::from)
    }))
}

/// A line of rights with its verbs in the order of the alphabet: kubectl joins what several rules give as it comes.
fn in_order(line: &str) -> String {
    let Some((about, verbs)) = line.strip_suffix(']').and_then(|line| line.rsplit_once('[')) else {
        return line.to_owned();
    };
    let mut verbs: Vec<&str> = verbs.split(' ').collect();
    verbs.sort_unstable();
    format!("{about}[{}]", verbs.join(" "))
}

#[test]
fn each_account_may_do_what_is_written_here_and_nothing_else() -> anyhow::Result<()> {
    let users = installed()?;
    assert_eq!(users.len(), 3, "controller, hardware and uninstall guard: {users:?}");
    golden::compare(&folder().join("rights.golden"), &told(&users, &[NAMESPACE, "default"])?)
}

/// What users may do in namespaces, as the server tells it.
pub fn told(users: &[String], namespaces: &[&str]) -> anyhow::Result<String> {
    let mut told = String::new();
    for user in users {
        for namespace in namespaces {
            let arguments = ["auth", "can-i", "--list", "--as", user, "--namespace", namespace];
            let table = restricted().kubectl(&arguments)?;
            // The columns are as wide as their widest word, which is of no interest.
            let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            let lines = lines.map(|line| in_order(&line));
            // What everybody may: discovery and health by URL, and questions about oneself.
            let own = |line: &String| !line.starts_with('[') && !line.starts_with("self");
            let mut lines: Vec<String> = lines.skip(1).filter(own).collect();
            lines.sort();
            writeln!(told, "# {user} in namespace {namespace}\n{}\n", lines.join("\n"))?;
        }
    }
    Ok(told)
}

#[test]
fn no_account_may_do_what_is_dangerous() -> anyhow::Result<()> {
    let users = installed()?;
    let may = |user: &str, question: &[&str]| {
        let asked = [&["auth", "can-i", "--as", user, "--all-namespaces"][..], question].concat();
        restricted().kubectl(&asked).is_ok()
    };
    let controller = users.iter().find(|user| user.ends_with(":scaleset-controller")).context("no controller")?;
    assert!(may(controller, &["list", "scalesets.compute.scaleset.io"]), "the question can be answered with yes");
    for user in &users {
        for question in NEVER {
            assert!(!may(user, question), "{user}: {question:?}");
        }
    }
    Ok(())
}

/// Where the chart gives no rights, the guard of an uninstall runs under the controller's account.
#[test]
fn the_controller_may_list_what_the_guard_asks_for() -> anyhow::Result<()> {
    let granted = Rights::granted(&Helm::offline()?.objects(Chart::Controller, &json!({}))?)?;
    let of = |account: &str| -> BTreeSet<String> {
        granted.of(&format!("system:serviceaccount:{NAMESPACE}:{account}")).map(ToString::to_string).collect()
    };
    let (guard, controller) = (of("scaleset-controller-uninstall"), of("scaleset-controller"));
    assert_eq!(guard.len(), 6, "{guard:?}");
    assert!(guard.is_subset(&controller), "{guard:?} {controller:?}");
    Ok(())
}

/// Of what regions offer: each is told in a `ConfigMap` of its own, which no rule can name beforehand.
#[test]
fn everybody_may_list_config_maps_of_the_release_and_nothing_else() -> anyhow::Result<()> {
    installed()?;
    let helm = Helm::offline()?;
    let of_everybody = |namespace: &str, values: Value| -> anyhow::Result<Vec<String>> {
        Ok(Rights::granted(&helm.objects_in(namespace, Chart::Controller, &values)?)?.of_groups())
    };
    let listed = ["group system:authenticated by role scaleset-controller-region-reader: list configmaps"];
    assert_eq!(of_everybody(NAMESPACE, json!({}))?, listed);
    assert_eq!(of_everybody(NAMESPACE, json!({"watchNamespace": "shop"}))?, listed);
    // A tenant's namespace holds more than what we put there.
    let none = Vec::<String>::new();
    assert_eq!(of_everybody("shop", json!({"watchNamespace": "shop"}))?, none);
    assert_eq!(of_everybody(NAMESPACE, json!({"regionReader": {"enabled": false}}))?, none);
    let somebody = ["auth", "can-i", "--as=somebody", "--as-group=system:authenticated", "--namespace", NAMESPACE];
    let may = |question: &[&str]| restricted().kubectl(&[&somebody[..], question].concat()).is_ok();
    let waiting = until("everybody may list", Duration::from_mins(1), async || {
        ensure!(may(&["list", "configmaps"]), "not yet");
        Ok(())
    });
    tokio::runtime::Runtime::new()?.block_on(waiting)?;
    for verb in ["get", "watch", "create", "patch", "update", "delete"] {
        assert!(!may(&[verb, "configmaps"]), "{verb}");
    }
    Ok(())
}

/// The built-in roles are put together by a controller a moment after ours are there.
#[test]
fn view_and_edit_include_our_kinds() -> anyhow::Result<()> {
    installed()?;
    let role = |name: &str| -> anyhow::Result<Vec<String>> {
        let text = restricted().kubectl(&["get", "clusterrole", name, "-o", "json"])?;
        let role: Value = serde_json::from_str(&text)?;
        let ours = |rule: &&Value| rule["apiGroups"] == json!(["compute.scaleset.io"]);
        let rules = role["rules"].as_array().context("no rules")?.iter().filter(ours);
        Ok(rules.map(|rule| format!("{} {}", rule["resources"], rule["verbs"])).collect())
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(until("edit has our three rules and those of view", Duration::from_mins(1), async || {
        let rules = role("edit")?.len();
        ensure!(rules == 4, "it has {rules}");
        Ok(())
    }))?;
    let told = format!("view\n{}\n\nedit\n{}\n", role("view")?.join("\n"), role("edit")?.join("\n"));
    golden::compare(&folder().join("user-roles.golden"), &told)
}
