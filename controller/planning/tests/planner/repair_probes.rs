//! Repairs by `Replace` whose new VM does not come up: it is still the one probe of its zone, and still takes its place in the batch.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::RepairAction;
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState};
use scaleset_planning::snapshot::{Failure, Member, Observation, OsDiskReport, RepairMark, ScaleSetSnapshot};
use scaleset_planning::view::Health;

use crate::fleet::{audited, change_profile, keep_revision, member, newest, profile};
use crate::repairs::{begun, held, mark, names, now, repairing, with_unwell};

/// The member has gone, and this one was made in its place by a repair that was decided at `since`; it has no hardware.
pub(crate) fn replaced(snapshot: &mut ScaleSetSnapshot, index: usize, since: Timestamp) {
    let old = snapshot.members.remove(index);
    let number = snapshot.status.next_instance_id.expect("it is there");
    snapshot.status.next_instance_id = Some(number + 1);
    let mut new = member(number, old.zone.as_deref(), old.fault_domain, &newest(snapshot));
    new.repair = Some(RepairMark { replaces: Some(old.name), ..mark(1, RepairAction::Replace, since) });
    let report = &mut new.report;
    (report.provisioning, report.power) = (ProvisioningState::Creating, PowerState::Creating);
    (report.running_revision, report.os_disk, report.health) = (None, None, Health::Missing);
    snapshot.members.push(new);
}

fn without_room(member: &mut Member) {
    member.report.provisioning = ProvisioningState::Failed;
    let message = "no room".to_owned();
    member.report.failure = Some(Failure { reason: Reason::AllocationFailed, message });
}

pub(crate) fn has_hardware(member: &mut Member) {
    member.report.running_revision = member.assigned_revision.clone();
    member.report.os_disk = crate::fleet::member(0, None, None, "").report.os_disk;
    member.report.changed_at = Some(now());
}

#[test]
fn a_new_vm_that_does_not_come_up_is_still_the_one_probe_of_its_zone() {
    type Change = fn(&mut Member);
    let zones = [(Some("1"), 20), (Some("2"), 20), (Some("3"), 20)];
    let twenty: Vec<usize> = (0..20).collect();
    let bad = with_unwell(repairing(&zones, RepairAction::Replace), &twenty);
    assert_eq!(names(&begun(&audited(&bad))), ["web-0"], "one probe");
    let table: [(&str, Timestamp, Change); 6] = [
        ("without status", now(), |m| m.report.observation = Observation::Unseen),
        ("without room", now(), without_room),
        ("without room for long", now() - Duration::from_hours(1), without_room),
        ("coming up", now(), |m| {
            has_hardware(m);
            m.report.health = Health::Known(HealthState::Initializing);
        }),
        ("it does not boot", now(), |m| {
            has_hardware(m);
            m.report.provisioning = ProvisioningState::Failed;
        }),
        ("unhealthy", now(), |m| {
            has_hardware(m);
            (m.report.provisioning, m.report.power) = (ProvisioningState::Succeeded, PowerState::Running);
            m.report.health = Health::Known(HealthState::Unhealthy);
        }),
    ];
    for newer in [false, true] {
        for (what, since, change) in table {
            let mut snapshot = bad.clone();
            if newer {
                change_profile(&mut snapshot, profile("Standard_D4s_v3"));
            }
            replaced(&mut snapshot, 0, since);
            change(snapshot.members.last_mut().expect("it is there"));
            let plan = audited(&snapshot);
            assert!(begun(&plan).is_empty(), "{what}, newer: {newer}: {:?}", begun(&plan));
            let (count, message) = held(&plan, Reason::RepairBreakerOpen).expect("it is told");
            assert_eq!(count, 19, "{what}, newer: {newer}");
            assert!(message.contains("19 wait behind the repair of web-60"), "{what}, newer: {newer}: {message}");
        }
    }
    let mut snapshot = bad;
    replaced(&mut snapshot, 0, now());
    let new = snapshot.members.last_mut().expect("it is there");
    has_hardware(new);
    (new.report.provisioning, new.report.power) = (ProvisioningState::Succeeded, PowerState::Running);
    new.report.health = Health::Known(HealthState::Healthy);
    assert_eq!(names(&begun(&audited(&snapshot))), ["web-5"], "it has helped: the next");
}

#[test]
fn a_probe_that_does_not_boot_is_no_way_for_the_next() {
    let mut snapshot = with_unwell(repairing(&[(None, 40)], RepairAction::Restart), &(0..30).collect::<Vec<_>>());
    let probe = &mut snapshot.members[0];
    probe.repair = Some(mark(1, RepairAction::Restart, now() - Duration::from_mins(1)));
    probe.report.provisioning = ProvisioningState::Failed;
    let plan = audited(&snapshot);
    assert!(begun(&plan).is_empty());
    assert_eq!(held(&plan, Reason::RepairBreakerOpen).map(|(count, _)| count), Some(29));
}

#[test]
fn a_new_vm_that_a_person_has_deleted_is_no_probe_any_more() {
    let zones = [(Some("1"), 20), (Some("2"), 20), (Some("3"), 20)];
    let mut snapshot = with_unwell(repairing(&zones, RepairAction::Replace), &(0..20).collect::<Vec<_>>());
    replaced(&mut snapshot, 0, now() - Duration::from_hours(1));
    without_room(snapshot.members.last_mut().expect("it is there"));
    assert!(begun(&audited(&snapshot)).is_empty(), "it holds its zone");
    let made_instead = snapshot.members.last_mut().expect("it is there");
    (made_instead.repair, made_instead.name) = (None, "web-61".to_owned());
    snapshot.status.next_instance_id = Some(62);
    assert_eq!(names(&begun(&audited(&snapshot))), ["web-5"]);
}

/// Of forty, thirty are unwell; restarts of so many began so many seconds ago, and none of them boots.
fn stuck(count: usize, seconds: u64) -> ScaleSetSnapshot {
    let mut snapshot = with_unwell(repairing(&[(None, 40)], RepairAction::Restart), &(0..30).collect::<Vec<_>>());
    for probe in snapshot.members.iter_mut().take(count) {
        probe.repair = Some(mark(1, RepairAction::Restart, now() - Duration::from_secs(seconds)));
        probe.report.provisioning = ProvisioningState::Failed;
        // It was tried again a moment ago.
        probe.report.changed_at = Some(now() - Duration::from_secs(10));
    }
    snapshot
}

#[test]
fn a_probe_that_does_not_boot_holds_the_others_until_its_grace_is_over() {
    // Whether it is tried again just now makes no difference.
    for provisioning in [ProvisioningState::Failed, ProvisioningState::Updating] {
        for (seconds, expected) in [(599, &[][..]), (600, &["web-5"])] {
            let mut snapshot = stuck(1, seconds);
            snapshot.members[0].report.provisioning = provisioning;
            let plan = audited(&snapshot);
            assert_eq!(names(&begun(&plan)), expected, "{provisioning:?}, begun {seconds} s ago");
            if expected.is_empty() {
                assert_eq!(plan.wake_after, Some(Duration::from_secs(1)), "it is looked at again then");
            }
        }
    }
}

#[test]
fn as_many_probes_that_do_not_boot_as_may_fail_in_a_row_hold_the_others() {
    for (count, failures, expected) in [(1, 1, 0), (2, 3, 1), (3, 3, 0), (4, 3, 0), (4, 5, 1)] {
        let mut snapshot = stuck(count, 700);
        snapshot.set.repairs.failures_max = failures;
        let plan = audited(&snapshot);
        assert_eq!(begun(&plan).len(), expected, "{count} did not boot, {failures} may fail");
        let held = held(&plan, Reason::RepairBreakerOpen).map(|(count, message)| (count, message.to_owned()));
        let (waiting, message) = held.expect("it is told");
        assert_eq!(waiting, 30 - count - expected);
        assert_eq!(message.contains("behind the repair of web-0"), expected == 0, "{message}");
    }
}

#[test]
fn a_new_vm_that_waits_for_room_takes_its_place_in_the_batch_until_its_grace_is_over() {
    for (seconds, expected) in [(0, &[][..]), (599, &[]), (600, &["web-4"])] {
        let mut snapshot = with_unwell(repairing(&[(None, 10)], RepairAction::Replace), &[3, 4]);
        replaced(&mut snapshot, 3, now() - Duration::from_secs(seconds));
        without_room(snapshot.members.last_mut().expect("it is there"));
        let plan = audited(&snapshot);
        assert_eq!(names(&begun(&plan)), expected, "decided {seconds} s ago");
        assert_eq!(
            plan.wake_after,
            (seconds == 599).then_some(Duration::from_secs(1)).or(plan.wake_after),
            "{seconds} s"
        );
    }
}

#[test]
fn sizes_and_images_of_one_zone_have_a_breaker_each() {
    type Others = fn(&mut ScaleSetSnapshot);
    let larger: Others = |snapshot| {
        let size = profile("Standard_D4s_v3");
        change_profile(snapshot, size.clone());
        keep_revision(snapshot, "web-larger", 2, &Arc::new(size));
        for member in snapshot.members.iter_mut().skip(20) {
            member.assigned_revision = Some("web-larger".to_owned());
            member.report.running_revision = member.assigned_revision.clone();
        }
    };
    let newer: Others = |snapshot| {
        for member in snapshot.members.iter_mut().skip(20) {
            let disk = member.report.os_disk.take().expect("it is there");
            member.report.os_disk = Some(OsDiskReport { version: "22.04.2".to_owned(), ..disk });
        }
    };
    let unwell: Vec<usize> = (0..20).chain([30, 35, 40]).collect();
    let said = "20 of 20 down (zone 1, Standard_D2s_v3, Canonical:ubuntu-server:22_04-lts 22.04.1), 19 wait behind";
    for (what, others) in [("size", larger), ("image", newer)] {
        let mut snapshot = with_unwell(repairing(&[(Some("1"), 80)], RepairAction::Restart), &unwell);
        others(&mut snapshot);
        let plan = audited(&snapshot);
        assert_eq!(names(&begun(&plan)), ["web-30", "web-35", "web-40", "web-0"], "another {what} goes on first");
        let (waiting, message) = held(&plan, Reason::RepairBreakerOpen).expect("it is told");
        assert_eq!(waiting, 19, "another {what}");
        assert!(message.starts_with(said), "another {what}: {message}");
    }
    // All of one size and image: 23 of 80 are no outage.
    let plan = audited(&with_unwell(repairing(&[(Some("1"), 80)], RepairAction::Restart), &unwell));
    assert_eq!((begun(&plan).len(), held(&plan, Reason::RepairBreakerOpen)), (4, None));
}
