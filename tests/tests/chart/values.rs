//! Values that are unknown or wrong are refused before anything is installed, and the refusal names them.

use scaleset_tests::chart::{Chart, Helm};
use serde_json::json;

#[test]
fn wrong_values_are_refused_by_name() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    for (values, phrases) in [
        (json!({"colour": "blue"}), ["additional properties", "colour"]),
        (json!({"image": {"tags": "1"}}), ["/image", "tags"]),
        (json!({"image": {"tag": "a b"}}), ["/image/tag", "pattern"]),
        (json!({"image": {"digest": "sha256:12"}}), ["/image/digest", "pattern"]),
        (json!({"image": {"pullPolicy": "Sometimes"}}), ["/image/pullPolicy", "Never"]),
        (json!({"replicaCount": "two"}), ["/replicaCount", "want integer"]),
        (json!({"replicaCount": 11}), ["/replicaCount", "maximum"]),
        (json!({"replicaCount": 2, "leaderElection": {"enabled": false}}), ["/leaderElection/enabled", "true"]),
        (json!({"leaderElection": {"renewDeadlineSeconds": 15}}), ["leaseDurationSeconds must be above", "15, 15"]),
        (json!({"leaderElection": {"retryPeriodSeconds": 9}}), ["must be above 1.2 times", "10, 9"]),
        (json!({"resources": {"request": {}}}), ["/resources", "request"]),
        (json!({"nodeSelector": {"disk": 1}}), ["/nodeSelector/disk", "want string"]),
        (json!({"service": {"port": 80}}), ["/service/port", "minimum"]),
        (json!({"watchNamespace": "a,b"}), ["/watchNamespace", "pattern"]),
        (json!({"watchNamespace": ["a", "b"]}), ["/watchNamespace", "want string"]),
        (json!({"hardware": {"tokenSecretName": "A"}}), ["/hardware/tokenSecretName", "pattern"]),
        (json!({"listenAddress": "::"}), ["/listenAddress", "pattern"]),
        (json!({"alerts": {"enabled": true}}), ["/alerts/runbookUrl", "minLength"]),
        (json!({"alerts": {"enabled": true, "runbookUrl": "docs/runbook.md"}}), ["/alerts/runbookUrl", "pattern"]),
        (json!({"alerts": {"runbookUrl": "https://a/b#c"}}), ["/alerts/runbookUrl", "pattern"]),
        (json!({"suddenScaleIn": "never"}), ["/suddenScaleIn", "hold"]),
        (json!({"extraArgs": "--log-level=debug"}), ["/extraArgs", "want array"]),
        (json!({"hardware": {"timeScale": 0}}), ["/hardware/timeScale", "exclusiveMinimum"]),
        (json!({"hardware": {"seed": "x"}}), ["/hardware/seed", "want"]),
        (json!({"hardware": {"latency": "none"}}), ["/hardware/latency", "zero"]),
        (json!({"hardware": {"enabled": false}}), ["/hardware/url", "minLength"]),
        (json!({"hardware": {"url": "hardware:9090"}}), ["/hardware/url", "pattern"]),
        (json!({"hardware": {"persistence": {"size": "big"}}}), ["/hardware/persistence/size", "pattern"]),
        (json!({"fullnameOverride": "1st"}), ["/fullnameOverride", "pattern"]),
        (json!({"fullnameOverride": "our.sets"}), ["/fullnameOverride", "pattern"]),
        (json!({"nameOverride": "a".repeat(51)}), ["/nameOverride", "maxLength"]),
        (json!({"nameOverride": "Sets"}), ["/nameOverride", "pattern"]),
        (json!({"terminationGracePeriodSeconds": 12}), ["/terminationGracePeriodSeconds", "minimum"]),
        (json!({"extraVolumeMounts": [{"name": "a"}]}), ["/extraVolumeMounts/0", "mountPath"]),
        (json!({"networkPolicy": {"egress": {"extra": {}}}}), ["/networkPolicy/egress/extra", "want array"]),
        (json!({"hardware": {"tls": {"secretName": "A"}}}), ["/hardware/tls/secretName", "pattern"]),
        (json!({"hardware": {"url": "https://a:1"}}), ["https://a:1 needs the authority", "hardware.tls.secretName"]),
        (
            json!({"hardware": {"url": "http://a:1", "tls": {"secretName": "a"}}}),
            ["hardware.url must begin with https://", "it is http://a:1"],
        ),
        (json!({"serviceAccount": {"create": false}}), ["serviceAccount.name", "must name an account"]),
    ] {
        let refused = helm.render(Chart::Controller, &values).expect_err(&values.to_string()).to_string();
        for phrase in phrases {
            assert!(refused.contains(phrase), "{values}: {phrase:?} is not in: {refused}");
        }
    }
    for values in [
        json!({"controllerUsername": ""}),
        json!({"controllerUsername": "a\" || true"}),
        json!({"furtherControllerUsernames": ["a", "b\" || true"]}),
        json!({"user": "x"}),
    ] {
        helm.render(Chart::Definitions, &values).expect_err(&values.to_string());
    }
    Ok(())
}

/// The name of a release may begin with a digit, the name of a Service may not.
#[test]
fn a_release_whose_name_cannot_be_a_services_is_told_what_to_do() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let chart = Chart::Controller.path().display().to_string();
    let refused = helm.run(&["template", "1st", &chart]).expect_err("no Service is called so").to_string();
    for phrase in ["\"1st-scaleset-controller\" is no name for a Service", "set fullnameOverride"] {
        assert!(refused.contains(phrase), "{phrase:?} is not in: {refused}");
    }
    helm.run(&["template", "1st", &chart, "--set", "fullnameOverride=first"]).map(drop)
}

/// Every value of values.yaml is described by the schema, and nothing else is.
#[test]
fn the_schema_knows_the_values_and_no_others() -> anyhow::Result<()> {
    let folder = Chart::Controller.path();
    let values: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(folder.join("values.yaml"))?)?;
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("values.schema.json"))?)?;
    let mut open = vec![("values".to_owned(), &values, &schema)];
    while let Some((path, values, schema)) = open.pop() {
        let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else { continue };
        // Helm passes `global` to every chart; nobody lists the claims of resources that are shared.
        let known = properties.keys().filter(|name| !["global", "claims"].contains(&name.as_str()));
        assert_eq!(values.keys().collect::<Vec<_>>(), known.collect::<Vec<_>>(), "{path}");
        open.extend(values.iter().map(|(name, value)| (format!("{path}.{name}"), value, &properties[name])));
    }
    Ok(())
}
