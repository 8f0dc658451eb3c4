//! What the programs of the image are made of: every crate that is linked into them, as `CycloneDX` 1.6.
//!
//! Read from cargo's own resolution and `Cargo.lock`; crates that only build, derive or test are not in the programs and
//! not in the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::image::programs::Programs;

/// The document; the same sources give the same text.
pub(crate) fn text(root: &Path, programs: &Programs) -> anyhow::Result<String> {
    let lock = root.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
    let Programs { paths: _, packages, metadata } = programs;
    Ok(format!("{:#}\n", document(metadata, packages, &checksums(&lock))))
}

fn document(metadata: &Value, roots: &[String], checksums: &BTreeMap<(String, String), String>) -> Value {
    let packages: BTreeMap<&str, &Value> =
        each(&metadata["packages"]).map(|package| (word(&package["id"]), package)).collect();
    let links = links(metadata, &packages);
    let is_root = |package: &Value| package["source"].is_null() && roots.iter().any(|root| package["name"] == **root);
    let mut linked: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<&str> = packages.iter().filter(|(_, package)| is_root(package)).map(|(id, _)| *id).collect();
    while let Some(id) = left.pop() {
        if linked.insert(id) {
            left.extend(links.get(id).into_iter().flatten());
        }
    }
    let linked: Vec<&Value> = linked.iter().filter_map(|id| packages.get(id).copied()).collect();
    let mut components: Vec<Value> = linked.iter().map(|package| component(package, checksums)).collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let address = |id: &&str| packages.get(id).map(|package| purl(package));
    let mut dependencies: Vec<Value> = linked
        .iter()
        .map(|package| {
            let on = links.get(word(&package["id"])).into_iter().flatten().filter_map(address);
            json!({"ref": purl(package), "dependsOn": on.collect::<BTreeSet<String>>()})
        })
        .collect();
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "scaleset-controller", "version": env!("CARGO_PKG_VERSION")}},
        "components": components,
        "dependencies": dependencies,
    })
}

/// For each package those that are linked into whatever it is linked into. What derives is a normal dependency to cargo,
/// but runs in the compiler, with all that it needs itself.
fn links<'text>(
    metadata: &'text Value,
    packages: &BTreeMap<&str, &Value>,
) -> BTreeMap<&'text str, BTreeSet<&'text str>> {
    let derives = |id: &str| {
        let targets = packages.get(id).into_iter().flat_map(|package| each(&package["targets"]));
        targets.flat_map(|target| each(&target["kind"])).any(|kind| kind == "proc-macro")
    };
    let is_linked = |dependency: &&Value| {
        each(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()) && !derives(word(&dependency["pkg"]))
    };
    each(&metadata["resolve"]["nodes"])
        .map(|node| {
            let on = each(&node["deps"]).filter(is_linked).map(|dependency| word(&dependency["pkg"]));
            (word(&node["id"]), on.collect())
        })
        .collect()
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (word(&package["name"]), word(&package["version"]));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
    });
    if let Some(license) = package["license"].as_str() {
        // An older way to write that there is a choice.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", word(&package["name"]), word(&package["version"]))
}

/// The checksums of `Cargo.lock` by name and version; our own crates have none.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|quoted| quoted.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?)))
        .collect()
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_checksum_and_what_only_builds_is_not() {
        let of_kind = |name: &str, source: Value, kind: &str| {
            json!({
                "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source,
                "targets": [{"kind": [kind]}],
            })
        };
        let package = |name: &str, source: Value| of_kind(name, source, "lib");
        let on = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("ours", Value::Null), package("linked", json!("registry")), package("builds", json!("registry")),
                package("apart", json!("registry")), of_kind("derives", json!("registry"), "proc-macro"),
            ],
            "resolve": {"nodes": [
                {"id": "ours", "deps": [on("linked", Value::Null), on("builds", json!("build"))]},
                {"id": "linked", "deps": [on("derives", Value::Null)]},
                {"id": "derives", "deps": [on("apart", Value::Null)]},
                {"id": "builds", "deps": [on("apart", Value::Null)]},
            ]},
        });
        let lock = "[[package]]\nname = \"linked\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let document = document(&metadata, &["ours".to_owned()], &checksums(lock));
        let names: Vec<&Value> = each(&document["components"]).map(|component| &component["name"]).collect();
        assert_eq!(names, ["linked", "ours"]);
        assert_eq!(document["components"][0]["hashes"][0]["content"], "abc");
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["dependencies"][1]["dependsOn"], json!(["pkg:cargo/linked@1.0.0"]));
    }
}
