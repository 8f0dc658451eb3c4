//! Whoever goes when a set shrinks: those without a zone first where the set has zones, then from the zones with most
//! members, in them by the rule: `Default` takes from the fault domains with most members the highest id, `NewestVM` the
//! highest and `OldestVM` the lowest id of the zone.
//!
//! What cannot be told from two rounds proves nothing: a round in which an upgrade, a repair, an eviction, a person or an
//! extra had a part, zones that are down, a mix of priorities, a set that has not reached its target.

use std::collections::BTreeSet;

use super::evictions::Evictions;
use super::seen::{MemberSeen, Protected, Seen, SetSeen, text};

/// A member of a set before or after, by what the rules look at.
struct Place<'seen> {
    member: &'seen MemberSeen,
    zone: &'seen str,
    domain: Option<i64>,
}

impl<'seen> Place<'seen> {
    fn of(member: &'seen MemberSeen) -> Self {
        Self { member, zone: &member.zone, domain: member.object["spec"]["platformFaultDomain"].as_i64() }
    }
}

/// Every member that went although another was to go before it.
pub(super) fn wrong_victims(
    before: &Seen,
    now: &Seen,
    by_hand: &BTreeSet<String>,
    evictions: &Evictions,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let Some(known) = before.sets.get(uid) else { continue };
        if proves_nothing([known, set], uid, [before, now]) {
            continue;
        }
        let stays = |member: &MemberSeen| now.live_made(uid).any(|other| other.uid == member.uid);
        let (left, gone): (Vec<&MemberSeen>, Vec<&MemberSeen>) = before.live_made(uid).partition(|one| stays(one));
        let explained = |member: &&MemberSeen| {
            by_hand.contains(&member.name)
                || evictions.has_deleted(&member.uid)
                || [before, now].iter().any(|seen| seen.is_asked_for(&member.uid, &["Delete", "ManualUpgrade"]))
        };
        if gone.is_empty() || gone.iter().any(explained) {
            continue;
        }
        let others = now.members.values().filter(|other| joined(other, set));
        let counted: Vec<Place<'_>> = left.iter().copied().chain(others).map(Place::of).collect();
        // Whoever is protected, if only since this round, was no candidate.
        let is_free = |one: &&&MemberSeen| {
            let protected_now = now.members.get(&one.uid).is_none_or(|now| now.protected != Protected::No);
            one.protected == Protected::No && !protected_now && !by_hand.contains(&one.name)
        };
        let candidates: Vec<Place<'_>> = left.iter().filter(is_free).map(|one| Place::of(one)).collect();
        for victim in gone.into_iter().map(Place::of) {
            findings.extend(objection(set, &victim, &counted, &candidates));
        }
    }
    findings
}

/// Only a set at rest that a change of its target has called up, and that has reached it, shows how it chose.
fn proves_nothing(sets: [&SetSeen; 2], uid: &str, seen: [&Seen; 2]) -> bool {
    let [known, set] = sets;
    let spec = &set.object["spec"];
    let target = usize::try_from(set.target).unwrap_or(0);
    let changed = known.zones != set.zones || spec["scaleInPolicy"] != known.object["spec"]["scaleInPolicy"];
    let unsteady = |member: &MemberSeen| {
        !member.replaces.is_empty()
            || !member.repair.is_empty()
            || !member.surplus.is_empty()
            || member.revision != set.newest
    };
    let rolls = |set: &SetSeen| set.object["status"]["rollingUpgrade"]["runningStatus"]["code"] == "RollingForward";
    !set.live
        || changed
        || sets.iter().any(|set| set.zones_down || rolls(set))
        || !spec["priorityMixPolicy"].is_null()
        || seen[1].live_made(uid).count() != target
        || seen.iter().any(|seen| seen.members.values().any(|member| member.owner == uid && unsteady(member)))
}

fn joined(member: &MemberSeen, set: &SetSeen) -> bool {
    member.owner.is_empty() && !member.terminating && text(&member.object["status"]["scaleSet"]) == set.name
}

/// Why somebody else should have gone. The counts are those after the round: a zone, or a domain, from which one was taken had
/// at least as many just before as any other from which one could be taken.
fn objection(set: &SetSeen, victim: &Place<'_>, counted: &[Place<'_>], candidates: &[Place<'_>]) -> Option<String> {
    let name = &victim.member.name;
    if !set.zones.is_empty() && !victim.zone.is_empty() && candidates.iter().any(|other| other.zone.is_empty()) {
        return Some(format!("{name} went before those without a zone"));
    }
    let in_zone = |zone: &str| counted.iter().filter(|other| other.zone == zone).count();
    let left = in_zone(victim.zone);
    let fuller = candidates.iter().find(|other| !other.zone.is_empty() && in_zone(other.zone) > left + 1);
    if let Some(other) = fuller.filter(|_| !victim.zone.is_empty()) {
        let (zone, more) = (other.zone, in_zone(other.zone));
        return Some(format!("{name} went from zone {} with {left} left, zone {zone} has {more}", victim.zone));
    }
    let policy = &set.object["spec"]["scaleInPolicy"];
    if policy["prioritizeUnhealthyVMs"] == true {
        return None;
    }
    let rule = policy["rules"][0].as_str().unwrap_or("Default");
    let neighbours: Vec<&Place<'_>> = candidates.iter().filter(|other| other.zone == victim.zone).collect();
    let in_domain = |domain: Option<i64>| {
        counted.iter().filter(|other| other.zone == victim.zone && other.domain == domain).count()
    };
    let left = in_domain(victim.domain);
    if rule == "Default"
        && let Some(other) = neighbours.iter().find(|other| in_domain(other.domain) > left + 1)
    {
        let (domain, more) = (other.domain, in_domain(other.domain));
        return Some(format!(
            "{name} went from fault domain {:?} with {left} left, {domain:?} has {more}",
            victim.domain
        ));
    }
    let comes_first = |other: &&&Place<'_>| match (rule, other.member.id, victim.member.id) {
        ("OldestVM", Some(other), Some(victim)) => other < victim,
        ("Default", Some(id), Some(victim_id)) => other.domain == victim.domain && id > victim_id,
        (_, Some(other), Some(victim)) => other > victim,
        (_, None, _) | (_, _, None) => false,
    };
    let first = neighbours.iter().find(comes_first)?;
    Some(format!("{name} went before {}, by the rule {rule}", first.member.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    /// A set over three zones with members in those places; `gone` are not there any more.
    fn world(places: &[(&str, i64)], rule: &str, gone: &[usize]) -> Seen {
        let mut seen = Seen::default();
        let mut set = set_over(&["1", "2", "3"]);
        set.target = i64::try_from(places.len() - gone.len()).expect("few");
        set.object["spec"]["scaleInPolicy"] = json!({"rules": [rule]});
        seen.sets.insert("set".to_owned(), set);
        for (number, (zone, domain)) in places.iter().enumerate().filter(|(number, _)| !gone.contains(number)) {
            let mut member = member_in("set", number, zone, *domain);
            member.id = i64::try_from(number).ok();
            seen.members.insert(member.uid.clone(), member);
        }
        seen
    }

    fn found(places: &[(&str, i64)], rule: &str, gone: &[usize]) -> Vec<String> {
        let (before, now) = (world(places, rule, &[]), world(places, rule, gone));
        wrong_victims(&before, &now, &BTreeSet::new(), &Evictions::default())
    }

    #[test]
    fn a_victim_from_a_zone_with_fewer_is_found() {
        let places = [("1", 0), ("2", 0), ("3", 0), ("1", 0), ("1", 0)];
        assert_eq!(found(&places, "Default", &[4]), Vec::<String>::new());
        assert_eq!(found(&places, "Default", &[4, 3]), Vec::<String>::new());
        assert_eq!(found(&places, "Default", &[2]), ["web-2 went from zone 3 with 0 left, zone 1 has 3"]);
        assert_eq!(found(&places, "OldestVM", &[4]), ["web-4 went before web-0, by the rule OldestVM"]);
        assert_eq!(found(&places, "OldestVM", &[0]), Vec::<String>::new());
        assert_eq!(found(&places, "NewestVM", &[3]), ["web-3 went before web-4, by the rule NewestVM"]);
        let regional = [("", 0), ("1", 0), ("2", 0)];
        assert_eq!(found(&regional, "Default", &[2]), ["web-2 went before those without a zone"]);
        assert_eq!(found(&regional, "Default", &[0]), Vec::<String>::new());
    }

    #[test]
    fn a_victim_from_a_fault_domain_with_fewer_is_found() {
        let places = [("1", 0), ("1", 0), ("1", 0), ("1", 1), ("2", 0), ("3", 0)];
        assert_eq!(found(&places, "Default", &[2]), Vec::<String>::new());
        let wrong = "web-3 went from fault domain Some(1) with 0 left, Some(0) has 3";
        assert_eq!(found(&places, "Default", &[3]), [wrong]);
        assert_eq!(found(&places, "NewestVM", &[3]), Vec::<String>::new());
        assert_eq!(found(&places, "Default", &[1]), ["web-1 went before web-2, by the rule Default"]);
    }

    #[test]
    fn whoever_is_protected_is_passed_over() {
        let places = [("1", 0), ("1", 0), ("2", 0), ("3", 0), ("1", 0)];
        let [mut before, mut now] = [world(&places, "Default", &[]), world(&places, "Default", &[2])];
        for seen in [&mut before, &mut now] {
            for member in seen.members.values_mut().filter(|member| member.zone == "1") {
                member.protected = Protected::FromScaleIn;
            }
        }
        assert_eq!(wrong_victims(&before, &now, &BTreeSet::new(), &Evictions::default()), Vec::<String>::new());
    }
}
