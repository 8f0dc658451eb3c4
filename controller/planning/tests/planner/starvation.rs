//! Automatic upgrades of sets in which some or all members are broken: nobody starves, and a bad model stops.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState};
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{Failure, Member, Revision, ScaleSetSnapshot};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, newest, profile, snapshot, spread};

/// How a member is broken.
type Breakage = fn(&mut Member);

const BREAKAGES: [Breakage; 2] = [
    |member| member.report.provisioning = ProvisioningState::Failed,
    |member| member.report.health = Health::Known(HealthState::Unhealthy),
];

/// Members on the old model, and a newer size that is to come.
fn resized(count: usize) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], i32::try_from(count).expect("a small set"));
    snapshot.members = spread(&[(None, count)], &newest(&snapshot));
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

/// Broken since it took the old model; it was healthy on `healthy_on`, if ever.
fn breaks(member: &mut Member, breakage: Breakage, healthy_on: Option<&str>) {
    breakage(member);
    member.report.healthy_on_revision = healthy_on.map(str::to_owned);
}

/// Carries out what is planned, one pass and one round of the instances after the other, until nobody is assigned any
/// more: those that `mended` says are well afterwards, the others are broken. Names in the order of their turns.
fn carry_out(snapshot: &mut ScaleSetSnapshot, breakage: Breakage, mended: impl Fn(&Member) -> bool) -> Vec<String> {
    let mut turns = Vec::new();
    loop {
        let plan = audited(snapshot);
        let mut assigned = 0;
        for action in &plan.actions {
            match action {
                Action::CreateRevision { name, number, profile } => {
                    let (name, number, profile) = (name.clone(), *number, std::sync::Arc::clone(profile));
                    let revision = snapshot.revisions[0].clone();
                    snapshot.revisions.push(Revision { name, number, profile, ..revision });
                }
                Action::AssignRevision(assignment) => {
                    assigned += 1;
                    turns.push(assignment.name.clone());
                    let member = snapshot.members.iter_mut().find(|member| member.name == assignment.name);
                    take(member.expect("it is a member"), &assignment.revision, breakage, &mended);
                }
                Action::AddFinalizer
                | Action::RenumberRevision { .. }
                | Action::ReserveNumbers { .. }
                | Action::ReplaceOsDisk(_)
                | Action::KeepMember(_)
                | Action::RepairMember(_)
                | Action::SeatMember(_)
                | Action::MarkMember(_)
                | Action::MarkForDeletion(_)
                | Action::CreateMember(_)
                | Action::DeleteMember(_)
                | Action::DeleteRevision { .. }
                | Action::NoteEvictions { .. }
                | Action::RemoveFinalizer => panic!("{action}"),
            }
        }
        assert!(turns.len() <= snapshot.members.len(), "everybody has one turn: {turns:?}");
        if assigned == 0 {
            return turns;
        }
    }
}

/// What the instance reports once it has the revision.
fn take(member: &mut Member, revision: &str, breakage: Breakage, mended: impl Fn(&Member) -> bool) {
    let was_well = member.report.healthy_on_revision == member.assigned_revision;
    let well = mended(member);
    member.assigned_revision = Some(revision.to_owned());
    member.report.running_revision = Some(revision.to_owned());
    if well {
        member.report.provisioning = ProvisioningState::Succeeded;
        member.report.health = Health::NoSource;
        member.report.healthy_on_revision = Some(revision.to_owned());
    } else {
        breakage(member);
        if !was_well {
            member.report.healthy_on_revision = None;
        }
    }
}

fn is_broken_for_good(member: &Member) -> bool {
    ["web-1", "web-4", "web-8"].contains(&member.name.as_str())
}

#[test]
fn a_good_model_gets_through_although_every_member_is_broken() {
    for breakage in BREAKAGES {
        for healthy_on in [None, Some("web-older")] {
            let mut snapshot = resized(10);
            snapshot.members.iter_mut().for_each(|member| breaks(member, breakage, healthy_on));
            assert_eq!(carry_out(&mut snapshot, breakage, |_| true).len(), 10);
        }
    }
}

#[test]
fn members_that_the_new_model_does_not_mend_are_tried_and_starve_nobody() {
    for breakage in BREAKAGES {
        for healthy_on in [None, Some("web-older")] {
            // All are broken, and three stay so.
            let mut snapshot = resized(10);
            snapshot.members.iter_mut().for_each(|member| breaks(member, breakage, healthy_on));
            assert_eq!(carry_out(&mut snapshot, breakage, |member| !is_broken_for_good(member)).len(), 10);
            // Three are broken and stay so: they are more than the allowance of two.
            let mut snapshot = resized(10);
            let broken = snapshot.members.iter_mut().filter(|member| is_broken_for_good(member));
            broken.for_each(|member| breaks(member, breakage, healthy_on));
            let turns = carry_out(&mut snapshot, breakage, |member| !is_broken_for_good(member));
            assert_eq!(turns.len(), 10);
            assert_eq!(turns[..2], ["web-1", "web-8"], "those that are down anyway go first");
            // One is broken in a set that may lose only one.
            let mut snapshot = resized(5);
            breaks(&mut snapshot.members[1], breakage, healthy_on);
            let turns = carry_out(&mut snapshot, breakage, |member| !is_broken_for_good(member));
            assert_eq!(turns, ["web-1", "web-0", "web-2", "web-3", "web-4"], "the last was well and is lost");
        }
    }
}

#[test]
fn a_bad_model_stops_at_the_first_few_however_they_fail() {
    for breakage in BREAKAGES {
        let mut snapshot = resized(10);
        assert_eq!(carry_out(&mut snapshot, breakage, |_| false), ["web-0", "web-5"]);
        // Nor does it go on where a member was broken before.
        let mut snapshot = resized(10);
        breaks(&mut snapshot.members[9], breakage, None);
        assert_eq!(carry_out(&mut snapshot, breakage, |_| false), ["web-9", "web-0", "web-5"]);
    }
}

#[test]
fn a_bad_model_that_needs_new_vms_stops_at_the_first_few() {
    for breakage in BREAKAGES {
        let mut snapshot = resized(10);
        let newest = newest(&snapshot);
        let profile = snapshot.set.profile.clone().expect("it has one");
        snapshot.revisions.push(Revision { name: newest.clone(), number: 2, profile, ..snapshot.revisions[0].clone() });
        // Two went, and those in their places have never been well on any model.
        for made in &mut snapshot.members[..2] {
            made.created = snapshot.revisions[1].created;
            made.assigned_revision = Some(newest.clone());
            made.report.running_revision = Some(newest.clone());
            breaks(made, breakage, None);
        }
        assert!(audited(&snapshot).actions.is_empty(), "eight that are well stay");
    }
}

#[test]
fn members_on_their_way_spend_although_the_model_changes_to_one_that_they_would_not_notice() {
    let mut snapshot = resized(10);
    let under_way = newest(&snapshot);
    let profile = snapshot.set.profile.clone().expect("it has one");
    snapshot.revisions.push(Revision { name: under_way.clone(), number: 2, profile, ..snapshot.revisions[0].clone() });
    // Two are on their way to the larger size when a tag is added to it: one is down, one is about to go.
    snapshot.members[..2].iter_mut().for_each(|member| member.assigned_revision = Some(under_way.clone()));
    snapshot.members[0].report.provisioning = ProvisioningState::Updating;
    snapshot.members[0].report.power = PowerState::Starting;
    let mut tagged = (**snapshot.set.profile.as_ref().expect("it has one")).clone();
    tagged.tags = std::collections::BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
    change_profile(&mut snapshot, tagged);
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-0", "web-1"], "they cost nothing more, and nobody else is taken down: {plan}");
    // What was refused is not about to go, and holds nobody.
    let message = "no host has room for it".to_owned();
    snapshot.members[1].report.failure = Some(Failure { reason: Reason::AllocationFailed, message });
    assert_eq!(assigned(&audited(&snapshot)), ["web-0", "web-1", "web-5"]);
}

#[test]
fn a_member_that_runs_and_is_not_well_is_not_taken_down_by_an_upgrade() {
    let mut snapshot = resized(5);
    snapshot.members[1].report.health = Health::Known(HealthState::Initializing);
    snapshot.members[2].report.provisioning = ProvisioningState::Failed;
    assert_eq!(assigned(&audited(&snapshot)), ["web-1"], "one of those that are down anyway");
}

#[test]
fn everybody_has_a_turn_although_the_model_changes_again_and_again() {
    for breakage in BREAKAGES {
        let mut snapshot = resized(5);
        snapshot.members.iter_mut().for_each(|member| breaks(member, breakage, None));
        let mut first = Vec::new();
        for change in 0..5 {
            let mut changed = profile("Standard_D4s_v3");
            let disk = serde_json::json!({"lun": 0, "diskSizeGB": 8 + change});
            changed.storage_profile.data_disks = vec![serde_json::from_value(disk).expect("the disk is whole")];
            change_profile(&mut snapshot, changed);
            let plan = audited(&snapshot);
            let newest = newest(&snapshot);
            let profile = snapshot.set.profile.clone().expect("it has one");
            let number = i64::from(change) + 2;
            let revision = Revision { name: newest, number, profile, ..snapshot.revisions[0].clone() };
            snapshot.revisions.push(revision);
            for action in &plan.actions {
                if let Action::AssignRevision(assignment) = action {
                    first.push(assignment.name.clone());
                    let member = snapshot.members.iter_mut().find(|member| member.name == assignment.name);
                    take(member.expect("it is a member"), &assignment.revision, breakage, |_| false);
                }
            }
        }
        assert_eq!(first, ["web-0", "web-1", "web-2", "web-3", "web-4"], "one at a time, each once");
    }
}
