//! Repairs: nobody is repaired that is protected, well, or in its grace; so many at once as Azure says, and one where all are down; together with what else
//! is being changed no more than the allowance; nobody that an upgrade has; and nobody while the service does not run.
//!
//! Read from the objects and from what the hardware said in the round before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::labels;
use scaleset_hardware::Machine;

use super::seen::{MemberSeen, Protected, Seen, SetSeen, text};

/// What the hardware said in the round before.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    machines: BTreeMap<String, Machine>,
    seen: RepairsSeen,
}

/// What there was of repairs: without any, a story proves nothing about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairsSeen {
    /// So many have begun.
    pub begun: usize,
    /// So many were under way in one set at the same time.
    pub at_once_max: usize,
}

impl Repairs {
    pub(super) const fn seen(&self) -> RepairsSeen {
        self.seen
    }

    /// Remembers what the hardware says now.
    pub(super) fn see(&mut self, machines: Option<&BTreeMap<String, Machine>>) {
        self.machines = machines.cloned().unwrap_or_default();
    }

    /// Every rule that repairs have broken since the round before, one line each.
    pub(super) fn findings(
        &mut self,
        now: Timestamp,
        before: &Seen,
        after: &Seen,
        by_hand: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut findings = Vec::new();
        for (uid, set) in &after.sets {
            let Some(old) = before.sets.get(uid).filter(|_| !by_hand.contains(&set.name)) else { continue };
            let begun = begun(set, before, after);
            for member in begun.iter().filter(|member| !by_hand.contains(&member.name)) {
                let why = self
                    .objection(now, set, [Some(*member), after.members.get(&member.uid)])
                    .or_else(|| is_upgraded([old, set], member));
                findings.extend(why.map(|why| format!("{} is repaired although {why}", member.name)));
            }
            if !begun.is_empty() {
                self.seen.begun += begun.len();
                let under_way = after.live_made(uid).filter(|member| is_under_way(now, set, member)).count();
                self.seen.at_once_max = self.seen.at_once_max.max(under_way);
                findings.extend(numbers(now, [old, set], uid, &begun, [before, after]));
                findings.extend(probes(now, set, uid, &begun, [before, after]));
            }
        }
        findings
    }

    /// Of a member as it was, and as it is where it is still there: what is said of its health in this round may be the reason.
    fn objection(&self, now: Timestamp, set: &SetSeen, seen: [Option<&MemberSeen>; 2]) -> Option<&'static str> {
        let [Some(member), _] = seen else { return None };
        let code = |seen: &MemberSeen| text(&seen.object["status"]["instanceView"]["vmHealth"]["status"]["code"]);
        let is_unwell =
            |seen: &MemberSeen| ["HealthState/unhealthy", "HealthState/unknown"].contains(&code(seen).as_str());
        let changed = self.machines.get(&member.uid).map(|machine| machine.changed_at.as_second());
        let over = |changed: i64| changed + grace(set) <= now.as_second();
        if member.protected != Protected::No {
            Some("it is protected")
        } else if !seen.into_iter().flatten().any(is_unwell) {
            Some("nobody has said that it is unwell")
        } else if member.object["status"]["provisioningState"] != "Succeeded" {
            Some("it is not provisioned")
        } else {
            changed.is_some_and(|changed| !over(changed)).then_some("its grace is not over")
        }
    }
}

/// Whether it has yet to take a model, or the rolling upgrade that runs before and after has touched it and judges it.
fn is_upgraded(sets: [&SetSeen; 2], member: &MemberSeen) -> Option<&'static str> {
    let takes_model = !member.owner.is_empty() && member.object["status"]["modelRevision"] != member.revision.as_str();
    let mark = text(&member.object["metadata"]["annotations"][labels::ROLLING_UPGRADE]);
    let number = mark.split(' ').next().and_then(|number| number.parse::<i64>().ok());
    let judges = sets.iter().all(|set| {
        let rolled = &set.object["status"]["rollingUpgrade"];
        let code = text(&rolled["runningStatus"]["code"]);
        let runs = ["RollingForward", "RollingBack"].contains(&code.as_str());
        runs && number.is_some_and(|number| rolled["number"] == number)
    });
    (takes_model || judges).then_some("an upgrade has it")
}

fn grace(set: &SetSeen) -> i64 {
    set.object["spec"]["automaticRepairsPolicy"]["gracePeriodSeconds"].as_i64().unwrap_or(600)
}

/// Members, as they were, whose repair has begun since: a new mark on them, or a new member in their place.
fn begun<'seen>(set: &SetSeen, before: &'seen Seen, after: &Seen) -> Vec<&'seen MemberSeen> {
    let mut begun = Vec::new();
    for (uid, member) in after.members.iter().filter(|(_, member)| !member.repair.is_empty()) {
        if text(&member.object["spec"]["scaleSetRef"]["name"]) != set.name {
            continue;
        }
        match (before.members.get(uid), member.repair.get(3)) {
            (Some(old), _) if old.repair != member.repair => begun.push(old),
            (None, Some(replaced)) => begun.extend(before.members.values().find(|old| old.name == *replaced)),
            (Some(_) | None, _) => {}
        }
    }
    begun
}

/// Whether a repair of it has begun and has neither helped nor failed.
pub(super) fn is_under_way(now: Timestamp, set: &SetSeen, member: &MemberSeen) -> bool {
    let status = &member.object["status"];
    let well = is_well(member);
    let since = member.repair.get(2).and_then(|since| since.parse::<Timestamp>().ok());
    let grace = Duration::from_secs(u64::try_from(grace(set)).unwrap_or(0));
    let in_grace = since.is_some_and(|since| since + grace > now);
    in_grace
        && !well
        && !member.terminating
        && member.power_wish == "Running"
        && (status["provisioningState"] != "Failed" || waits_for_hardware(member))
}

/// Whether a repair has made it in the place of another, and it has had no hardware so far.
fn waits_for_hardware(member: &MemberSeen) -> bool {
    member.repair.get(3).is_some() && member.object["status"]["modelRevision"].is_null()
}

/// What was so before and is so still, whoever of a round came first.
fn both(seen: [&Seen; 2], uid: &str, is: impl Fn(&MemberSeen) -> bool) -> bool {
    seen.iter().all(|seen| seen.members.get(uid).is_some_and(&is))
}

/// Where all of one zone and model are down, one repair at a time probes whether it helps; a new VM in the place of another is a probe of
/// its zone, whatever its model is.
fn probes(now: Timestamp, set: &SetSeen, uid: &str, begun: &[&MemberSeen], seen: [&Seen; 2]) -> Vec<String> {
    let model = |member: &MemberSeen| text(&member.object["status"]["modelRevision"]);
    let is_like = |one: &MemberSeen, other: &MemberSeen| one.zone == other.zone && model(one) == model(other);
    let mut findings = Vec::new();
    for (index, member) in begun.iter().enumerate() {
        let like: Vec<&MemberSeen> = seen[0].live_made(uid).filter(|other| is_like(member, other)).collect();
        let down = |other: &&&MemberSeen| {
            // One that is replaced in this round is gone after it.
            let gone = begun.iter().any(|begun| begun.uid == other.uid);
            !is_well(other) && (gone || both(seen, &other.uid, |other| !is_well(other)))
        };
        // Those of one model may have images of two versions: so many that most of each are down.
        if like.len() < 3 || like.iter().filter(down).count() < like.len() {
            continue;
        }
        let probe = |other: &&MemberSeen| {
            let probes = |other: &MemberSeen| {
                let replaces = other.repair.get(3).is_some() && other.zone == member.zone;
                (replaces || is_like(member, other)) && is_under_way(now, set, other)
            };
            other.uid != member.uid && both(seen, &other.uid, probes)
        };
        if let Some(probe) = seen[0].live_made(uid).find(probe) {
            findings.push(format!("{} is repaired while {} probes whether that helps", member.name, probe.name));
        }
        if let Some(other) = begun[..index].iter().find(|other| is_like(member, other)) {
            findings
                .push(format!("{} and {} are repaired at once, and all like them are down", other.name, member.name));
        }
    }
    findings
}

fn is_well(member: &MemberSeen) -> bool {
    let status = &member.object["status"];
    status["instanceView"]["vmHealth"]["status"]["code"] == "HealthState/healthy"
        && status["provisioningState"] == "Succeeded"
}

fn numbers(now: Timestamp, sets: [&SetSeen; 2], uid: &str, begun: &[&MemberSeen], seen: [&Seen; 2]) -> Vec<String> {
    let [old, set] = sets;
    let mut findings = Vec::new();
    let is_begun = |member: &MemberSeen| begun.iter().any(|other| other.uid == member.uid);
    let others: Vec<&MemberSeen> = seen[0].live_made(uid).filter(|member| !is_begun(member)).collect();
    let live = others.len() + begun.len();
    let under_way = |member: &&&MemberSeen| both(seen, &member.uid, |member| is_under_way(now, set, member));
    let repaired = others.iter().filter(under_way).count();
    let batch = (live / 20).max(1);
    if repaired + begun.len() > batch {
        findings.push(format!("{}: {} repairs begin beside {repaired}, {batch} at a time", set.name, begun.len()));
    }
    let works = |member: &MemberSeen| {
        let state = text(&member.object["status"]["provisioningState"]);
        ["Creating", "Updating"].contains(&state.as_str()) && member.power_wish == "Running"
    };
    let changing = others.iter().filter(|member| under_way(member) || both(seen, &member.uid, works)).count();
    let policy = &set.object["spec"]["upgradePolicy"]["rollingUpgradePolicy"];
    let percent =
        policy["maxBatchInstancePercent"].as_i64().and_then(|share| usize::try_from(share).ok()).unwrap_or(20);
    let target = usize::try_from(set.target.max(old.target)).unwrap_or(0);
    let allowed = (live.max(target) * percent / 100).max(1);
    if begun.len() + changing > allowed {
        let name = &set.name;
        findings.push(format!("{name}: {} repairs begin while {changing} are changed, {allowed} allowed", begun.len()));
    }
    let state = |set: &SetSeen| text(&set.object["status"]["orchestrationServices"][0]["serviceState"]);
    if sets.iter().all(|set| state(set) != "Running") {
        findings.push(format!("{}: {} repairs begin although the service does not run", set.name, begun.len()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    fn set_that(code: &str) -> SetSeen {
        let mut set = set_over(&[]);
        set.object["status"] = json!({"rollingUpgrade": {"number": 3, "runningStatus": {"code": code}}});
        set
    }

    fn member(revision: &str, runs: &Value, mark: &str) -> MemberSeen {
        let mut member = member_in("set", 0, "", 0);
        member.revision = revision.to_owned();
        member.object["status"]["modelRevision"] = runs.clone();
        member.object["metadata"]["annotations"][labels::ROLLING_UPGRADE] = json!(mark);
        member
    }

    #[test]
    fn whoever_an_upgrade_has_is_found() {
        let running = set_that("RollingForward");
        let stopped = set_that("Faulted");
        let mark = "3 2026-01-01T00:00:00Z";
        for (what, sets, seen, expected) in [
            ("nobody has it", [&running, &running], member("new", &json!("new"), ""), false),
            ("it takes a model", [&stopped, &stopped], member("new", &json!("old"), ""), true),
            ("it is judged", [&running, &running], member("new", &json!("new"), mark), true),
            ("by an upgrade that has stopped", [&running, &stopped], member("new", &json!("new"), mark), false),
            ("by one before", [&running, &running], member("new", &json!("new"), "2 2026-01-01T00:00:00Z"), false),
        ] {
            assert_eq!(is_upgraded(sets, &seen).is_some(), expected, "{what}");
        }
    }
}
