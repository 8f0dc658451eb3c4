//! New members go where fewest are: after a round in which a set only grew, no zone that got one has two more than
//! another, and in no placement group has a fault domain that got one two more than another. New Spot VMs of a set that mixes
//! nothing are in one fault domain of their zone instead, where some were before in one of those.
//!
//! Zones that are down, members that went in the same round, a set whose other new members could not be written, and members
//! that are made in the place of others prove nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::joined::{domain, is_member_by_hand};
use super::seen::{MemberSeen, Seen, SetSeen, text};

/// Every new member that another place would have suited better.
pub(super) fn misplaced(before: &Seen, now: &Seen) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let Some(known) = before.sets.get(uid) else { continue };
        let members: Vec<&MemberSeen> = now.live_made(uid).collect();
        let went = before.live_made(uid).any(|old| !members.iter().any(|member| member.uid == old.uid));
        let short = usize::try_from(set.target).is_ok_and(|target| members.len() < target);
        if short || went || known.zones_down || set.zones_down || known.zones != set.zones {
            continue;
        }
        let is_new = |member: &&&MemberSeen| {
            !before.members.contains_key(&member.uid) && member.replaces.is_empty() && !member.follows
        };
        let placed: Vec<&MemberSeen> = members.iter().filter(is_new).copied().collect();
        // Where some members have the place of two, and where that has ended before its time, the count is not clear.
        let beside = |member: &&MemberSeen| members.iter().any(|other| other.name == member.replaces);
        let (paired, alone): (Vec<&MemberSeen>, Vec<&MemberSeen>) = members.iter().copied().partition(beside);
        let is_clear = paired.is_empty() || (goes_forward(set) && paired.iter().all(|new| is_sound(new)));
        if !is_clear {
            continue;
        }
        findings.extend(uneven_zones(set, &alone, &placed));
        let by_hand: Vec<&MemberSeen> = now.members.values().filter(|one| is_member_by_hand(set, one)).collect();
        let was_there = |one: &&MemberSeen| before.members.get(&one.uid).and_then(domain) == domain(one);
        // Who joins in the same moment counts for one of two who decide, and not for the other.
        if is_all_spot(set) {
            findings.extend(scattered(&alone, &placed));
        } else if by_hand.iter().all(was_there) {
            findings.extend(uneven_domains(&[alone, by_hand].concat(), &placed));
        }
    }
    findings
}

/// Whether a rolling upgrade of the set goes on.
fn goes_forward(set: &SetSeen) -> bool {
    let rolling = set.object["spec"]["upgradePolicy"]["mode"] == "Rolling";
    rolling && set.object["status"]["rollingUpgrade"]["runningStatus"]["code"] == "RollingForward"
}

/// Whether a member is provisioned and runs as it should.
fn is_sound(member: &MemberSeen) -> bool {
    let status = &member.object["status"];
    status["provisioningState"] == "Succeeded" && status["powerState"] == "running" && member.power_wish == "Running"
}

fn uneven_zones(set: &SetSeen, members: &[&MemberSeen], placed: &[&MemberSeen]) -> Vec<String> {
    let count = |zone: &str| members.iter().filter(|member| member.zone == zone).count();
    let fewest = set.zones.iter().map(|zone| count(zone)).min().unwrap_or(0);
    let zones: BTreeSet<&str> =
        placed.iter().map(|member| member.zone.as_str()).filter(|zone| !zone.is_empty()).collect();
    let uneven = zones.into_iter().filter(|zone| count(zone) > fewest + 1);
    uneven.map(|zone| format!("{} grew in zone {zone} to {}, another has {fewest}", set.name, count(zone))).collect()
}

fn is_all_spot(set: &SetSeen) -> bool {
    let spec = &set.object["spec"];
    spec["virtualMachineProfile"]["priority"] == "Spot" && spec["priorityMixPolicy"].is_null()
}

fn scattered(members: &[&MemberSeen], placed: &[&MemberSeen]) -> Vec<String> {
    let domain = |member: &MemberSeen| member.object["spec"]["platformFaultDomain"].as_i64();
    let mut findings = Vec::new();
    for member in placed {
        let neighbours = members.iter().filter(|other| other.zone == member.zone);
        let fellows = placed.iter().filter(|other| other.zone == member.zone);
        let together = fellows.map(|other| domain(other)).collect::<BTreeSet<_>>().len() == 1;
        let joined = neighbours.clone().filter(|other| domain(other) == domain(member)).count();
        let elsewhere = neighbours.count() - joined;
        if !together || (joined == 1 && elsewhere > 0 && domain(member).is_some()) {
            findings.push(format!("{}, a Spot VM, is in fault domain {:?} by itself", member.name, domain(member)));
        }
    }
    findings
}

fn uneven_domains(members: &[&MemberSeen], placed: &[&MemberSeen]) -> Vec<String> {
    let group = |member: &MemberSeen| (member.zone.clone(), text(&member.object["spec"]["placementGroup"]));
    let mut counts: BTreeMap<((String, String), i64), usize> = BTreeMap::new();
    for member in members {
        let Some(domain) = domain(member) else { continue };
        *counts.entry((group(member), domain)).or_default() += 1;
    }
    let mut findings = Vec::new();
    for member in placed {
        let Some(domain) = member.object["spec"]["platformFaultDomain"].as_i64() else { continue };
        let count = |domain: i64| counts.get(&(group(member), domain)).copied().unwrap_or(0);
        let here = count(domain);
        if let Some(fewest) = (0..domain).map(count).min().filter(|fewest| here > fewest + 1) {
            findings.push(format!("{} is in fault domain {domain} with {here}, another has {fewest}", member.name));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    fn world(zones: &[&str]) -> Seen {
        let mut seen = Seen::default();
        seen.sets.insert("set".to_owned(), set_over(&["1", "2", "3"]));
        for (number, zone) in zones.iter().enumerate() {
            let member = member_in("set", number, zone, 0);
            seen.members.insert(member.uid.clone(), member);
        }
        seen
    }

    #[test]
    fn a_member_in_a_zone_that_had_more_is_found() {
        let before = world(&["1", "2"]);
        assert!(misplaced(&before, &world(&["1", "2", "3"])).is_empty());
        assert!(misplaced(&before, &world(&["1", "2", "3", "1"])).is_empty());
        let wrong = misplaced(&before, &world(&["1", "2", "1"]));
        assert_eq!(wrong, ["web grew in zone 1 to 2, another has 0"]);
        assert!(misplaced(&world(&["1", "1", "1"]), &world(&["1", "1", "1", "2"])).is_empty(), "it was uneven before");
    }

    #[test]
    fn a_spot_vm_that_is_not_with_the_others_is_found() {
        let world = |domains: &[i64]| {
            let mut seen = Seen::default();
            let mut set = set_over(&["1"]);
            set.object = serde_json::json!({"spec": {"virtualMachineProfile": {"priority": "Spot"}}});
            seen.sets.insert("set".to_owned(), set);
            for (number, domain) in domains.iter().enumerate() {
                let member = member_in("set", number, "1", *domain);
                seen.members.insert(member.uid.clone(), member);
            }
            seen
        };
        assert_eq!(misplaced(&world(&[]), &world(&[0, 0, 0])), Vec::<String>::new());
        assert_eq!(misplaced(&world(&[3]), &world(&[3, 3])), Vec::<String>::new());
        assert_eq!(misplaced(&world(&[]), &world(&[0, 1])).len(), 2);
        assert_eq!(misplaced(&world(&[3]), &world(&[3, 0])).len(), 1);
    }

    #[test]
    fn a_member_in_a_fault_domain_that_had_more_is_found() {
        let before = world(&["1"]);
        let grown = |domain: i64| {
            let mut seen = before.clone();
            for number in [1, 2] {
                let member = member_in("set", number, "1", domain);
                seen.members.insert(member.uid.clone(), member);
            }
            seen.sets.get_mut("set").expect("it is there").zones = vec!["1".to_owned()];
            seen
        };
        let mut known = before.clone();
        known.sets.get_mut("set").expect("it is there").zones = vec!["1".to_owned()];
        let wrong = misplaced(&known, &grown(3));
        assert_eq!(wrong[0], "web-1 is in fault domain 3 with 2, another has 0");
    }
}
