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
        (json!({"suddenScaleIn": "never"}), ["/suddenScaleIn", "hold"]),
        (json!({"extraArgs": "--log-level=debug"}), ["/extraArgs", "want array"]),
        (json!({"hardware": {"timeScale": 0}}), ["/hardware/timeScale", "exclusiveMinimum"]),
        (json!({"hardware": {"seed": "x"}}), ["/hardware/seed", "want"]),
        (json!({"hardware": {"latency": "none"}}), ["/hardware/latency", "zero"]),
        (json!({"hardware": {"enabled": false}}), ["/hardware/url", "minLength"]),
        (json!({"hardware": {"url": "hardware:9090"}}), ["/hardware/url", "pattern"]),
        (json!({"hardware": {"persistence": {"size": "big"}}}), ["/hardware/persistence/size", "pattern"]),
        (json!({"serviceAccount": {"create": false}}), ["serviceAccount.name", "must name an account"]),
    ] {
        let refused = helm.render(Chart::Controller, &values).expect_err(&values.to_string()).to_string();
        for phrase in phrases {
            assert!(refused.contains(phrase), "{values}: {phrase:?} is not in: {refused}");
        }
    }
    for values in
        [json!({"controllerUsername": ""}), json!({"controllerUsername": "a\" || true"}), json!({"user": "x"})]
    {
        helm.render(Chart::Definitions, &values).expect_err(&values.to_string());
    }
    Ok(())
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
