//! What is installed, text by text. `UPDATE_GOLDENS=1` writes the texts anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm, golden};
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::controller::HEAP;
use serde_json::{Value, json};

pub fn folder() -> PathBuf {
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
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "serviceAccount": {"name": "operator", "annotations": {"a": "b"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "podAnnotations": {"note": "controller"},
        "podLabels": {"team": "platform"},
        "priorityClassName": "system-cluster-critical",
        "networkPolicy": {"egress": {"enabled": true, "extra": [{"ports": [{"port": 4317}]}]}},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "alerts": {"enabled": true, "runbookUrl": "https://docs.example/v1/runbook.md", "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": true},
        "hardware": {
            "timeScale": 20.5, "seed": 7, "regionFile": "seed: 1\n# a comment\nregions: {}\n",
            "control": {"enabled": true},
            "tls": {"secretName": "hardware-certificate"},
            "service": {"clusterIP": "10.0.0.50", "annotations": {"a": "b"}},
            "persistence": {"storageClassName": "-", "size": "2Gi", "annotations": {"a": "b"}},
            "extraArgs": ["--another-flag"], "extraEnv": [{"name": "EXTRA", "value": "2"}],
            "extraVolumes": [{"name": "callers", "secret": {"secretName": "callers"}}],
            "extraVolumeMounts": [{"name": "callers", "mountPath": "/callers", "readOnly": true}],
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

/// Somebody else gives the rights, to everything that needs some.
fn without_rights() -> Value {
    json!({"rbac": {"create": false}})
}

/// What a policy lets the controller of a chart with these values connect to: protocol and port of each rule.
fn ports_out(values: &Value) -> anyhow::Result<Vec<String>> {
    let objects = Helm::offline()?.objects(Chart::Controller, values)?;
    let policy = objects.iter().find(|object| object["kind"] == "NetworkPolicy").context("no NetworkPolicy")?;
    let rules = policy["spec"]["egress"].as_array().context("no rule")?;
    let ports = rules.iter().filter_map(|rule| rule["ports"].as_array()).flatten();
    Ok(ports.map(|port| format!("{} {}", port["protocol"].as_str().unwrap_or("TCP"), port["port"])).collect())
}

#[test]
fn a_policy_lets_the_controller_reach_its_hardware_wherever_that_is() -> anyhow::Result<()> {
    let reached = ["UDP 53", "TCP 53", "TCP 443", "TCP 6443"].map(str::to_owned);
    let values = |url: &str, extra: Value| {
        json!({
            "networkPolicy": {"egress": {"enabled": true, "extra": extra}},
            "hardware": {"enabled": url.is_empty(), "url": url},
            "extraArgs": ["--hardware-ca-file=/authority/ca.crt"],
        })
    };
    for (url, port) in [
        ("", Some("TCP 9090")),
        ("http://hardware.example:7070", Some("TCP 7070")),
        ("http://[2001:db8::1]:7070/", Some("TCP 7070")),
        ("http://hardware.example", Some("TCP 80")),
        ("https://hardware.example:8443", Some("TCP 8443")),
        // Which is open already.
        ("https://hardware.example", None),
    ] {
        let expected: Vec<String> = reached.iter().cloned().chain(port.map(str::to_owned)).collect();
        assert_eq!(ports_out(&values(url, json!([])))?, expected, "{url}");
    }
    let further = ports_out(&values("", json!([{"ports": [{"protocol": "TCP", "port": 4317}]}])))?;
    assert_eq!(further.last().map(String::as_str), Some("TCP 4317"), "a collector of traces: {further:?}");
    Ok(())
}

#[test]
fn the_operator_of_prometheus_is_told_to_leave_our_labels_alone() -> anyhow::Result<()> {
    let objects = Helm::offline()?.objects(Chart::Controller, &json!({"serviceMonitor": {"enabled": true}}))?;
    let monitor = objects.iter().find(|object| object["kind"] == "ServiceMonitor").context("no ServiceMonitor")?;
    let endpoints = monitor["spec"]["endpoints"].as_array().context("no endpoint")?;
    assert!(!endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint["honorLabels"] == true), "{endpoints:?}");
    Ok(())
}

/// What is measured is what runs: the benchmark's controller with hardware elsewhere has these, too.
#[test]
fn the_controller_has_the_heap_that_the_benchmark_measures() -> anyhow::Result<()> {
    let objects = Helm::offline()?.objects(Chart::Controller, &json!({}))?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().context("no env")?;
    let (name, value) = HEAP;
    assert!(env.contains(&json!({"name": name, "value": value})), "{name}: {env:?}");
    Ok(())
}

/// The controller never sees the key of the hardware, which lies in the same Secret as the authority.
#[test]
fn with_a_certificate_the_hardware_is_called_by_tls_and_keeps_its_key_to_itself() -> anyhow::Result<()> {
    let values = json!({"hardware": {"tls": {"secretName": "certificate"}}});
    let objects = Helm::offline()?.objects(Chart::Controller, &values)?;
    let of = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind).with_context(|| format!("no {kind}"));
        found.map(|object| object["spec"]["template"]["spec"].clone())
    };
    let items = |pod: &Value| -> Vec<String> {
        let volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
        let secret = volumes.iter().find(|volume| volume["secret"]["secretName"] == "certificate");
        let items = secret.and_then(|volume| volume["secret"]["items"].as_array().cloned()).unwrap_or_default();
        items.iter().filter_map(|item| item["key"].as_str().map(str::to_owned)).collect()
    };
    let has = |pod: &Value, flag: &str| {
        let flags = pod["containers"][0]["args"].as_array().cloned().unwrap_or_default();
        flags.iter().filter_map(Value::as_str).any(|given| given.starts_with(flag))
    };
    let (controller, hardware) = (of("Deployment")?, of("StatefulSet")?);
    assert!(has(&controller, "--hardware-url=https://scaleset-controller-hardware.scaleset-system.svc:9090"));
    assert!(has(&controller, "--hardware-ca-file=/var/run/secrets/scaleset-hardware-authority/ca.crt"));
    assert!(has(&hardware, "--tls-cert-file=") && has(&hardware, "--tls-key-file="));
    assert_eq!(
        (items(&controller), items(&hardware)),
        (vec!["ca.crt".to_owned()], vec!["tls.crt".to_owned(), "tls.key".to_owned()])
    );
    Ok(())
}

#[test]
fn the_controllers_chart_renders_as_before() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    for (name, values) in [
        ("defaults", json!({})),
        ("everything", everything()),
        ("least", least()),
        ("without-rights", without_rights()),
    ] {
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
    let expected =
        ["ClusterRole", "CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    assert_eq!(kinds, BTreeSet::from(expected), "and nothing else");
    let alone = helm.objects(Chart::Definitions, &json!({"aggregateRoles": false}))?;
    assert!(alone.iter().all(|object| object["kind"] != "ClusterRole"), "the built-in roles are left alone");
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
