//! The kustomize base installs what the chart of the kinds and the controller's manifests install.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use scaleset_tests::local::cluster::workspace;
use serde_json::Value;

use crate::world::{peaceful, run_bare};

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

fn objects(yaml: &str) -> anyhow::Result<Objects> {
    let mut objects = Objects::new();
    for document in format!("\n{yaml}").split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).with_context(|| document.to_owned())?;
        if object.is_null() {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        ensure!(objects.insert(key.clone(), object).is_none(), "{key:?} is there twice");
    }
    Ok(objects)
}

fn manifests(directory: &Path) -> anyhow::Result<Objects> {
    let mut all = Objects::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        all.extend(objects(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?);
    }
    Ok(all)
}

/// What helm renders; the charts keep the kinds when they go, which is nothing to the API server.
fn chart(helm: &Path) -> anyhow::Result<Objects> {
    let output = Command::new(helm)
        .args(["template", "kinds", "--set", "controllerUsername=scaleset-controller,aggregateRoles=false"])
        .arg(workspace().join("charts/scaleset-crds"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rendered = objects(&String::from_utf8(output.stdout)?)?;
    for object in rendered.values_mut() {
        let Some(metadata) = object["metadata"].as_object_mut() else { continue };
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let kept = annotations.and_then(|annotations| {
            annotations.remove("helm.sh/resource-policy");
            annotations.is_empty().then_some(())
        });
        if kept.is_some() {
            metadata.remove("annotations");
        }
    }
    Ok(rendered)
}

#[test]
fn the_base_is_the_chart_of_the_kinds_and_the_controllers_manifests() {
    run_bare(async || {
        let cluster = &peaceful().await.cluster;
        let base = workspace().join("hack/kustomize/base").display().to_string();
        let built = objects(&cluster.kubectl(&["kustomize", &base])?)?;
        let mut expected = chart(&cluster.plane().binaries().path("helm"))?;
        expected.extend(manifests(&workspace().join("controller/manifests"))?);
        assert_eq!(built.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (key, object) in &built {
            assert_eq!(Some(object), expected.get(key), "{key:?}");
        }
        // What is installed already is this.
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", &base])?;
        Ok(())
    });
}

#[test]
fn the_overlay_for_a_service_account_leaves_the_users_name_nowhere() {
    run_bare(async || {
        let cluster = &peaceful().await.cluster;
        let overlay = workspace().join("hack/kustomize/service-account").display().to_string();
        let built = objects(&cluster.kubectl(&["kustomize", &overlay])?)?;
        let account = "system:serviceaccount:scaleset-system:scaleset-controller";
        let guards = |object: &&Value| object["kind"] == "ValidatingAdmissionPolicy";
        let guard = built.values().find(guards).context("the guard is there")?;
        assert!(guard["spec"]["matchConditions"].to_string().contains(account), "{guard}");
        let (mut users, mut accounts) = (0, 0);
        for subject in built.values().flat_map(|object| object["subjects"].as_array().into_iter().flatten()) {
            let ours = subject["name"] == "scaleset-controller";
            users += usize::from(ours && subject["kind"] == "User");
            accounts += usize::from(ours && subject["kind"] == "ServiceAccount");
        }
        assert_eq!((users, accounts), (0, 2));
        Ok(())
    });
}
