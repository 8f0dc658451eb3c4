//! Who may join a set, who may leave it, and what marks that leaves.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_planning::instance::{Enrolment, Step, plan};
use scaleset_planning::membership::{MemberShape, MemberStanding, SetShape, detach_refusal, move_refusal, refusal};
use scaleset_planning::snapshot::{Belonging, Failure, MemberLife};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};

use crate::instance::{flexible_snapshot, running_hardware};

/// A regional Flexible set that takes existing VMs.
fn open_set() -> SetShape<'static> {
    SetShape {
        name: "demo",
        mode: OrchestrationMode::Flexible,
        location: "eastus",
        zones: &[],
        fault_domain_count: 1,
        single_placement_group: Some(false),
        wished_single_placement_group: Some(false),
        life: MemberLife::Live,
    }
}

const fn vm(standing: MemberStanding) -> MemberShape<'static> {
    MemberShape { location: "eastus", zone: None, fault_domain: None, standing }
}

fn told(failure: Option<Failure>) -> Option<(Reason, String)> {
    failure.map(|Failure { reason, message }| (reason, message))
}

#[test]
fn a_vm_that_runs_joins_where_azure_lets_it() {
    use Reason::{
        InvalidParameter, OperationNotAllowed, VmssDoesNotSupportAttachingExistingVMMultiFD as MultiFD,
        VmssDoesNotSupportAttachingWithSpg as Spg,
    };
    let zones = ["1".to_owned(), "2".to_owned()];
    let open = open_set();
    let cases: [(SetShape<'_>, Option<Reason>, Option<Reason>); 8] = [
        (open.clone(), None, None),
        (
            SetShape { mode: OrchestrationMode::Uniform, ..open.clone() },
            Some(OperationNotAllowed),
            Some(OperationNotAllowed),
        ),
        (SetShape { location: "westus", ..open.clone() }, Some(InvalidParameter), Some(InvalidParameter)),
        (SetShape { zones: &zones, ..open.clone() }, Some(InvalidParameter), Some(InvalidParameter)),
        (
            SetShape { life: MemberLife::Terminating, ..open.clone() },
            Some(OperationNotAllowed),
            Some(OperationNotAllowed),
        ),
        // A VM that is made joins these, one that runs does not.
        (SetShape { fault_domain_count: 2, ..open.clone() }, None, Some(MultiFD)),
        (SetShape { wished_single_placement_group: None, ..open.clone() }, None, Some(Spg)),
        (SetShape { wished_single_placement_group: Some(true), ..open }, None, Some(Spg)),
    ];
    for (set, newcomer, attaching) in cases {
        let reason = |standing| told(refusal(Some(&set), "demo", &vm(standing))).map(|(reason, _)| reason);
        assert_eq!(reason(MemberStanding::Newcomer), newcomer, "{set:?}");
        assert_eq!(reason(MemberStanding::Attaching), attaching, "{set:?}");
    }
    let (reason, message) = told(refusal(None, "demo", &vm(MemberStanding::Attaching))).expect("it is refused");
    assert_eq!((reason, message.as_str()), (InvalidParameter, "spec.scaleSetRef.name: scale set demo does not exist"));
}

#[test]
fn a_member_leaves_under_the_rules_by_which_it_would_join() {
    let open = open_set();
    assert_eq!(detach_refusal(Some(&open)), None);
    assert_eq!(detach_refusal(None), None, "a set that is gone holds nobody");
    let going = SetShape { life: MemberLife::Terminating, ..open.clone() };
    assert_eq!(detach_refusal(Some(&going)), None, "the set waits for just that");
    let several = SetShape { fault_domain_count: 3, ..open.clone() };
    let (reason, message) = told(detach_refusal(Some(&several))).expect("it is refused");
    assert_eq!(reason, Reason::VmssDoesNotSupportAttachingExistingVMMultiFD);
    assert_eq!(
        message,
        "spec.scaleSetRef: scale set demo has platformFaultDomainCount 3; a VM is detached from one with 1 only"
    );
    let silent = SetShape { wished_single_placement_group: None, ..open };
    let (reason, message) = told(detach_refusal(Some(&silent))).expect("it is refused");
    assert_eq!(reason, Reason::VmssDoesNotSupportAttachingWithSpg);
    assert_eq!(
        message,
        "spec.scaleSetRef: singlePlacementGroup of scale set demo is absent; a VM is detached from a set where it is false only"
    );
}

#[test]
fn marks_follow_the_membership_and_hardware_is_not_touched() {
    let demo = || "demo".to_owned();
    let join = Some(Step::Enroll(Enrolment::Join { scale_set: demo() }));
    let leave = Some(Step::Enroll(Enrolment::Leave));
    let refused = Failure { reason: Reason::InvalidParameter, message: "no".to_owned() };
    let cases = [
        (Belonging::HandMade { scale_set: demo() }, None, join.clone()),
        (Belonging::HandMade { scale_set: demo() }, Some("other"), join),
        (Belonging::HandMade { scale_set: demo() }, Some("demo"), None),
        (Belonging::Made { scale_set: demo() }, Some("demo"), None),
        (Belonging::Leaving { scale_set: demo() }, Some("demo"), leave),
        (Belonging::Leaving { scale_set: demo() }, None, None),
        (Belonging::Alone, None, None),
        (Belonging::Refused { scale_set: demo(), refusal: refused }, None, None),
    ];
    for (belonging, enrolled, expected) in cases {
        let mut snapshot = flexible_snapshot(running_hardware());
        snapshot.belonging = belonging.clone();
        snapshot.enrolled = enrolled.map(str::to_owned);
        let step = plan(&snapshot).step;
        assert_eq!(step, expected.unwrap_or(Step::None), "{belonging:?} {enrolled:?}");
    }
}

#[test]
fn the_status_says_whose_member_it_is_and_why_it_stays_one() {
    let demo = || "demo".to_owned();
    let outcome = InstanceOutcome { hardware: running_hardware(), failure: None, operation_failure: None };
    let cases = [
        (Belonging::HandMade { scale_set: demo() }, None, Some("demo"), ("True", "Accepted")),
        (Belonging::Leaving { scale_set: demo() }, None, None, ("False", "NoScaleSet")),
        (
            Belonging::HandMade { scale_set: demo() },
            Some(move_refusal("demo", "other")),
            Some("demo"),
            ("True", "PropertyChangeNotAllowed"),
        ),
    ];
    for (belonging, kept, set, expected) in cases {
        let mut snapshot = flexible_snapshot(running_hardware());
        (snapshot.belonging, snapshot.kept) = (belonging.clone(), kept);
        let status = instance_status(&snapshot, &Step::None, &outcome);
        assert_eq!(status.scale_set.as_deref(), set, "{belonging:?}");
        let member = status.conditions.iter().find(|condition| condition.type_ == "Member").expect("it is told");
        assert_eq!((member.status.as_str(), member.reason.as_str()), expected, "{belonging:?}");
    }
}
