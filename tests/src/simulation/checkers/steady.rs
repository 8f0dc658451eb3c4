//! What an upgrade may take away from a set that nothing else disturbs, counted on the machines themselves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use scaleset_crds::vocabulary::{HealthState, PowerState};
use scaleset_hardware::{Machine, Provisioning};

use super::repaired::is_under_way;
use super::seen::{MemberSeen, Protected, Seen, SetSeen};

/// A set that has come to rest, and the members that something else has taken down since.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    set: String,
    struck: BTreeSet<String>,
    /// Members that were not well on the model that they had.
    doubted: BTreeSet<String>,
}

impl Steady {
    pub(super) fn of(set: &str) -> Self {
        Self { set: set.to_owned(), struck: BTreeSet::new(), doubted: BTreeSet::new() }
    }

    pub(super) fn strike(&mut self, name: &str) {
        self.struck.insert(name.to_owned());
    }

    pub(super) fn doubt(&mut self, name: &str) {
        self.doubted.insert(name.to_owned());
    }

    /// Every rule that is broken now, one line each.
    pub(super) fn findings(&self, time: Timestamp, machines: &BTreeMap<String, Machine>, now: &Seen) -> Vec<String> {
        let sets = now.sets.iter().filter(|(_, set)| set.name == self.set);
        sets.flat_map(|(uid, set)| {
            let down = self.too_many_down(uid, set, machines, now);
            let in_hand = self.too_many_in_hand(time, uid, set, now);
            down.into_iter().chain(in_hand).chain(miscounted(uid, set, now)).chain(moved(set))
        })
        .collect()
    }

    /// Repairs, and upgrades that take a VM down, together have no more than max(1, N x maxBatchInstancePercent / 100) in hand, at any
    /// time. Whoever something else has taken down is in nobody's hand, until it is repaired, nor is the new one in its place; a new VM
    /// beside the one that it replaces takes nobody away.
    fn too_many_in_hand(&self, time: Timestamp, uid: &str, set: &SetSeen, now: &Seen) -> Option<String> {
        let is_upgraded = |member: &&MemberSeen| {
            let status = &member.object["status"];
            let works = ["Creating", "Updating"].iter().any(|state| status["provisioningState"] == *state);
            works
                && status["powerState"] != "running"
                && member.replaces.is_empty()
                && !self.struck.contains(&member.name)
        };
        let (repaired, others): (Vec<&MemberSeen>, Vec<&MemberSeen>) = now
            .live_made(uid)
            .filter(|member| member.power_wish == "Running")
            .partition(|member| is_under_way(time, set, member));
        let upgraded: Vec<&MemberSeen> = others.into_iter().filter(is_upgraded).collect();
        let made = upgraded.iter().filter(|member| member.object["status"]["provisioningState"] == "Creating").count();
        let in_hand = repaired.len() + upgraded.len() - made.min(self.struck_and_gone(uid, now));
        let allowed = allowed(set, now.live_made(uid).count());
        let names =
            |members: &[&MemberSeen]| members.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        (!repaired.is_empty() && in_hand > allowed).then(|| {
            format!("{allowed} may be in hand, {} are repaired and {} upgraded", names(&repaired), names(&upgraded))
        })
    }

    /// Members that something else had taken down and that are no members any more.
    fn struck_and_gone(&self, uid: &str, now: &Seen) -> usize {
        self.struck.iter().filter(|name| !now.live_made(uid).any(|member| member.name == **name)).count()
    }

    /// At most max(1, N x maxBatchInstancePercent / 100) are not at work.
    fn too_many_down(
        &self,
        uid: &str,
        set: &SetSeen,
        machines: &BTreeMap<String, Machine>,
        now: &Seen,
    ) -> Option<String> {
        let target = usize::try_from(set.target).unwrap_or(0);
        let excused = now.live_made(uid).filter(|member| {
            let failed = machines.get(&member.uid).is_some_and(has_failed);
            self.struck.contains(&member.name) || (failed && self.doubted.contains(&member.name))
        });
        let struck = excused.count() + self.struck_and_gone(uid, now);
        let allowed = allowed(set, 0) + struck;
        let working = now.live_made(uid).filter(|member| machines.get(&member.uid).is_some_and(works)).count();
        (working + allowed < target).then(|| {
            format!("{working} of {target} members of {} work, {allowed} may be down ({struck} otherwise)", set.name)
        })
    }
}

/// max(1, N x maxBatchInstancePercent / 100), of the members that there are, or of those that are wished if these are more.
fn allowed(set: &SetSeen, made: usize) -> usize {
    let target = usize::try_from(set.target).unwrap_or(0);
    let percent = &set.object["spec"]["upgradePolicy"]["rollingUpgradePolicy"]["maxBatchInstancePercent"];
    let percent = usize::try_from(percent.as_u64().unwrap_or(20)).unwrap_or(0);
    (target.max(made) * percent / 100).max(1)
}

/// It runs, and its application, where anybody asks it, answers well. An update may be under way that it does not notice.
fn works(machine: &Machine) -> bool {
    let done = match machine.provisioning {
        Provisioning::Succeeded | Provisioning::Updating => true,
        Provisioning::Creating | Provisioning::Deleting | Provisioning::Failed { .. } => false,
    };
    let healthy = machine.model.health_source().is_none()
        || machine.application_health.is_some_and(|report| report.state == HealthState::Healthy);
    done && healthy && machine.power == PowerState::Running
}

/// It has what it was given, and does not do its work.
fn has_failed(machine: &Machine) -> bool {
    let answered = machine.application_health.map(|report| report.state);
    match machine.provisioning {
        Provisioning::Failed { .. } => true,
        Provisioning::Succeeded => matches!(answered, Some(HealthState::Unhealthy | HealthState::Unknown)),
        Provisioning::Creating | Provisioning::Updating | Provisioning::Deleting => false,
    }
}

/// Whoever reads the set's count, an autoscaler for one, sees nothing of an upgrade: no surge, and nobody on the way out.
fn moved(set: &SetSeen) -> Option<String> {
    let replicas = set.object["status"]["replicas"].as_i64().unwrap_or(0);
    (replicas > set.target).then(|| format!("{} is to have {}, its status counts {replicas}", set.name, set.target))
}

/// The counters of a set's first upgrade add up to its members, less those that are protected; nothing else has come or
/// gone meanwhile.
fn miscounted(uid: &str, set: &SetSeen, now: &Seen) -> Option<String> {
    let rolled = &set.object["status"]["rollingUpgrade"];
    // Whom a repair makes in the place of another has the newest model, and is not the upgrade's.
    let repairs = &set.object["spec"]["automaticRepairsPolicy"];
    if repairs["enabled"] == true && (repairs["repairAction"].is_null() || repairs["repairAction"] == "Replace") {
        return None;
    }
    if rolled["number"] != 1 || rolled["targetRevision"] != set.newest.as_str() {
        return None;
    }
    let fields = ["successful", "failed", "inProgress", "pending"];
    let sum: i64 = fields.iter().filter_map(|field| rolled["progress"][format!("{field}InstanceCount")].as_i64()).sum();
    let protected = now.live_made(uid).filter(|member| member.protected == Protected::FromActions).count();
    let about = set.target - i64::try_from(protected).unwrap_or(0);
    (sum != about).then(|| format!("the upgrade of {} counts {sum}, it is about {about}", set.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    /// Ten members, two of which may be in hand: the first are under repair, those after them restart with another model.
    fn found(repaired: usize, upgraded: usize, struck: &[&str]) -> Option<String> {
        found_while("Updating", repaired, upgraded, struck)
    }

    fn found_while(upgrading: &str, repaired: usize, upgraded: usize, struck: &[&str]) -> Option<String> {
        let time = Timestamp::from_second(1_000).expect("it is one");
        let mut seen = Seen::default();
        let mut set = set_over(&[]);
        set.target = 10;
        for number in 0..10 {
            let mut member = member_in("set", number, "", 0);
            let restarts = (repaired..repaired + upgraded).contains(&number);
            let [state, power] = if restarts { [upgrading, "starting"] } else { ["Succeeded", "running"] };
            member.object["status"] = json!({"provisioningState": state, "powerState": power});
            if number < repaired {
                member.repair = ["1", "Restart", "1970-01-01T00:16:00Z"].map(str::to_owned).to_vec();
            }
            seen.members.insert(member.uid.clone(), member);
        }
        let mut steady = Steady::of("web");
        for name in struck {
            steady.strike(name);
        }
        steady.too_many_in_hand(time, "set", &set, &seen)
    }

    #[test]
    fn repairs_and_upgrades_together_beyond_the_allowance_are_found() {
        assert_eq!([found(1, 1, &[]), found(2, 0, &[]), found(0, 2, &[])], [None, None, None]);
        let expected = "2 may be in hand, web-0 are repaired and web-1, web-2 upgraded";
        assert_eq!(found(1, 2, &[]).as_deref(), Some(expected));
        assert!(found(3, 0, &[]).is_some(), "three are repaired");
        assert_eq!(found(1, 2, &["web-2"]), None, "something else has taken it down");
        assert!(found(1, 2, &["web-0"]).is_some(), "whoever was taken down and is repaired is in hand");
        assert_eq!(found_while("Creating", 1, 2, &["web-11"]), None, "one is made in its place");
        assert!(found_while("Creating", 1, 3, &["web-11"]).is_some(), "and another one");
        assert!(found(1, 2, &["web-11"]).is_some(), "nobody is made in its place");
    }
}
