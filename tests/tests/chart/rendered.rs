//! What is installed, text by text. `UPDATE_GOLDENS=1` writes the texts anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm, golden};
use scaleset_tests::local::cluster::workspace;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    workspace().join("tests/tests/chart")
}

/// Everything that can be switched on, and everything that can be said about pods.
fn everything() -> Value {
    json!({
        "image": {"repository": "registry.example/scaleset", "digest": format!("sha256:{}", "0f".repeat(32))},
        "imagePullSecrets": [{"name": "registry"}],
        "replicaCount": 3,
        "leaderElection": {"leaseDurationSeconds": 30, "renewDeadlineSeconds": 20, "retryPeriodSeconds": 4},
        "suddenScaleIn": "allow",
        "extraArgs": ["--an-extra-flag"],
        "extraEnv": [{"name": "EXTRA", "value": "1"}],
        "serviceAccount": {"name": "operator", "annotations": {"a": "b"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "podAnnotations": {"note": "controller"},
        "podLabels": {"team": "platform"},
        "priorityClassName": "system-cluster-critical",
        "networkPolicy": {"egress": {"enabled": true}},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "alerts": {"enabled": true, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": true},
        "hardware": {
            "timeScale": 20.5, "seed": 7, "regionFile": "seed: 1\n# a comment\nregions: {}\n",
            "control": {"enabled": true},
            "service": {"clusterIP": "10.0.0.50", "annotations": {"a": "b"}},
            "persistence": {"storageClassName": "-", "size": "2Gi", "annotations": {"a": "b"}},
            "extraArgs": ["--another-flag"], "extraEnv": [{"name": "EXTRA", "value": "2"}],
            "podAnnotations": {"note": "hardware"}, "podLabels": {"team": "platform"},
        },
    })
}

/// Hardware from somewhere else, and nothing that could be left out.
fn least() -> Value {
    json!({
        "leaderElection": {"enabled": false},
        "rbac": {"create": false},
        "serviceAccount": {"create": false, "name": "given"},
        "podDisruptionBudget": {"enabled": false},
        "networkPolicy": {"enabled": false},
        "uninstallGuard": {"enabled": false},
        "hardware": {"enabled": false, "url": "http://hardware.example:9090"},
    })
}

#[test]
fn the_controllers_chart_renders_as_before() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    for (name, values) in [("defaults", json!({})), ("everything", everything()), ("least", least())] {
        let text = helm.render(Chart::Controller, &values)?;
        assert_eq!(text, helm.render(Chart::Controller, &values)?, "{name}: nothing in it is left to chance");
        golden::compare(&folder().join(format!("{name}.golden")), &text)?;
    }
    Ok(())
}

/// The definitions are compared with the types elsewhere; here it is what helm does to them.
#[test]
fn the_definitions_chart_keeps_definitions_and_guards_instances() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let objects = helm.objects(Chart::Definitions, &json!({}))?;
    let kinds: BTreeSet<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    let expected = ["CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    assert_eq!(kinds, BTreeSet::from(expected), "and nothing else");
    for definition in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        let policy = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(policy, "keep", "{}", definition["metadata"]["name"]);
    }
    let text = helm.render(Chart::Definitions, &json!({"controllerUsername": "system:serviceaccount:a:b"}))?;
    assert!(text.contains(r#"request.userInfo.username != "system:serviceaccount:a:b""#));
    Ok(())
}

/// The account that the policy lets through by default is the one that the other chart makes by default.
#[test]
fn the_charts_know_the_same_account_by_default() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let objects = helm.objects(Chart::Controller, &json!({}))?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let account = deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().context("no account")?;
    let namespace = deployment["metadata"]["namespace"].as_str().context("no namespace")?;
    let policy = helm.render(Chart::Definitions, &json!({}))?;
    assert!(policy.contains(&format!("username != \"system:serviceaccount:{namespace}:{account}\"")));
    Ok(())
}

/// `make generate` copies the rules of a local run into the chart.
#[test]
fn the_charts_rules_are_those_of_a_local_run() -> anyhow::Result<()> {
    for name in ["role.yaml", "namespace.yaml"] {
        let local = fs::read_to_string(workspace().join("controller/manifests").join(name))?;
        let chart = fs::read_to_string(Chart::Controller.path().join("rules").join(name))?;
        assert!(local == chart, "rules/{name} is not controller/manifests/{name}: run `make generate`");
    }
    let rules = |objects: &[Value], kind: &str, name: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.map(|object| object["rules"].clone()).with_context(|| format!("no {kind} {name}"))
    };
    let rendered = Helm::offline()?.objects(Chart::Controller, &json!({}))?;
    let text = |name: &str| fs::read_to_string(Chart::Controller.path().join("rules").join(name));
    let source: Vec<Value> =
        serde_saphyr::from_multiple(&format!("{}\n---\n{}", text("role.yaml")?, text("namespace.yaml")?))?;
    for object in source.iter().filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role") {
        let (kind, name) = (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str());
        let name = name.context("no name")?;
        let renamed = name.replace("scaleset-region-reader", "scaleset-controller-region-reader");
        assert_eq!(rules(&rendered, kind, &renamed)?, object["rules"], "{kind} {name}");
    }
    Ok(())
}
