//! A set has at most so many members, those that a person made among them: 100 in a single placement group of a Uniform set,
//! which has one in each zone; 200 in that of a Flexible set; 600 of an own image; 1000 anyhow. More that were there before
//! the limit was lower may stay.

use super::seen::{MemberSeen, Seen, SetSeen, text};

/// Sets that have grown beyond their limit.
pub(super) fn beyond_their_limit(before: &Seen, now: &Seen) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let Some(known) = before.sets.get(uid) else { continue };
        let (were, are) = (members(before, uid, known), members(now, uid, set));
        let most = limit(known).max(limit(set));
        if are > were && are > most {
            findings.push(format!("{} grew from {were} to {are} members, it may have {most}", set.name));
        }
    }
    findings
}

/// Extras count, and so does whoever has joined by hand.
fn members(seen: &Seen, uid: &str, set: &SetSeen) -> usize {
    let has_joined =
        |member: &MemberSeen| member.owner.is_empty() && text(&member.object["status"]["scaleSet"]) == set.name;
    let of_set = |member: &&MemberSeen| !member.terminating && (member.owner == uid || has_joined(member));
    seen.members.values().filter(of_set).count()
}

fn limit(set: &SetSeen) -> usize {
    let (spec, status) = (&set.object["spec"], &set.object["status"]);
    // Until the first pass has written what is in force, only the highest limit is certain.
    let in_one_group = status["singlePlacementGroup"] == true && spec["singlePlacementGroup"] != false;
    let in_groups = match (in_one_group, spec["orchestrationMode"] == "Uniform") {
        (true, true) => 100 * set.zones.len().max(1),
        (true, false) => 200,
        (false, true | false) => 1_000,
    };
    let image = &spec["virtualMachineProfile"]["storageProfile"]["imageReference"]["id"];
    in_groups.min(if image.is_null() { 1_000 } else { 600 })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::seen::tests::{member_in, set_over};
    use super::*;

    fn world(spec: &Value, zones: &[&str], made: usize, by_hand: usize) -> Seen {
        let mut seen = Seen::default();
        let mut set = set_over(zones);
        set.object = json!({"spec": spec, "status": {"singlePlacementGroup": spec["singlePlacementGroup"]}});
        seen.sets.insert("set".to_owned(), set);
        for number in 0..made + by_hand {
            let mut member = member_in("set", number, "", 0);
            if number >= made {
                member.owner.clear();
                member.object["status"] = json!({"scaleSet": "web"});
            }
            seen.members.insert(member.uid.clone(), member);
        }
        seen
    }

    #[test]
    fn one_member_too_many_is_found() {
        let image = json!({"storageProfile": {"imageReference": {"id": "golden"}}});
        let cases: [(Value, &[&str], usize); 6] = [
            (json!({"orchestrationMode": "Uniform", "singlePlacementGroup": true}), &[], 100),
            (json!({"orchestrationMode": "Uniform", "singlePlacementGroup": true}), &["1", "2"], 200),
            (json!({"orchestrationMode": "Uniform", "singlePlacementGroup": false}), &["1", "2"], 1_000),
            (json!({"orchestrationMode": "Flexible", "singlePlacementGroup": true}), &[], 200),
            (json!({"orchestrationMode": "Flexible", "virtualMachineProfile": image}), &[], 600),
            (json!({"orchestrationMode": "Flexible"}), &[], 1_000),
        ];
        for (spec, zones, most) in cases {
            let [fewer, full] = [most - 2, most - 1].map(|made| world(&spec, zones, made, 1));
            assert!(beyond_their_limit(&fewer, &full).is_empty(), "{spec}");
            let found = beyond_their_limit(&full, &world(&spec, zones, most - 1, 2));
            assert_eq!(found, [format!("web grew from {most} to {} members, it may have {most}", most + 1)]);
            let lowered = world(&spec, zones, most + 5, 0);
            assert!(beyond_their_limit(&lowered, &lowered).is_empty(), "what is there stays");
        }
    }
}
