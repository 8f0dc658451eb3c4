//! What must hold once everything is healed and at rest.

use std::collections::BTreeMap;

use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::Machine;

use super::reserved::unlike_their_objects;
use super::seen::{MemberSeen, Protected, Seen, SetSeen, text};
use super::surplus::unsettled_at_rest;
use crate::simulation::stage::Stage;

/// Every way in which the world is not what its objects wish, one line each. Only for a world without a fault.
pub fn converged(stage: &Stage) -> Vec<String> {
    let now = Seen::of(stage);
    let machines = stage.machines();
    let mut findings = Vec::new();
    for member in now.members.values() {
        findings.extend(not_as_wished(member, machines.get(&member.uid)));
        findings.extend(machines.get(&member.uid).and_then(out_of_its_pools));
        findings.extend(machines.get(&member.uid).and_then(|machine| known_to_another(&now, member, machine)));
    }
    for (uid, set) in now.sets.iter().filter(|(_, set)| set.live) {
        let members: Vec<&MemberSeen> = now.live_made(uid).collect();
        findings.extend(count_differs(set, &members));
        findings.extend(unsettled_at_rest(&now, uid));
        findings.extend(outdated(set, &members, &machines));
        findings.extend(older_images(set, &members, &machines));
        findings.extend(status_differs(set, &now, uid));
    }
    findings.extend(unlike_their_objects(stage, &machines));
    let left = now.operations.values().filter(|operation| !operation.ended);
    findings.extend(left.map(|operation| format!("operation {} has not ended", operation.name)));
    findings.extend(machines.keys().filter(|uid| !now.members.contains_key(*uid)).map(|uid| format!("{uid} is left")));
    findings
}

/// Zones of a set that are more than one member apart.
pub fn balanced(stage: &Stage) -> Vec<String> {
    let now = Seen::of(stage);
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let mut counts: BTreeMap<&str, usize> = set.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
        for member in now.live_made(uid).filter(|member| !member.zone.is_empty()) {
            *counts.entry(&member.zone).or_default() += 1;
        }
        if let (Some(most), Some(fewest)) = (counts.values().max(), counts.values().min())
            && most - fewest > 1
        {
            findings.push(format!("{} is out of balance: {counts:?}", set.name));
        }
    }
    findings
}

fn not_as_wished(member: &MemberSeen, machine: Option<&Machine>) -> Option<String> {
    let name = &member.name;
    if member.terminating {
        return Some(format!("{name} is still going"));
    }
    let stands_back = member.object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Stalled" && condition["status"] == "True");
    let Some(machine) = machine else {
        // A reference that is not accepted keeps a VM from booting; an instance left behind is not created anew.
        let left = member.owner.is_empty();
        return if stands_back || left { None } else { Some(format!("{name} has no machine")) };
    };
    let power = match member.power_wish.as_str() {
        "Running" if machine.eviction.is_some() => machine.power == PowerState::Deallocated,
        "Running" => machine.power == PowerState::Running,
        "Stopped" => [PowerState::Stopped, PowerState::Deallocated].contains(&machine.power),
        _ => machine.power == PowerState::Deallocated,
    };
    if power { None } else { Some(format!("{name} is {:?}, {} is wished", machine.power, member.power_wish)) }
}

/// The hardware counts a VM to the set that has it.
fn known_to_another(now: &Seen, member: &MemberSeen, machine: &Machine) -> Option<String> {
    let named = text(&member.object["status"]["scaleSet"]);
    let taken = now.sets.iter().find(|(_, set)| set.name == named).map(|(uid, _)| uid);
    let own = if member.owner.is_empty() { taken } else { Some(&member.owner) };
    let known = machine.owner.set_uid.as_ref();
    (known != own).then(|| format!("{} is of {own:?} and the hardware has it as of {known:?}", member.name))
}

/// Nobody is out of its pools for nothing.
fn out_of_its_pools(machine: &Machine) -> Option<String> {
    let runs = machine.power == PowerState::Running && machine.preempt_notice.is_none();
    let drain = machine.drain.filter(|_| runs && machine.disruption_notice.is_none())?;
    Some(format!("{} runs, and is out of its pools since {}", machine.owner, drain.since))
}

fn count_differs(set: &SetSeen, members: &[&MemberSeen]) -> Option<String> {
    let target = usize::try_from(set.target).unwrap_or(0);
    let protected = members.iter().filter(|member| member.protected != Protected::No).count();
    let expected = target.max(protected.min(members.len()));
    let reachable = members.len() == target || (members.len() == expected && protected == members.len());
    if reachable { None } else { Some(format!("{} has {} members, {target} are wished", set.name, members.len())) }
}

/// In Automatic every machine runs the newest revision, unless its member is protected.
fn outdated(set: &SetSeen, members: &[&MemberSeen], machines: &BTreeMap<String, Machine>) -> Vec<String> {
    if set.still {
        return Vec::new();
    }
    let behind = |member: &&&MemberSeen| {
        let runs = machines.get(&member.uid).map(|machine| machine.model_revision.as_str());
        member.protected != Protected::FromActions && runs != Some(set.newest.as_str())
    };
    members.iter().filter(behind).map(|member| format!("{} is not on the newest model", member.name)).collect()
}

/// With the policy on, every machine on the newest revision has the newest image, unless its member is protected.
fn older_images(set: &SetSeen, members: &[&MemberSeen], machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let paused = set.object["spec"]["upgradePolicy"]["paused"] == true;
    let Some(newest) = set.newest_image.as_ref().filter(|_| !paused) else { return Vec::new() };
    let behind = |member: &&&MemberSeen| {
        let machine = machines.get(&member.uid).filter(|machine| machine.model_revision == set.newest);
        let older = machine.is_some_and(|machine| machine.image_version != *newest);
        older && member.protected != Protected::FromActions
    };
    members.iter().filter(behind).map(|member| format!("{} has not the newest OS image", member.name)).collect()
}

fn status_differs(set: &SetSeen, now: &Seen, uid: &str) -> Vec<String> {
    let status = &set.object["status"];
    let mut findings = Vec::new();
    if status["observedGeneration"] != set.object["metadata"]["generation"] {
        findings.push(format!("{}: its status is of an older generation", set.name));
    }
    let made = now.live_made(uid).count();
    let by_hand = now.members.values().filter(|member| joined(member, set)).count();
    // One whose predecessor may not go may stand beside it: it is counted where the set would otherwise be short of one.
    let beside = now.beside_a_predecessor(uid).min(made.saturating_sub(usize::try_from(set.target).unwrap_or(0)));
    if status["replicas"].as_u64() != Some((made + by_hand - beside) as u64) {
        let name = &set.name;
        findings.push(format!(
            "{name}: status.replicas is {}, there are {made}, {beside} of them beside another, and {by_hand}",
            status["replicas"]
        ));
    }
    let ready = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let protected = now.live_made(uid).any(|member| member.protected != Protected::No);
    if !protected && ready.is_none_or(|ready| ready["status"] != "True") {
        findings.push(format!(
            "{} is not Ready: {}",
            set.name,
            ready.map_or_else(String::new, |r| text(&r["message"]))
        ));
    }
    findings
}

/// Whether a person's VM says itself that the set has taken it.
fn joined(member: &MemberSeen, set: &SetSeen) -> bool {
    let accepted = member.object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Member" && condition["status"] == "True");
    // One that was not let go no longer names its set.
    member.owner.is_empty() && accepted && text(&member.object["status"]["scaleSet"]) == set.name
}
