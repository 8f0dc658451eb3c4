//! VMs that a person has put into a Flexible set with several fault domains are in one of the set's: marked before there is
//! hardware, the hardware has it, and whoever joins alone gets the emptiest.

use std::collections::BTreeMap;

use scaleset_crds::labels;
use scaleset_hardware::Machine;

use super::seen::{MemberSeen, Seen, SetSeen, text};

/// Every member by hand that is in no fault domain of its set, or in a worse one than it could be.
pub(super) fn strayed(before: &Seen, now: &Seen, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let count = set.object["status"]["platformFaultDomainCount"].as_i64().unwrap_or(1);
        if count < 2 || set.object["spec"]["orchestrationMode"] != "Flexible" {
            continue;
        }
        let joined: Vec<&MemberSeen> = now.members.values().filter(|member| is_member_by_hand(set, member)).collect();
        for member in &joined {
            let hardware = machines.get(&member.uid).and_then(|machine| machine.placement.platform_fault_domain);
            let known = domain(member).filter(|known| (0..count).contains(known));
            if machines.contains_key(&member.uid) && (known.is_none() || hardware.map(i64::from) != known) {
                let marked = domain(member);
                findings.push(format!("{} is marked {marked:?} and is in {hardware:?} of {count}", member.name));
            }
        }
        let settled = |seen: &Seen, member: &MemberSeen| seen.members.get(&member.uid).and_then(domain);
        let news: Vec<&MemberSeen> = joined.into_iter().filter(|one| settled(before, one).is_none()).collect();
        let made = now.live_made(uid).any(|member| !before.members.contains_key(&member.uid));
        let [alone] = news.as_slice() else { continue };
        // Who goes counts for one of two who decide in that moment, and not for the other.
        let stays = |old: &MemberSeen| now.members.get(&old.uid).is_some_and(|member| !member.terminating);
        let went = members(before, uid, set).any(|old| !stays(old));
        if made || went || !alone.object["spec"]["platformFaultDomain"].is_null() {
            continue;
        }
        if let Some(chosen) = domain(alone) {
            let others = domains(before, uid, set, count);
            let (here, fewest) = (others.get(&chosen), others.values().min());
            if here > fewest {
                findings.push(format!("{} was put into fault domain {chosen}: {others:?}", alone.name));
            }
        }
    }
    findings
}

/// Whether a person has made it, and the set has it.
pub(super) fn is_member_by_hand(set: &SetSeen, member: &MemberSeen) -> bool {
    let object = &member.object;
    member.owner.is_empty()
        && !member.terminating
        && object["status"]["scaleSet"] == set.name.as_str()
        && object["spec"]["scaleSetRef"]["name"] == set.name.as_str()
}

/// The fault domain that it names, or that it is marked with.
pub(super) fn domain(member: &MemberSeen) -> Option<i64> {
    let named = member.object["spec"]["platformFaultDomain"].as_i64();
    named.or_else(|| text(&member.object["metadata"]["labels"][labels::FAULT_DOMAIN]).parse().ok())
}

/// Members of a set by fault domain, whoever made them.
fn domains(seen: &Seen, set_uid: &str, set: &SetSeen, count: i64) -> BTreeMap<i64, usize> {
    let mut counts: BTreeMap<i64, usize> = (0..count).map(|domain| (domain, 0)).collect();
    for domain in members(seen, set_uid, set).filter_map(domain) {
        *counts.entry(domain).or_default() += 1;
    }
    counts
}

/// Members of a set that are not going, whoever made them.
fn members<'seen>(seen: &'seen Seen, set_uid: &str, set: &SetSeen) -> impl Iterator<Item = &'seen MemberSeen> {
    let by_hand = seen.members.values().filter(move |member| is_member_by_hand(set, member));
    seen.live_made(set_uid).chain(by_hand)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    /// A set with two fault domains, made members and one by hand, marked where that is said.
    fn world(made: &[i64], by_hand: Option<&str>) -> Seen {
        let mut seen = Seen::default();
        let mut set = set_over(&[]);
        set.object = json!({
            "metadata": {"name": "web"}, "spec": {"orchestrationMode": "Flexible"},
            "status": {"platformFaultDomainCount": 2},
        });
        seen.sets.insert("set".to_owned(), set);
        for (number, domain) in made.iter().enumerate() {
            let member = member_in("set", number, "", *domain);
            seen.members.insert(member.uid.clone(), member);
        }
        let mut joined = member_in("", 9, "", 0);
        joined.object["spec"]["platformFaultDomain"] = serde_json::Value::Null;
        joined.object["status"] = json!({"scaleSet": "web"});
        joined.object["metadata"]["labels"] = json!({labels::FAULT_DOMAIN: by_hand});
        seen.members.insert(joined.uid.clone(), joined);
        seen
    }

    #[test]
    fn one_that_joins_alone_goes_where_fewest_are() {
        let nobody = BTreeMap::new();
        let given = |made: &[i64], mark| strayed(&world(made, None), &world(made, Some(mark)), &nobody).len();
        assert_eq!((given(&[0], "1"), given(&[0], "0")), (0, 1));
        assert_eq!((given(&[], "0"), given(&[], "1"), given(&[0, 1, 1], "0")), (0, 0, 0));
        let grown = strayed(&world(&[0], None), &world(&[0, 1], Some("0")), &nobody);
        assert!(grown.is_empty(), "the set has made one in the same moment");
    }
}
