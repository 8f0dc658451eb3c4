//! The pods of the chart in a namespace that enforces the strictest level of Pod Security.

use std::io::Write;
use std::sync::OnceLock;

use scaleset_control_plane::ControlPlane;
use scaleset_tests::chart::{Chart, Helm, NAMESPACE};
use serde_json::{Value, json};

/// The namespace of the release, which enforces the level Restricted.
pub fn restricted() -> &'static ControlPlane {
    static MADE: OnceLock<()> = OnceLock::new();
    let plane = ControlPlane::shared();
    MADE.get_or_init(|| {
        let made = plane.kubectl(&["create", "namespace", NAMESPACE]).and_then(|_| {
            let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}=restricted");
            plane.kubectl(&["label", "namespace", NAMESPACE, &level("enforce"), &level("warn")])
        });
        made.unwrap_or_else(|error| panic!("{error}"));
    });
    plane
}

/// Workloads are only warned of, pods are refused: so each template is tried as a pod.
#[test]
fn every_pod_is_restricted() -> anyhow::Result<()> {
    let objects = Helm::offline()?.objects(Chart::Controller, &json!({}))?;
    let mut pods = Vec::new();
    for object in &objects {
        let template = match object["kind"].as_str() {
            Some("Pod") => object,
            Some("Deployment" | "StatefulSet" | "Job") => &object["spec"]["template"],
            _ => continue,
        };
        let mut spec = template["spec"].clone();
        // The API server does not know the accounts, and the question is another.
        spec["serviceAccountName"] = Value::Null;
        let mut mounts: Vec<Value> = spec["volumes"].as_array().cloned().unwrap_or_default();
        if object["kind"] == "StatefulSet" {
            mounts.push(json!({"name": "store", "emptyDir": {}}));
        }
        spec["volumes"] = mounts.into();
        for container in spec["containers"].as_array().into_iter().flatten() {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
            assert!(container["resources"]["requests"]["memory"].is_string(), "{container}");
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_lowercase();
        pods.push(json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": format!("pod-{}-{name}", pods.len()), "namespace": NAMESPACE}}));
    }
    assert_eq!(pods.len(), 4, "controller, hardware, test and uninstall guard");
    let mut file = tempfile::Builder::new().suffix(".json").tempfile()?;
    write!(file, "{}", json!({"apiVersion": "v1", "kind": "List", "items": pods}))?;
    let path = file.path().display().to_string();
    let kubectl = restricted();
    // The account that a pod falls back to is made by a controller a moment after the namespace.
    kubectl.kubectl(&["wait", "--for=create", "serviceaccount/default", "-n", NAMESPACE, "--timeout=60s"])?;
    kubectl.kubectl(&["create", "--dry-run=server", "--warnings-as-errors", "-f", &path])?;

    let mut loose = pods[0].clone();
    loose["spec"]["containers"][0]["securityContext"] = Value::Null;
    std::fs::write(file.path(), loose.to_string())?;
    let refused = kubectl.kubectl(&["create", "--dry-run=server", "-f", &path]).expect_err("it is not restricted");
    assert!(refused.to_string().contains("violates PodSecurity"), "the level is enforced: {refused}");
    Ok(())
}
