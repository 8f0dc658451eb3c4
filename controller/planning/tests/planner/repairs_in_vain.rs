//! Repairs by `Replace` that do not help: the count goes from each VM to the one in its place, until the service suspends itself.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::{OrchestrationServiceState, RepairAction, ServiceSuspender};
use scaleset_crds::vocabulary::{PowerState, ProvisioningState};
use scaleset_planning::snapshot::{RepairMark, ScaleSetSnapshot};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{audited, created, deleted};
use crate::repair_probes::{has_hardware, replaced};
use crate::repairs::{HEALTHY, UNHEALTHY, begun, ended, held, now, repairing, running_since, state};

/// Thirty VMs in three zones; web-60 in the place of web-4 by a repair that was the `attempt`th in a row, decided and done so many
/// seconds ago. It runs, and its application answers badly.
fn in_vain(attempt: u32, seconds: u64) -> ScaleSetSnapshot {
    let zones = [(Some("1"), 10), (Some("2"), 10), (Some("3"), 10)];
    let mut snapshot = running_since(repairing(&zones, RepairAction::Replace), Timestamp::UNIX_EPOCH);
    snapshot.status.next_instance_id = Some(60);
    let since = now() - Duration::from_secs(seconds);
    replaced(&mut snapshot, 4, since);
    let new = snapshot.members.last_mut().expect("it is there");
    has_hardware(new);
    let report = &mut new.report;
    (report.provisioning, report.power, report.health) = (ProvisioningState::Succeeded, PowerState::Running, UNHEALTHY);
    report.changed_at = Some(since);
    new.repair = new.repair.take().map(|mark| RepairMark { attempt, ..mark });
    snapshot
}

#[test]
fn the_count_goes_to_the_vm_in_the_same_place() {
    for attempt in [1, 2] {
        let snapshot = in_vain(attempt, 600);
        let old = snapshot.members.last().expect("it is there").clone();
        let plan = audited(&snapshot);
        let new = created(&plan)[0];
        assert_eq!(begun(&plan), [("web-60".to_owned(), attempt + 1)]);
        assert_eq!((deleted(&plan), new.name.as_str()), (vec!["web-60"], "web-61"));
        assert_eq!(
            (&new.zone, new.fault_domain, new.update_domain, &new.placement_group),
            (&old.zone, old.fault_domain, old.update_domain, &old.placement_group),
            "it is the same place"
        );
        let why = plan.actions.iter().find_map(|action| action.removal()).map(|removal| removal.reason.as_str());
        let expected = format!("unhealthy after repair {attempt}; 0 under repair");
        assert!(why.is_some_and(|why| why.starts_with(&expected)), "{why:?}");
    }
}

#[test]
fn a_new_vm_that_is_unhealthy_from_the_beginning_has_its_grace() {
    for (seconds, expected) in [(0, &[][..]), (599, &[]), (600, &[("web-60".to_owned(), 2)])] {
        let plan = audited(&in_vain(1, seconds));
        assert_eq!(begun(&plan), expected, "{seconds} s after it was made");
        let grace = "1 unhealthy (web-60): in the grace of 600 s after their last change";
        assert_eq!(held(&plan, Reason::RepairsWait), expected.is_empty().then_some((1, grace)));
        assert_eq!(held(&plan, Reason::RepairBreakerOpen), None, "the breaker is closed");
    }
}

#[test]
fn the_third_in_vain_suspends_the_service_and_names_the_vm_in_the_place() {
    let snapshot = in_vain(3, 600);
    let plan = audited(&snapshot);
    assert_eq!(state(&plan), Some((OrchestrationServiceState::Suspended, Some(ServiceSuspender::Platform))));
    assert!(begun(&plan).is_empty() && created(&plan).is_empty() && deleted(&plan).is_empty());
    let why = "1 unhealthy are not repaired (web-60): 1 still unhealthy after 3 repairs in a row (Replace): web-60; the \
               operation SetOrchestrationServiceState resumes repairs";
    assert_eq!(held(&plan, Reason::RepairsSuspended), Some((1, why)));
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").expect("it is told");
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "RepairsSuspended"));
}

#[test]
fn the_count_ends_with_a_vm_that_stays_healthy_and_with_a_service_that_runs_anew() {
    let mut well = in_vain(2, 600);
    well.members.last_mut().expect("it is there").report.health = HEALTHY;
    assert_eq!(ended(&audited(&well)), ["web-60"]);
    let resumed = running_since(in_vain(3, 600), now() - Duration::from_secs(10));
    assert_eq!(begun(&audited(&resumed)), [("web-60".to_owned(), 1)], "what failed before does not count");
}
