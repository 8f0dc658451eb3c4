//! The hardware of a release: broken by its values and mended by them, and called by mutual TLS.

use std::fs;

use anyhow::{Context, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use scaleset_tests::chart::{Chart, NAMESPACE, RELEASE};
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::release::{upgrade, upgrade_without_waiting, values};
use scaleset_tests::local::until;
use serde_json::{Value, json};

use crate::stage::{LIMIT, SHOP, Stage, set};

/// A Secret with what the chart gives to the hardware, and one with what the controller shows to it.
const SERVER: &str = "hardware-certificate";
const CLIENT: &str = "controller-certificate";

#[test]
fn hardware_that_cannot_start_is_mended_by_the_next_upgrade_and_then_called_by_mutual_tls() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let stage = Stage::new()?;
        stage.prepare()?;
        let mut values = values(&stage.settings())?;
        upgrade(&stage.helm, &Chart::Controller.path(), &values)?;
        broken_and_mended(&stage, &mut values).await?;
        stage.cluster.kubectl_with(&["apply"], &set("Standard_D2s_v3").to_string())?;
        stage.all_have("Standard_D2s_v3", 5).await?;
        mutual_tls(&stage, &mut values).await
    })
}

/// What keeps the hardware's pod from getting ready goes with the next upgrade; nobody has to delete the pod. A region file is read again
/// by the same pod, when the kubelet has brought it; an argument is the pod's.
async fn broken_and_mended(stage: &Stage, values: &mut Value) -> anyhow::Result<()> {
    let right = fs::read_to_string(workspace().join("controller/hardware/src/sim/region.yaml"))?;
    for (value, wrong, told, right) in [
        ("regionFile", json!("nonsense: true\n"), "region file ", json!(right)),
        ("extraArgs", json!(["--nonsense"]), "unexpected argument", json!([])),
    ] {
        values["hardware"][value] = wrong;
        upgrade_without_waiting(&stage.helm, &Chart::Controller.path(), values)?;
        let pod = format!("{RELEASE}-hardware-0");
        until("the hardware says why it does not come up", LIMIT, async || {
            let log = stage.kubectl(&["logs", &pod, "-n", NAMESPACE])?;
            ensure!(log.contains(told) && log.contains("nonsense"), "{log}");
            Ok(())
        })
        .await?;
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let said = stage.kubectl(&["get", "pod", &pod, "-n", NAMESPACE, "-o", ready])?;
        ensure!(said == "False", "the hardware is ready with such a value: {said}");
        values["hardware"][value] = right;
        upgrade(&stage.helm, &Chart::Controller.path(), values).with_context(|| format!("{value} is right again"))?;
    }
    Ok(())
}

/// Both sides show a certificate of one authority, and a new VM can be made.
async fn mutual_tls(stage: &Stage, values: &mut Value) -> anyhow::Result<()> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
    for (name, of) in [(SERVER, format!("{RELEASE}-hardware.{NAMESPACE}.svc")), (CLIENT, "controller".to_owned())] {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![of])?.signed_by(&key, &authority)?.pem();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": {"ca.crt": authority.pem(), "tls.crt": certificate, "tls.key": key.serialize_pem()},
        });
        stage.cluster.kubectl_with(&["apply"], &secret.to_string())?;
    }
    let mounted = |secret: &str, keys: &[&str]| {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        let volume = json!([{"name": "mutual", "secret": {"secretName": secret, "items": items}}]);
        (volume, json!([{"name": "mutual", "mountPath": "/mutual", "readOnly": true}]))
    };
    (values["extraVolumes"], values["extraVolumeMounts"]) = mounted(CLIENT, &["tls.crt", "tls.key"]);
    values["extraArgs"] = json!(["--hardware-cert-file=/mutual/tls.crt", "--hardware-key-file=/mutual/tls.key"]);
    let hardware = &mut values["hardware"];
    hardware["tls"] = json!({"secretName": SERVER});
    (hardware["extraVolumes"], hardware["extraVolumeMounts"]) = mounted(CLIENT, &["ca.crt"]);
    hardware["extraArgs"] = json!(["--client-ca-file=/mutual/ca.crt"]);
    upgrade(&stage.helm, &Chart::Controller.path(), values)?;
    stage.test()?;
    stage.kubectl(&["scale", "scaleset/web", "-n", SHOP, "--replicas=6"])?;
    stage.all_have("Standard_D2s_v3", 6).await
}
