//! Whenever a set is not what it is wished to be and nothing is in flight for it, it names at least one blocker.

use std::collections::BTreeMap;

use scaleset_crds::vocabulary::{HealthState, PowerState};
use scaleset_hardware::{Machine, Provisioning};
use serde_json::Value;

use super::seen::{MemberSeen, Seen, SetSeen};

/// Sets that stand still, differ from their wish and do not say why, one line each.
pub(super) fn unexplained(now: &Seen, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let counts = |member: &&MemberSeen| member.owner == *uid && member.surplus != "Overprovisioned";
        let members: Vec<&MemberSeen> = now.members.values().filter(counts).collect();
        let of_set = || members.iter().filter_map(|member| machines.get(&member.uid));
        // Members made by hand are always named, so that they explain nothing.
        let explains = |blocker: &Value| blocker["code"] != "HandMadeMember" && blocker["count"].as_u64() > Some(0);
        let explained = set.object["status"]["blockers"].as_array().into_iter().flatten().any(explains);
        if explained || of_set().any(is_in_flight) {
            continue;
        }
        let differences = differences(set, &members, machines);
        if !differences.is_empty() {
            findings.push(format!("{} has no blocker, although {}", set.name, differences.join(", ")));
        }
    }
    findings
}

/// The hardware works on it, or it comes up.
fn is_in_flight(machine: &Machine) -> bool {
    let works = match machine.provisioning {
        Provisioning::Creating | Provisioning::Updating | Provisioning::Deleting => true,
        Provisioning::Succeeded | Provisioning::Failed { .. } => false,
    };
    let heard = machine.application_health.map(|report| report.state);
    let comes_up = machine.power == PowerState::Running && heard == Some(HealthState::Initializing);
    works || comes_up
}

fn differences(set: &SetSeen, members: &[&MemberSeen], machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let live = members.iter().filter(|member| !member.terminating).count();
    let wished = if set.live { usize::try_from(set.target).unwrap_or(0) } else { 0 };
    let count = (live != wished).then(|| format!("it has {live} members, {wished} are wished"));
    let of_member = |member: &&MemberSeen| {
        let machine = machines.get(&member.uid);
        differs(set, member, machine).map(|how| format!("{} {how}", member.name))
    };
    count.into_iter().chain(members.iter().filter_map(of_member)).collect()
}

fn differs(set: &SetSeen, member: &MemberSeen, machine: Option<&Machine>) -> Option<String> {
    if member.terminating {
        return Some("is still going".to_owned());
    }
    let Some(machine) = machine else { return Some("has no machine".to_owned()) };
    let powered = match member.power_wish.as_str() {
        "Running" => machine.power == PowerState::Running,
        "Stopped" => [PowerState::Stopped, PowerState::Deallocated].contains(&machine.power),
        _ => machine.power == PowerState::Deallocated,
    };
    let healthy = machine.model.health_source().is_none()
        || member.power_wish != "Running"
        || machine.application_health.is_some_and(|report| report.state == HealthState::Healthy);
    if machine.provisioning != Provisioning::Succeeded {
        Some(format!("is {:?}", machine.provisioning))
    } else if machine.model_revision != set.newest && set.live {
        Some(format!("runs {}, the newest model is {}", machine.model_revision, set.newest))
    } else if set.live && set.newest_image.as_ref().is_some_and(|newest| *newest != machine.image_version) {
        Some(format!("has OS image {}, which is not the newest", machine.image_version))
    } else if !powered {
        Some(format!("is {:?}, {} is wished", machine.power, member.power_wish))
    } else if !healthy {
        Some("is not healthy".to_owned())
    } else {
        (member.object["status"]["latestModelApplied"] == false).then(|| "has something pending".to_owned())
    }
}
