//! Who may join a set, who may leave it, and what marks that leaves.

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_planning::instance::{Enrolment, InstancePlan, Step, Wait, plan};
use scaleset_planning::limits::{profile_refusal, single_placement_group};
use scaleset_planning::membership::{MemberShape, MemberStanding, SetShape, detach_refusal, move_refusal, refusal};
use scaleset_planning::plan::Action;
use scaleset_planning::priority_mix::Split;
use scaleset_planning::snapshot::{Belonging, Failure, Maintenance, MemberLife, Origin, SetLife, SizeMaintenance};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::view::HardwareView;

use crate::fleet::{audited, member, profile, snapshot};
use crate::instance::{flexible_snapshot, running_hardware};

/// A regional Flexible set that takes existing VMs.
pub(crate) fn open_set() -> SetShape<'static> {
    SetShape {
        name: "demo",
        mode: OrchestrationMode::Flexible,
        location: "eastus",
        zones: &[],
        fault_domain_count: 1,
        single_placement_group: Some(false),
        wished_single_placement_group: Some(false),
        members: 0,
        image_members_max: 1_000,
        priorities: Split::default(),
        wished: 0,
        life: MemberLife::Live,
    }
}

pub(crate) const fn vm(standing: MemberStanding) -> MemberShape<'static> {
    let (size, maintenance) = ("Standard_D2s_v3", SizeMaintenance::Known(Maintenance::MemoryPreserving));
    MemberShape {
        location: "eastus",
        zone: None,
        fault_domain: None,
        size,
        maintenance,
        priority: Priority::Regular,
        group: None,
        standing,
    }
}

pub(crate) fn told(failure: Option<Failure>) -> Option<(Reason, String)> {
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
fn where_a_set_has_zones_or_domains_by_now_is_no_matter_for_its_members() {
    let zones = ["1".to_owned(), "2".to_owned()];
    let zonal = SetShape { zones: &zones, ..open_set() };
    let choosing = |standing| MemberShape { fault_domain: Some(1), ..vm(standing) };
    for standing in [MemberStanding::Newcomer, MemberStanding::Attaching] {
        for refused in
            [refusal(Some(&zonal), "demo", &vm(standing)), refusal(Some(&open_set()), "demo", &choosing(standing))]
        {
            assert_eq!(told(refused).map(|(reason, _)| reason), Some(Reason::InvalidParameter), "{standing:?}");
        }
    }
    assert_eq!(refusal(Some(&zonal), "demo", &vm(MemberStanding::Accepted)), None);
    assert_eq!(refusal(Some(&open_set()), "demo", &choosing(MemberStanding::Accepted)), None);
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
    let join = Some(Step::Enroll(Enrolment::Join { scale_set: demo(), group: None }));
    let leave = Some(Step::Enroll(Enrolment::Leave));
    let refused = Failure { reason: Reason::InvalidParameter, message: "no".to_owned() };
    let cases = [
        (Belonging::HandMade { scale_set: demo() }, None, join.clone()),
        (Belonging::HandMade { scale_set: demo() }, Some("other"), join),
        (Belonging::HandMade { scale_set: demo() }, Some("demo"), None),
        (Belonging::Made { scale_set: demo() }, Some("demo"), None),
        (Belonging::Leaving { scale_set: demo() }, Some("demo"), leave.clone()),
        (Belonging::Leaving { scale_set: demo() }, None, None),
        (Belonging::Alone, None, None),
        (Belonging::Alone, Some("demo"), leave),
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
fn a_member_has_the_mark_of_its_fault_domain_before_it_has_hardware() {
    let demo = || "demo".to_owned();
    let join = Step::Enroll(Enrolment::Join { scale_set: demo(), group: None });
    // Its domain, the mark on it, whether it is written.
    for (domain, marked, written) in [(Some(1), None, true), (Some(1), Some(2), true), (Some(1), Some(1), false)] {
        let mut snapshot = flexible_snapshot(HardwareView::Absent);
        (snapshot.belonging, snapshot.enrolled) = (Belonging::HandMade { scale_set: demo() }, Some(demo()));
        (snapshot.fault_domain, snapshot.marked_fault_domain) = (domain, marked);
        let step = plan(&snapshot).step;
        assert_eq!(step == join, written, "{domain:?} {marked:?}: {step:?}");
        assert_eq!(matches!(step, Step::Create(_)), !written, "{domain:?} {marked:?}: {step:?}");
        snapshot.belonging = Belonging::Made { scale_set: demo() };
        assert!(matches!(plan(&snapshot).step, Step::Create(_)), "the set places its own");
    }
}

#[test]
fn the_status_says_whose_member_it_is_and_why_it_stays_one() {
    let demo = || "demo".to_owned();
    let outcome =
        InstanceOutcome { hardware: running_hardware(), failure: None, operation_failure: None, restore_refusal: None };
    let cases = [
        (Belonging::HandMade { scale_set: demo() }, Some("demo"), None, Some("demo"), ("True", "Accepted")),
        // The record goes last: without it nobody would know that the marks are yet to go.
        (Belonging::Leaving { scale_set: demo() }, Some("demo"), None, Some("demo"), ("True", "Accepted")),
        (Belonging::Leaving { scale_set: demo() }, None, None, None, ("False", "NoScaleSet")),
        (
            Belonging::HandMade { scale_set: demo() },
            Some("demo"),
            Some(move_refusal("demo", "other")),
            Some("demo"),
            ("True", "PropertyChangeNotAllowed"),
        ),
    ];
    for (belonging, enrolled, kept, set, expected) in cases {
        let mut snapshot = flexible_snapshot(running_hardware());
        (snapshot.belonging, snapshot.kept) = (belonging.clone(), kept);
        snapshot.enrolled = enrolled.map(str::to_owned);
        let status = instance_status(&snapshot, &Step::None, &outcome);
        assert_eq!(status.scale_set.as_deref(), set, "{belonging:?}");
        let member = status.conditions.iter().find(|condition| condition.type_ == "Member").expect("it is told");
        assert_eq!((member.status.as_str(), member.reason.as_str()), expected, "{belonging:?}");
    }
}

#[test]
fn a_size_that_nobody_knows_is_waited_for_and_one_that_is_not_offered_is_refused() {
    let several = SetShape { fault_domain_count: 3, ..open_set() };
    let of = |maintenance, standing| MemberShape { size: "Standard_M64s", maintenance, ..vm(standing) };
    for (maintenance, expected, said) in [
        (
            SizeMaintenance::Unseen,
            Reason::HardwareUnavailable,
            "spec.vmSize: eastus has not told yet what Standard_M64s needs, wait until it answers",
        ),
        (SizeMaintenance::NotOffered, Reason::SkuNotAvailable, "spec.vmSize: Standard_M64s is not offered in eastus"),
    ] {
        for standing in [MemberStanding::Newcomer, MemberStanding::Attaching] {
            let (reason, message) =
                told(refusal(Some(&several), "demo", &of(maintenance, standing))).expect("it waits");
            assert_eq!((reason, message.as_str()), (expected, said), "{standing:?}");
        }
        assert_eq!(refusal(Some(&several), "demo", &of(maintenance, MemberStanding::Accepted)), None);
        let mut newcomer = flexible_snapshot(HardwareView::Absent);
        let refusal = Failure { reason: expected, message: said.to_owned() };
        newcomer.belonging = Belonging::Refused { scale_set: "demo".to_owned(), refusal: refusal.clone() };
        newcomer.enrolled = None;
        let InstancePlan { step, wake_after, .. } = plan(&newcomer);
        if expected == Reason::HardwareUnavailable {
            assert_eq!(step, Step::Wait(Wait::HardwareUnknown));
        } else {
            assert_eq!((step, wake_after.is_some()), (Step::Hold(refusal), true), "only the region can end it");
        }
    }
}

#[test]
fn a_size_that_the_region_does_not_have_decides_nothing() {
    let mut snapshot = snapshot(&[], 0);
    snapshot.set.mode = OrchestrationMode::Flexible;
    let by_hand = |number: i64, size: &str| {
        let mut made = member(number, None, None, "own");
        (made.origin, made.vm_size) = (Origin::Hand, Some(size.to_owned()));
        made
    };
    snapshot.members = vec![by_hand(0, "Standard_Nope")];
    assert_eq!(single_placement_group(&snapshot, 3), None);
    snapshot.members.push(by_hand(1, "Standard_M64s"));
    assert_eq!(single_placement_group(&snapshot, 3), Some(true));
}

#[test]
fn a_set_that_is_deleted_lets_those_leave_first_who_wish_to() {
    let mut snapshot = snapshot(&[], 0);
    (snapshot.set.mode, snapshot.set.life) = (OrchestrationMode::Flexible, SetLife::Terminating);
    snapshot.leaving = vec!["newvm".to_owned()];
    let waiting = audited(&snapshot);
    assert!(waiting.actions.is_empty(), "{waiting}");
    assert_eq!(waiting.holds[0].message, "wait until they have left: newvm");
    snapshot.leaving.clear();
    assert!(matches!(audited(&snapshot).actions.as_slice(), [Action::RemoveFinalizer]));
}

#[test]
fn the_first_vm_of_a_flexible_set_decides_on_its_placement_group() {
    let profile_of = |size: &str| std::sync::Arc::new(profile(size));
    for (size, domains, expected) in
        [("Standard_D2s_v3", 3, Some(false)), ("Standard_M64s", 3, Some(true)), ("Standard_M64s", 1, Some(false))]
    {
        let mut snapshot = snapshot(&[], 0);
        snapshot.set.mode = OrchestrationMode::Flexible;
        snapshot.set.platform_fault_domain_count = Some(domains);
        assert_eq!(single_placement_group(&snapshot, domains), None, "nobody is there");
        let mut first = member(0, None, None, "own");
        (first.origin, first.vm_size) = (Origin::Hand, Some(size.to_owned()));
        snapshot.members = vec![first];
        assert_eq!(single_placement_group(&snapshot, domains), expected, "{size} over {domains}");
        snapshot.members[0].vm_size = None;
        snapshot.set.profile = Some(profile_of(size));
        assert_eq!(single_placement_group(&snapshot, domains), expected, "{size} over {domains}, made by the set");
    }
}

#[test]
fn a_size_and_a_placement_group_that_do_not_go_together_are_refused() {
    for (size, domains, group, expected) in [
        ("Standard_M64s", 2, Some(false), Some(Reason::OperationNotAllowed)),
        ("Standard_M64s", 2, Some(true), None),
        ("Standard_M64s", 2, None, None),
        ("Standard_M64s", 1, Some(true), Some(Reason::InvalidParameter)),
        ("Standard_D2s_v3", 2, Some(true), Some(Reason::InvalidParameter)),
        ("Standard_D2s_v3", 2, Some(false), None),
    ] {
        let mut snapshot = snapshot(&[], 0);
        snapshot.set.mode = OrchestrationMode::Flexible;
        (snapshot.set.platform_fault_domain_count, snapshot.set.single_placement_group) = (Some(domains), group);
        let refusal = profile_refusal(&snapshot, &profile(size));
        assert_eq!(refusal.map(|refusal| refusal.reason), expected, "{size} over {domains} with {group:?}");
    }
}

#[test]
fn the_hardware_learns_whose_a_vm_is() {
    let uid = |uid: &str| Some(uid.to_owned());
    let refusal = Failure { reason: Reason::OperationNotAllowed, message: "it is full".to_owned() };
    let demo = || "demo".to_owned();
    let cases = [
        (Belonging::HandMade { scale_set: demo() }, None, uid("new"), Some(uid("new"))),
        (Belonging::HandMade { scale_set: demo() }, uid("old"), uid("new"), Some(uid("new"))),
        (Belonging::HandMade { scale_set: demo() }, uid("new"), uid("new"), None),
        (Belonging::Made { scale_set: demo() }, uid("new"), uid("new"), None),
        (Belonging::Alone, uid("old"), None, Some(None)),
        (Belonging::Refused { scale_set: demo(), refusal }, uid("old"), None, Some(None)),
        (Belonging::Alone, None, None, None),
    ];
    for (belonging, known, own, told) in cases {
        let case = format!("{belonging:?}, known {known:?}, is of {own:?}");
        let mut snapshot = flexible_snapshot(running_hardware());
        snapshot.enrolled = match &belonging {
            Belonging::HandMade { scale_set } | Belonging::Made { scale_set } => Some(scale_set.clone()),
            Belonging::Alone | Belonging::Leaving { .. } | Belonging::Refused { .. } => None,
        };
        snapshot.belonging = belonging;
        snapshot.birth.set_uid = own;
        let HardwareView::Present(view) = &mut snapshot.hardware else { panic!("it runs") };
        view.set_uid = known;
        let InstancePlan { step, reason, .. } = plan(&snapshot);
        assert_eq!(step, told.map_or(Step::None, Step::SetMembership), "{case}: {reason}");
    }
}
