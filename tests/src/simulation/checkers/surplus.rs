//! Extras of a scale-out: never more than a fifth of what may have been asked for, no extension before it is settled who
//! stays, nobody unsettled at rest.

use std::collections::BTreeMap;

use scaleset_hardware::Machine;

use super::seen::{MemberSeen, Protected, Seen};

fn extras<'seen>(seen: &'seen Seen, set_uid: &str) -> impl Iterator<Item = &'seen MemberSeen> {
    let of_set = move |member: &&MemberSeen| member.owner == set_uid && member.surplus == "Overprovisioned";
    seen.members.values().filter(of_set).filter(|member| !member.terminating)
}

/// A set that got more extras has at most two, or a fifth of what it is to have; one that wants none gets none.
pub(super) fn too_many(before: &Seen, now: &Seen) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let Some(known) = before.sets.get(uid) else { continue };
        let new = extras(now, uid).filter(|extra| !before.members.contains_key(&extra.uid)).count();
        let there = extras(now, uid).count();
        let fifth = (set.target.max(known.target) + 4) / 5;
        let off = [set, known].iter().all(|set| set.object["spec"]["overprovision"] == false);
        if new > 0 && (off || there > usize::try_from(fifth.max(2)).unwrap_or(0)) {
            findings.push(format!("{} got {new} extras, it has {there} beside a target of {}", set.name, set.target));
        }
    }
    findings
}

/// Where extensions run only on those that are kept, nobody has any who may yet go.
pub(super) fn extensions_too_early(now: &Seen, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        if set.object["spec"]["doNotRunExtensionsOnOverprovisionedVMs"] != true {
            continue;
        }
        let marked = now.members.values().filter(|member| member.owner == *uid && !member.surplus.is_empty());
        let ran = marked.filter(|member| machines.get(&member.uid).is_some_and(|it| !it.extensions.is_empty()));
        findings.extend(ran.map(|member| format!("{} ran its extensions and may yet go", member.name)));
    }
    findings
}

/// Extras that nothing protects, and members that still wait to hear whether they stay.
pub(super) fn unsettled_at_rest(now: &Seen, set_uid: &str) -> Vec<String> {
    let marked = now.members.values().filter(|member| member.owner == set_uid && !member.surplus.is_empty());
    let kept_by_protection = extras(now, set_uid).any(|extra| extra.protected != Protected::No);
    let left = marked.filter(|_| !kept_by_protection);
    left.map(|member| format!("{} is {} at rest", member.name, member.surplus)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    fn world(extras: usize, target: i64) -> Seen {
        let mut seen = Seen::default();
        let mut set = set_over(&[]);
        set.target = target;
        seen.sets.insert("set".to_owned(), set);
        for number in 0..extras {
            let mut member = member_in("set", number, "", 0);
            member.surplus = "Overprovisioned".to_owned();
            seen.members.insert(member.uid.clone(), member);
        }
        seen
    }

    #[test]
    fn a_third_extra_of_ten_is_found() {
        assert!(too_many(&world(0, 10), &world(2, 10)).is_empty());
        assert_eq!(too_many(&world(0, 10), &world(3, 10)).len(), 1);
        assert!(too_many(&world(0, 11), &world(3, 11)).is_empty());
        assert_eq!(unsettled_at_rest(&world(1, 10), "set"), ["web-0 is Overprovisioned at rest"]);
    }
}
