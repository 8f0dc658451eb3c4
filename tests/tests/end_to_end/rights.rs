//! What the controller may do, as the API server sees it.

use std::collections::BTreeSet;

use crate::world::{peaceful, run_bare};

/// Every right that its role gives, beside those of any authenticated user.
const RIGHTS: &[&str] = &[
    "controllerrevisions.apps [create delete get list patch watch]",
    "events.events.k8s.io [create patch]",
    "flexvms.compute.scaleset.io [create delete get list patch watch]",
    "flexvms.compute.scaleset.io/status [patch]",
    "scalesets.compute.scaleset.io [get list patch watch]",
    "scalesets.compute.scaleset.io/finalizers [update]",
    "scalesets.compute.scaleset.io/status [patch]",
    "scalesetvms.compute.scaleset.io [create delete get list patch watch]",
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
    let own = |right: &String| !right.starts_with("self") && !right.contains("authentication.k8s.io");
    table.lines().skip(1).filter_map(of_line).filter(own).collect()
}

#[test]
fn the_controllers_rights_are_these_and_no_others() {
    run_bare(async || {
        let world = peaceful().await;
        let user = ["--as", scaleset_crds::FIELD_MANAGER];
        let table = world.cluster.kubectl(&[&["auth", "can-i", "--list"], &user[..]].concat())?;
        let expected: BTreeSet<String> = RIGHTS.iter().map(|right| (*right).to_owned()).collect();
        assert_eq!(rights(&table), expected, "{table}");
        for (verb, resource) in [
            ("get", "secrets"),
            ("list", "configmaps"),
            ("create", "pods"),
            ("create", "pods/exec"),
            ("get", "nodes"),
            ("delete", "scalesets.compute.scaleset.io"),
            ("deletecollection", "scalesetvms.compute.scaleset.io"),
            ("update", "scalesets.compute.scaleset.io"),
            ("escalate", "clusterroles.rbac.authorization.k8s.io"),
            ("bind", "clusterroles.rbac.authorization.k8s.io"),
            ("impersonate", "users"),
            ("create", "tokenreviews.authentication.k8s.io"),
        ] {
            let answer = world.cluster.kubectl(&[&["auth", "can-i", verb, resource], &user[..]].concat());
            // kubectl says no by its exit code too.
            assert!(answer.is_err(), "{verb} {resource}: {answer:?}");
        }
        Ok(())
    });
}
