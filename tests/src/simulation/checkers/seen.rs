//! The objects as the judge reads them: from their stored form, in its own words.

use std::collections::BTreeMap;

use scaleset_controller::cluster::Kind;
use scaleset_crds::labels;
use scaleset_hardware::catalog::ZoneState;
use scaleset_hardware::{Catalog, Hardware};
use serde_json::Value;

use crate::simulation::stage::Stage;

/// Sets, members and operations by uid.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) operations: BTreeMap<String, OperationSeen>,
    pub(super) sets: BTreeMap<String, SetSeen>,
    pub(super) members: BTreeMap<String, MemberSeen>,
}

#[derive(Clone, Debug)]
pub(super) struct SetSeen {
    pub(super) name: String,
    pub(super) target: i64,
    /// Most members that a rolling upgrade may make before others go.
    pub(super) surge: i64,
    /// Not being deleted.
    pub(super) live: bool,
    /// Manual or paused.
    pub(super) still: bool,
    pub(super) newest: String,
    /// The newest version of its image, where its members are to follow it.
    pub(super) newest_image: Option<String>,
    pub(super) zones: Vec<String>,
    /// Whether one of them is down.
    pub(super) zones_down: bool,
    pub(super) object: Value,
}

/// Something that a person has asked for once.
#[derive(Clone, Debug)]
pub(super) struct OperationSeen {
    pub(super) name: String,
    pub(super) operation_type: String,
    /// Uids of the members that it has settled on.
    pub(super) instances: Vec<String>,
    pub(super) ended: bool,
}

/// What a member is protected from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protected {
    No,
    FromScaleIn,
    FromActions,
}

#[derive(Clone, Debug)]
pub(super) struct MemberSeen {
    pub(super) name: String,
    pub(super) uid: String,
    /// Uid of the set that made it; empty for one made by hand.
    pub(super) owner: String,
    /// Namespaced name of the set that it belongs to, with that set's uid where it owns it.
    pub(super) set: String,
    pub(super) id: Option<i64>,
    pub(super) zone: String,
    /// Its mark in a scale-out that makes more than was asked for; empty for others.
    pub(super) surplus: String,
    pub(super) revision: String,
    /// The member in whose place it was made while that one still ran; empty for others.
    pub(super) replaces: String,
    /// The words of the mark that a repair has left: which try, what, since when, and whom it replaces.
    pub(super) repair: Vec<String>,
    /// Whether it was made by an upgrade or a repair, in the place of a member that went.
    pub(super) follows: bool,
    pub(super) generation: i64,
    pub(super) terminating: bool,
    pub(super) protected: Protected,
    pub(super) power_wish: String,
    pub(super) object: Value,
}

impl Seen {
    pub(super) fn of(stage: &Stage) -> Self {
        let catalog = stage.block_on(stage.hardware.catalog()).ok();
        let sets = stage.cluster.all(Kind::ScaleSet).into_iter();
        let sets = sets.map(|object| {
            let newest_image = catalog.as_ref().and_then(|catalog| newest_image(&object, catalog));
            let down = catalog.as_ref().is_none_or(|catalog| zones_down(&object, catalog));
            (uid(&object), SetSeen { zones_down: down, ..set(object, newest_image) })
        });
        let members = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| stage.cluster.all(kind));
        let operations = stage.cluster.all(Kind::ScaleSetOperation).into_iter();
        let operations = operations.map(|object| (uid(&object), operation(&object))).collect();
        Self {
            operations,
            sets: sets.collect(),
            members: members.map(|object| (uid(&object), member(object))).collect(),
        }
    }

    /// Members that the set made, that are not going and that count: not its extras.
    pub(super) fn live_made(&self, set_uid: &str) -> impl Iterator<Item = &MemberSeen> {
        let counts = |member: &&MemberSeen| member.surplus != "Overprovisioned";
        self.members.values().filter(move |member| member.owner == set_uid && !member.terminating).filter(counts)
    }
}

impl Seen {
    /// Members that were made to replace one that was not well and is not going yet: a pass has died in between.
    pub(super) fn beside_their_predecessors(&self, set_uid: &str) -> usize {
        let there = |name: &String| self.live_made(set_uid).any(|other| other.name == *name);
        self.live_made(set_uid).filter(|member| member.repair.get(3).is_some_and(there)).count()
    }

    /// Members that were made, by an upgrade or a repair, in the place of one that is not going yet.
    pub(super) fn beside_a_predecessor(&self, set_uid: &str) -> usize {
        let there = |name: &String| self.live_made(set_uid).any(|other| other.name == *name);
        let beside = |member: &&MemberSeen| there(&member.replaces) || member.repair.get(3).is_some_and(there);
        self.live_made(set_uid).filter(beside).count()
    }

    /// Whether an operation of one of these types has settled on that member.
    pub(super) fn is_asked_for(&self, member_uid: &str, types: &[&str]) -> bool {
        self.operations.values().any(|operation| {
            types.contains(&operation.operation_type.as_str())
                && operation.instances.iter().any(|instance| instance == member_uid)
        })
    }
}

fn operation(object: &Value) -> OperationSeen {
    let status = &object["status"];
    OperationSeen {
        name: text(&object["metadata"]["name"]),
        operation_type: text(&object["spec"]["type"]),
        instances: status["instances"].as_array().into_iter().flatten().map(|one| text(&one["uid"])).collect(),
        ended: !status["completionTime"].is_null(),
    }
}

fn zones_down(object: &Value, catalog: &Catalog) -> bool {
    let region = catalog.regions.get(&text(&object["spec"]["location"]));
    let mut zones = object["spec"]["zones"].as_array().into_iter().flatten().map(text);
    zones.any(|zone| region.is_none_or(|region| region.zones.get(&zone) != Some(&ZoneState::Available)))
}

/// Where the policy is on and the model says `latest`.
fn newest_image(object: &Value, catalog: &Catalog) -> Option<String> {
    let spec = &object["spec"];
    let image = &spec["virtualMachineProfile"]["storageProfile"]["imageReference"];
    let follows = spec["upgradePolicy"]["automaticOSUpgradePolicy"]["enableAutomaticOSUpgrade"] == true
        && image["version"] == "latest";
    let family = ["publisher", "offer", "sku"].map(|part| text(&image[part])).join(":");
    let region = catalog.regions.get(&text(&spec["location"]))?;
    region.images.get(&family).filter(|_| follows)?.last().cloned()
}

fn set(object: Value, newest_image: Option<String>) -> SetSeen {
    let (spec, policy) = (&object["spec"], &object["spec"]["upgradePolicy"]);
    SetSeen {
        name: text(&object["metadata"]["name"]),
        target: target(&object),
        surge: surge(&object),
        live: object["metadata"]["deletionTimestamp"].is_null(),
        still: policy["mode"] == "Manual" || policy["paused"] == true,
        newest: text(&object["status"]["modelRevision"]),
        newest_image,
        zones: spec["zones"].as_array().into_iter().flatten().map(text).collect(),
        zones_down: false,
        object,
    }
}

/// Of a batch, which is at most a share of the set and at least one.
fn surge(object: &Value) -> i64 {
    let (spec, policy) = (&object["spec"], &object["spec"]["upgradePolicy"]);
    let rolling = &policy["rollingUpgradePolicy"];
    if policy["mode"] != "Rolling" {
        return 0;
    }
    let share = rolling["maxBatchInstancePercent"].as_i64().unwrap_or(20);
    let batch = (spec["replicas"].as_i64().unwrap_or(0) * share / 100).max(1);
    let percent = rolling["maxSurge"].as_str().and_then(|percent| percent.trim_end_matches('%').parse::<i64>().ok());
    percent.map_or(rolling["maxSurge"].as_i64().unwrap_or(0).min(batch), |percent| (batch * percent + 99) / 100)
}

fn member(object: Value) -> MemberSeen {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let owner = text(&metadata["ownerReferences"][0]["uid"]);
    let policy = &spec["protectionPolicy"];
    let protected = match (&policy["protectFromScaleSetActions"], &policy["protectFromScaleIn"]) {
        (Value::Bool(true), _) => Protected::FromActions,
        (_, Value::Bool(true)) => Protected::FromScaleIn,
        (_, _) => Protected::No,
    };
    MemberSeen {
        name: text(&metadata["name"]),
        uid: uid(&object),
        set: format!("{}/{owner}", text(&spec["scaleSetRef"]["name"])),
        owner,
        id: spec["instanceId"].as_str().and_then(|id| id.parse().ok()),
        zone: text(&spec["zone"]),
        surplus: text(&spec["surplus"]),
        revision: text(&metadata["labels"][labels::MODEL_REVISION]),
        replaces: text(&metadata["annotations"][labels::ROLLING_UPGRADE])
            .split(' ')
            .nth(2)
            .unwrap_or_default()
            .to_owned(),
        repair: text(&metadata["annotations"][labels::REPAIR]).split_whitespace().map(str::to_owned).collect(),
        follows: [labels::ROLLING_UPGRADE, labels::REPAIR].iter().any(|mark| !metadata["annotations"][mark].is_null()),
        generation: metadata["generation"].as_i64().unwrap_or_default(),
        terminating: !metadata["deletionTimestamp"].is_null(),
        protected,
        power_wish: spec["powerState"].as_str().unwrap_or("Running").to_owned(),
        object,
    }
}

/// What is wished, less those who were evicted for good since.
fn target(object: &Value) -> i64 {
    let (spec, status) = (&object["spec"], &object["status"]);
    let Some(wished) = spec["replicas"].as_i64() else { return status["targetReplicas"].as_i64().unwrap_or(0) };
    let notes = status["evictions"].as_array().into_iter().flatten();
    let evicted = notes.filter(|note| note["replicas"].as_i64() == Some(wished)).count();
    wished - i64::try_from(evicted).unwrap_or(0)
}

pub(super) fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A set named `web`.
    pub(in super::super) fn set_over(zones: &[&str]) -> SetSeen {
        set(json!({"metadata": {"name": "web"}, "spec": {"zones": zones}}), None)
    }

    /// An instance of the set with that uid.
    pub(in super::super) fn member_in(owner: &str, number: usize, zone: &str, domain: i64) -> MemberSeen {
        member(json!({
            "metadata": {
                "name": format!("web-{number}"), "uid": format!("uid-{number}"), "ownerReferences": [{"uid": owner}],
            },
            "spec": {"scaleSetRef": {"name": "web"}, "zone": zone, "platformFaultDomain": domain},
        }))
    }
}
