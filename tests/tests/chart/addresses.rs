//! Pods that have an address of IPv6, IPv4 or both are reached all the same.

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm};
use serde_json::{Value, json};

/// What the first container of an object of this kind is started with.
fn arguments(objects: &[Value], kind: &str) -> anyhow::Result<Vec<String>> {
    let object = objects.iter().find(|object| object["kind"] == kind).with_context(|| format!("no {kind}"))?;
    let pod = if kind == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
    let arguments = pod["containers"][0]["args"].as_array().context("no arguments")?;
    Ok(arguments.iter().filter_map(|argument| argument.as_str().map(str::to_owned)).collect())
}

#[test]
fn programs_listen_on_all_addresses_and_are_called_by_name() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    for (values, address) in [(json!({}), "[::]"), (json!({"listenAddress": "0.0.0.0"}), "0.0.0.0")] {
        let objects = helm.objects(Chart::Controller, &values)?;
        let listens = |kind: &str| -> anyhow::Result<Vec<String>> {
            let mut flags = arguments(&objects, kind)?;
            flags.retain(|flag| flag.contains("listen="));
            Ok(flags)
        };
        assert_eq!(listens("Deployment")?, [format!("--health-listen={address}:8081")]);
        assert_eq!(
            listens("StatefulSet")?,
            [format!("--listen={address}:9090"), format!("--health-listen={address}:8082")]
        );
        // An address from the environment would need brackets if it is one of IPv6, and must have none otherwise.
        let asked = "--url=http://scaleset-controller.scaleset-system.svc:8081".to_owned();
        assert!(arguments(&objects, "Pod")?.contains(&asked), "helm test");
        let hardware = "--hardware-url=http://scaleset-controller-hardware.scaleset-system.svc:9090".to_owned();
        assert!(arguments(&objects, "Deployment")?.contains(&hardware));
    }
    Ok(())
}
