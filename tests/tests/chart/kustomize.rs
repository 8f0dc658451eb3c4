//! The kustomize bases install what the charts install, and what the manifests of a local run do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use scaleset_tests::chart::{Chart, Helm, NAMESPACE, kustomize};
use scaleset_tests::local::cluster::{LocalCluster, workspace};
use serde_json::{Value, json};

use crate::pods::restricted;

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

fn by_name(objects: Vec<Value>) -> anyhow::Result<Objects> {
    let mut found = Objects::new();
    for object in objects {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        ensure!(found.insert(key.clone(), object).is_none(), "{key:?} is there twice");
    }
    Ok(found)
}

fn parsed(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    objects.retain(|object| !object.is_null());
    Ok(objects)
}

fn manifests(directory: &Path) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        all.extend(parsed(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?);
    }
    Ok(all)
}

fn folder(name: &str) -> String {
    workspace().join("hack/kustomize").join(name).display().to_string()
}

fn built(name: &str) -> anyhow::Result<String> {
    Ok(restricted().kubectl(&["kustomize", &folder(name)])?)
}

/// What helm renders, without hooks and without what only helm reads: the charts keep the kinds when they go, which is
/// nothing to the API server.
fn charts(definitions: &Value) -> anyhow::Result<Objects> {
    let helm = Helm::offline()?;
    let mut objects = helm.objects(Chart::Definitions, definitions)?;
    objects.extend(helm.objects(Chart::Controller, &json!({}))?);
    objects.retain(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_null());
    objects.iter_mut().for_each(forget_helm);
    by_name(objects)
}

fn forget_helm(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_helms = |name: &str, value: &Value| {
                name.starts_with("helm.sh/") || (name == "app.kubernetes.io/managed-by" && value == "Helm")
            };
            fields.retain(|name, value| !is_helms(name, value));
            fields.values_mut().for_each(forget_helm);
            if fields.get("annotations").is_some_and(|annotations| annotations == &json!({})) {
                fields.remove("annotations");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_helm),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_same(built: &Objects, expected: &Objects) {
    assert_eq!(built.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, object) in built {
        assert_eq!(Some(object), expected.get(key), "{key:?}");
    }
}

#[test]
fn the_files_of_the_base_are_those_of_the_charts() -> anyhow::Result<()> {
    let written_here = ["kustomization.yaml", "namespace.yaml"];
    let files = kustomize::files()?;
    for (name, text) in &files {
        let kept = fs::read_to_string(Path::new(&folder("base")).join(name)).unwrap_or_default();
        assert!(kept == *text, "hack/kustomize/base/{name} is not what the charts give: run `make generate`");
    }
    let mut left = BTreeSet::new();
    for entry in fs::read_dir(folder("base"))? {
        left.insert(entry?.file_name().into_string().unwrap_or_default());
    }
    left.retain(|name| !written_here.contains(&name.as_str()) && !files.contains_key(name));
    assert_eq!(left, BTreeSet::new(), "no template writes these any more");
    Ok(())
}

#[test]
fn the_base_is_both_charts_and_their_namespace() -> anyhow::Result<()> {
    let mut built = by_name(parsed(&built("base")?)?)?;
    let namespace = built.remove(&("Namespace".to_owned(), NAMESPACE.to_owned())).context("no namespace")?;
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert_same(&built, &charts(&json!({}))?);
    Ok(())
}

#[test]
fn the_base_for_a_controller_outside_is_the_kinds_and_the_controllers_manifests() -> anyhow::Result<()> {
    let values = json!({"controllerUsername": "scaleset-controller", "aggregateRoles": false});
    let mut objects = Helm::offline()?.objects(Chart::Definitions, &values)?;
    objects.iter_mut().for_each(forget_helm);
    objects.extend(manifests(&workspace().join("controller/manifests"))?);
    assert_same(&by_name(parsed(&built("outside")?)?)?, &by_name(objects)?);
    Ok(())
}

/// The example changes the namespace wherever it stands, also within words.
#[test]
fn the_example_leaves_the_namespace_of_the_base_nowhere() -> anyhow::Result<()> {
    let text = built("example")?;
    let left: Vec<&str> = text.lines().filter(|line| line.contains(NAMESPACE)).collect();
    assert_eq!(left, Vec::<&str>::new());
    for phrase in [
        r#"!= "system:serviceaccount:sets:scaleset-controller""#,
        "--token-user=system:serviceaccount:sets:scaleset-controller",
        "--token-audience=scaleset-controller-hardware.sets",
        "audience: scaleset-controller-hardware.sets",
        "--hardware-url=http://scaleset-controller-hardware.sets.svc:9090",
        "image: registry.example/scaleset-controller:0.1.0",
        "replicas: 2",
    ] {
        assert!(text.contains(phrase), "{phrase:?} is not in:\n{text}");
    }
    Ok(())
}

/// A server that has none of it takes all of it at once, finds nothing to change the second time, and lets its kinds be used.
#[test]
fn a_server_takes_the_base_and_finds_no_difference_afterwards() -> anyhow::Result<()> {
    let cluster = LocalCluster::bare()?;
    let apply = |name: &str, more: &[&str]| {
        cluster.kubectl(&[&["apply", "--server-side", "-k", &folder(name)][..], more].concat())
    };
    apply("base", &[])?;
    cluster.kubectl(&["diff", "--server-side", "-k", &folder("base")])?;
    cluster.kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"])?;
    let samples = workspace().join("hack/samples").display().to_string();
    cluster.kubectl(&["apply", "--server-side", "-f", &samples])?;
    cluster.kubectl(&["create", "namespace", "sets"])?;
    apply("example", &["--dry-run=server"])?;
    Ok(())
}
