//! The apply that is tried: as whoever keeps the object would do it, so that what a manifest no longer says is taken away.
//!
//! An object that `kubectl apply` keeps has its last manifest in an annotation: the patch is then kubectl's three-way merge. One
//! that is kept by server-side apply is applied by the same field manager. What was made otherwise is only added to, as the
//! first `kubectl apply` would.

use kube::api::{Patch, PatchParams};
use scaleset_controller::merge_patch::merge_patch;
use scaleset_crds::ScaleSet;
use serde_json::{Map, Value};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Who applies what nobody has applied before.
const FIELD_MANAGER: &str = "kubectl-scaleset-plan";

/// How a manifest is tried on the object that there is, if any; nothing is kept.
pub(super) fn attempt(live: Option<&ScaleSet>, manifest: &Value) -> (PatchParams, Patch<Value>) {
    let server_side = |manager: &str| {
        let parameters = PatchParams::apply(manager).force().dry_run().validation_strict();
        (parameters, Patch::Apply(manifest.clone()))
    };
    let Some(live) = live else { return server_side(FIELD_MANAGER) };
    let annotations = live.metadata.annotations.as_ref();
    let last = annotations.and_then(|annotations| annotations.get(LAST_APPLIED));
    match (last.and_then(|last| serde_json::from_str(last).ok()), applier(live)) {
        (None, Some(manager)) => server_side(manager),
        (last, _) => {
            let present = serde_json::to_value(live).expect("a set is plain data");
            let patch = three_way(&last.unwrap_or_default(), manifest, &present);
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            (parameters.dry_run().validation_strict(), Patch::Merge(patch))
        }
    }
}

/// Who keeps the spec by server-side apply.
fn applier(live: &ScaleSet) -> Option<&str> {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    let applied = entries.find(|entry| entry.operation.as_deref() == Some("Apply") && entry.subresource.is_none())?;
    applied.manager.as_deref()
}

/// What the manifest says otherwise than the object, and what the last manifest said and this one does not.
fn three_way(last: &Value, manifest: &Value, present: &Value) -> Value {
    let mut patch = without_nulls(merge_patch(present, manifest));
    add(&mut patch, only_nulls(merge_patch(last, manifest)));
    patch
}

fn without_nulls(patch: Value) -> Value {
    let Value::Object(fields) = patch else { return patch };
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
}

fn only_nulls(patch: Value) -> Value {
    let Value::Object(fields) = patch else { return Value::Object(Map::new()) };
    let named = fields.into_iter().map(|(name, value)| {
        let kept = if value.is_null() { value } else { only_nulls(value) };
        (name, kept)
    });
    Value::Object(named.filter(|(_, value)| *value != Value::Object(Map::new())).collect())
}

/// Puts `more` into a patch.
fn add(patch: &mut Value, more: Value) {
    match (patch.as_object_mut(), more) {
        (Some(fields), Value::Object(more)) => {
            for (name, value) in more {
                add(fields.entry(name).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (_, more) => *patch = more,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_last_manifest_said_and_this_one_does_not_is_taken_away() {
        let last =
            json!({"spec": {"tags": {"team": "a", "cost": "1"}, "extensions": [{"name": "app"}], "mode": "Manual"}});
        let manifest = json!({"spec": {"tags": {"team": "b"}, "mode": "Manual"}});
        let present = json!({
            "metadata": {"uid": "1"},
            "spec": {
                "tags": {"team": "a", "cost": "1", "other": "x"}, "extensions": [{"name": "app"}], "mode": "Manual",
                "replicas": 3,
            },
        });
        let expected = json!({"spec": {"tags": {"team": "b", "cost": null}, "extensions": null}});
        assert_eq!(three_way(&last, &manifest, &present), expected);
        let first = three_way(&Value::Null, &manifest, &present);
        assert_eq!(first, json!({"spec": {"tags": {"team": "b"}}}), "nobody else's fields are touched");
        assert_eq!(three_way(&manifest, &manifest, &manifest), json!({}));
    }
}
