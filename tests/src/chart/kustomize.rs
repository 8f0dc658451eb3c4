//! The files of the kustomize base that come from the charts: what helm renders, without what only helm reads.
//!
//! Definitions and policy are not among them: those are in `crds/`, which the base takes as it is. What runs around an
//! uninstall or a test of helm has nobody to run it.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::json;

use super::{Chart, Helm};

const HEADER: &str = "# Generated from charts/ by `make generate`; do not edit.\n";
/// Files of chart scaleset-crds that are in the base by themselves.
const ELSEWHERE: &str = "CustomResourceDefinition|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding";

/// Every file by its name, which is its template's.
pub fn files() -> anyhow::Result<BTreeMap<String, String>> {
    let helm = Helm::offline()?;
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for chart in [Chart::Definitions, Chart::Controller] {
        for document in format!("\n{}", helm.render(chart, &json!({}))?).split("\n---\n") {
            let Some((source, manifest)) = of_template(document) else { continue };
            let kind =
                manifest.lines().find_map(|line| line.strip_prefix("kind: ")).context("a manifest has a kind")?;
            if manifest.contains("helm.sh/hook") || ELSEWHERE.split('|').any(|elsewhere| elsewhere == kind) {
                continue;
            }
            let text = files.entry(source.to_owned()).or_default();
            text.push_str(if text.is_empty() { HEADER } else { "---\n" });
            text.push_str(&plain(manifest));
        }
    }
    Ok(files)
}

/// A document of what helm renders: the file that it comes from, and itself.
fn of_template(document: &str) -> Option<(&str, &str)> {
    let (_, rest) = document.split_once("# Source: ")?;
    let (path, manifest) = rest.split_once('\n')?;
    Some((path.rsplit('/').next()?, manifest.trim_matches('\n')))
}

/// Without the labels that say which chart of helm's it is.
fn plain(manifest: &str) -> String {
    let of_helm = ["helm.sh/chart:", "app.kubernetes.io/managed-by: Helm"];
    let kept = manifest.lines().filter(|line| !of_helm.iter().any(|start| line.trim_start().starts_with(start)));
    kept.flat_map(|line| [line, "\n"]).collect()
}
