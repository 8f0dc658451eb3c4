//! Who is made beside those that are asked for, who stays, who goes.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{OrchestrationMode, PowerState, PowerWish, ProvisioningState, Surplus};
use scaleset_planning::instance::{Step, Wait, plan as plan_instance};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{
    Failure, Member, MemberLife, Observation, Overprovision, Protection, ScaleSetSnapshot, ZoneFacts,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::{HardwareView, InstanceView, OperationState, QuotaRule};

use crate::fleet::{audited, created, deleted, member, newest, snapshot};
use crate::instance::{old, snapshot as instance_snapshot, view};

const EXTRA: Option<Surplus> = Some(Surplus::Overprovisioned);

/// How a member stands in a growth.
#[derive(Clone, Copy, Debug)]
enum Stands {
    Up,
    Coming,
    Failed,
    OverQuota,
    Going,
    Unseen,
    WishedDown,
    Protected,
    ProtectedUp,
}

fn standing(number: i64, zone: Option<&str>, surplus: Option<Surplus>, stands: Stands, revision: &str) -> Member {
    let mut member = member(number, zone, None, revision);
    member.surplus = surplus;
    let report = &mut member.report;
    (report.healthy_on_revision, report.healthy_on_os_disk) = (None, None);
    report.provisioning = ProvisioningState::Creating;
    report.power = PowerState::Creating;
    let mut failed = |reason| {
        report.provisioning = ProvisioningState::Failed;
        report.failure = Some(Failure { reason, message: String::new() });
    };
    match stands {
        Stands::Up | Stands::ProtectedUp => {
            report.provisioning = ProvisioningState::Succeeded;
            report.power = PowerState::Running;
        }
        Stands::Coming | Stands::Protected => {}
        Stands::Failed => failed(Reason::OSProvisioningTimedOut),
        Stands::OverQuota => failed(Reason::QuotaExceeded),
        Stands::Going => member.life = MemberLife::Terminating,
        Stands::Unseen => report.observation = Observation::Unseen,
        Stands::WishedDown => member.power_wish = PowerWish::Deallocated,
    }
    if matches!(stands, Stands::Protected | Stands::ProtectedUp) {
        member.protection = Protection::FromScaleIn;
    }
    member
}

fn growing(replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], replicas);
    snapshot.set.overprovision = Overprovision::On;
    snapshot
}

fn kept(plan: &ScaleSetPlan) -> Vec<&str> {
    plan.actions
        .iter()
        .filter_map(|action| if let Action::KeepMember(keeping) = action { Some(keeping.name.as_str()) } else { None })
        .collect()
}

fn extras(plan: &ScaleSetPlan) -> usize {
    created(plan).into_iter().filter(|member| member.surplus == EXTRA).count()
}

/// What it shows; members that there are, the target, the records of the targets reached and in force; extras that are made.
type Made = (&'static str, i64, i32, Option<i32>, Option<i32>, usize);

#[test]
fn a_growth_makes_a_fifth_more_and_a_replacement_does_not() {
    let table: [Made; 7] = [
        ("a new set", 0, 2, None, None, 2),
        ("a new set of 75", 0, 75, None, None, 15),
        ("a pass that died before it had made all", 40, 75, Some(0), Some(75), 15),
        ("one of five was lost", 4, 5, Some(5), Some(5), 0),
        ("one was lost, two more are wished", 4, 7, Some(5), Some(5), 2),
        ("overprovisioning was switched on with the growth", 5, 25, None, Some(5), 4),
        ("it was lowered and raised", 3, 5, Some(3), Some(3), 2),
    ];
    for (case, there, target, reached, recorded, expected) in table {
        let mut snapshot = growing(target);
        let revision = newest(&snapshot);
        snapshot.members = (0..there).map(|number| member(number, None, None, &revision)).collect();
        snapshot.status.reached_replicas = reached;
        snapshot.status.target_replicas = recorded;
        let plan = audited(&snapshot);
        assert_eq!(extras(&plan), expected, "{case}");
        let asked = usize::try_from(i64::from(target) - there).unwrap();
        assert_eq!(created(&plan).len() - expected, asked, "{case}");
    }
}

#[test]
fn extras_keep_to_the_limits_and_to_the_mode() {
    let case = |change: fn(&mut ScaleSetSnapshot), replicas: i32| {
        let mut snapshot = growing(replicas);
        change(&mut snapshot);
        extras(&audited(&snapshot))
    };
    assert_eq!(case(|_| {}, 990), 10, "1,000 in a set");
    let single = |snapshot: &mut ScaleSetSnapshot| snapshot.set.platform_fault_domain_count = Some(5);
    assert_eq!(case(single, 95), 5, "100 in a single placement group");
    assert_eq!(case(|snapshot| snapshot.set.overprovision = Overprovision::Off, 10), 0);
    let flexible = |snapshot: &mut ScaleSetSnapshot| {
        snapshot.set.mode = OrchestrationMode::Flexible;
        snapshot.set.overprovision = Overprovision::Off;
    };
    assert_eq!(case(flexible, 10), 0);
}

/// What it shows; members by standing, extras by standing; who is kept, who is deleted, extras first.
type Race = (&'static str, &'static [Stands], &'static [Stands], &'static [&'static str], &'static [&'static str]);

#[test]
fn the_first_to_come_up_stay() {
    use Stands::{Coming, Failed, Going, OverQuota, Protected, ProtectedUp, Unseen, Up, WishedDown};
    let table: [Race; 15] = [
        ("nobody is up", &[Coming, Coming], &[Coming, Coming], &[], &[]),
        ("one of two", &[Up, Coming], &[Coming, Coming], &[], &[]),
        ("two make ids 0 and 3", &[Up, Coming], &[Coming, Up], &["web-3"], &["web-1", "web-2"]),
        ("the asked-for were faster", &[Up, Up], &[Coming, Coming], &[], &["web-2", "web-3"]),
        ("the extras were faster", &[Coming, Failed], &[Up, Up], &["web-2", "web-3"], &["web-0", "web-1"]),
        ("a failed extra goes at once", &[Coming, Coming], &[Failed, Coming], &[], &["web-2"]),
        (
            "all fail: extras go, the others are tried again",
            &[Failed, Failed],
            &[Failed, Failed],
            &[],
            &["web-2", "web-3"],
        ),
        ("no extra evades a quota", &[Up, OverQuota], &[Up, Coming], &[], &["web-2", "web-3"]),
        ("one that nobody sees has neither won nor lost", &[Up, Coming], &[Unseen, Coming], &[], &[]),
        ("a place that is left goes to an extra that is up", &[Up, Going], &[Up, Coming], &["web-2"], &["web-3"]),
        ("a place that is left waits for nobody", &[Up, Going], &[Coming, Coming], &[], &[]),
        ("a protected member loses no place", &[Up, Protected], &[Up, Coming], &[], &["web-2", "web-3"]),
        ("a protected extra is kept first", &[Coming, Up], &[Up, ProtectedUp], &["web-3"], &["web-0", "web-2"]),
        ("a person stopped it: it is up to him", &[Up, WishedDown], &[Up, Coming], &[], &["web-2", "web-3"]),
        ("an extra that is wished down has lost", &[Coming, Coming], &[WishedDown, Coming], &[], &["web-2"]),
    ];
    for (case, members, extras, stay, go) in table {
        let mut snapshot = growing(2);
        let revision = newest(&snapshot);
        let marks = members.iter().map(|stands| (stands, None)).chain(extras.iter().map(|stands| (stands, EXTRA)));
        let all = (0..).zip(marks).map(|(number, (stands, mark))| standing(number, None, mark, *stands, &revision));
        snapshot.members = all.collect();
        snapshot.status.target_replicas = Some(2);
        snapshot.status.reached_replicas = Some(2);
        let plan = audited(&snapshot);
        let mut deleted = deleted(&plan);
        deleted.sort_unstable();
        assert_eq!((kept(&plan), deleted), (stay.to_vec(), go.to_vec()), "{case}:\n{plan}");
    }
}

#[test]
fn an_extra_takes_the_place_of_a_member_of_its_own_zone_only() {
    let mut snapshot = growing(2);
    snapshot.set.zones = vec!["1".to_owned(), "2".to_owned()];
    let revision = newest(&snapshot);
    let of = |number, zone, surplus, stands| standing(number, Some(zone), surplus, stands, &revision);
    snapshot.members = vec![
        of(0, "1", None, Stands::Up),
        of(1, "2", None, Stands::Coming),
        of(2, "1", EXTRA, Stands::Up),
        of(3, "2", EXTRA, Stands::Coming),
    ];
    snapshot.status.reached_replicas = Some(2);
    let plan = audited(&snapshot);
    assert_eq!((kept(&plan), deleted(&plan)), (Vec::new(), vec!["web-2"]), "zone 2 waits for its own");
    for zone in ["1", "2"] {
        snapshot.region.as_mut().unwrap().zones.insert(zone.to_owned(), ZoneFacts::Unavailable);
    }
    assert!(deleted(&audited(&snapshot)).is_empty(), "with two zones down nothing is scaled");
}

#[test]
fn extras_count_nowhere() {
    let mut snapshot = growing(2);
    let revision = newest(&snapshot);
    snapshot.members = vec![
        standing(0, None, None, Stands::Up, &revision),
        standing(1, None, None, Stands::Coming, &revision),
        standing(2, None, EXTRA, Stands::Coming, &revision),
        standing(3, None, EXTRA, Stands::Coming, &revision),
    ];
    snapshot.status.next_instance_id = Some(4);
    let plan = audited(&snapshot);
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let counts = [status.capacity, status.replicas, status.ready_replicas, status.reached_replicas];
    assert_eq!(counts, [Some(2), Some(2), Some(1), Some(2)]);
    let named = plan.next_victims.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(named, ["web-1", "web-0"], "nor does scale-in choose them");
    assert_eq!(plan.effective.next_number, 4, "but their numbers are never used again");
}

#[test]
fn a_set_that_shrinks_lets_its_extras_go() {
    let mut snapshot = growing(1);
    let revision = newest(&snapshot);
    snapshot.members = vec![
        standing(0, None, None, Stands::Coming, &revision),
        standing(1, None, None, Stands::Coming, &revision),
        standing(2, None, EXTRA, Stands::Up, &revision),
    ];
    snapshot.status.reached_replicas = Some(2);
    let plan = audited(&snapshot);
    assert_eq!((kept(&plan), deleted(&plan)), (Vec::new(), vec!["web-2", "web-1"]));
}

#[test]
fn extensions_wait_until_it_is_settled_who_stays() {
    let undecided = Some(Surplus::Undecided);
    let mut snapshot = growing(2);
    snapshot.set.overprovision = Overprovision::ExtensionsOnKept;
    let marks: Vec<Option<Surplus>> = created(&audited(&snapshot)).into_iter().map(|member| member.surplus).collect();
    assert_eq!(marks, [undecided, undecided, EXTRA, EXTRA]);

    let revision = newest(&snapshot);
    snapshot.members = vec![
        standing(0, None, undecided, Stands::Up, &revision),
        standing(1, None, undecided, Stands::Coming, &revision),
        standing(2, None, EXTRA, Stands::Coming, &revision),
    ];
    snapshot.status.reached_replicas = Some(2);
    assert_eq!(kept(&audited(&snapshot)), ["web-0"], "it is among the first whoever comes next");
    snapshot.members[0].surplus = None;
    snapshot.members[2] = standing(2, None, EXTRA, Stands::Up, &revision);
    let plan = audited(&snapshot);
    assert_eq!((kept(&plan), deleted(&plan)), (vec!["web-2"], vec!["web-1"]));
    snapshot.members[2] = standing(2, None, EXTRA, Stands::Failed, &revision);
    assert_eq!(kept(&audited(&snapshot)), ["web-1"], "nobody is left who could take its place");
    snapshot.members[1].surplus = None;
    snapshot.members[2] = standing(2, None, EXTRA, Stands::Up, &revision);
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-2"], "who may have run its extensions loses no place");
}

/// A set that grows, with a controller that dies before its write of one number.
struct Growth {
    snapshot: ScaleSetSnapshot,
    dies_before: usize,
    writes: usize,
    /// Numbers by which members come up.
    order: usize,
}

impl Growth {
    /// One pass, as far as it comes; whether it did anything.
    fn pass(&mut self) -> bool {
        let plan = audited(&self.snapshot);
        let status = scale_set_status(&self.snapshot, &plan, &ScaleSetOutcome::default());
        for action in &plan.actions {
            self.writes += 1;
            if self.writes == self.dies_before {
                return true;
            }
            self.write(action, &status);
        }
        let moved = self.snapshot.status != status || !plan.actions.is_empty();
        self.snapshot.status = status;
        moved
    }

    fn write(&mut self, action: &Action, status: &scaleset_crds::ScaleSetStatus) {
        let revision = newest(&self.snapshot);
        let members = &mut self.snapshot.members;
        match action {
            Action::ReserveNumbers { next: _ } => self.snapshot.status = status.clone(),
            Action::CreateMember(new) => {
                let mut made = standing(new.number, new.zone.as_deref(), new.surplus, Stands::Coming, &revision);
                made.placement_group.clone_from(&new.placement_group);
                members.push(made);
            }
            Action::KeepMember(keeping) => {
                members
                    .iter_mut()
                    .filter(|member| member.name == keeping.name)
                    .for_each(|member| member.surplus = None);
            }
            Action::DeleteMember(removal) => {
                let gone = members.iter_mut().filter(|member| member.name == removal.name);
                gone.for_each(|member| member.life = MemberLife::Terminating);
            }
            Action::AddFinalizer
            | Action::CreateRevision { .. }
            | Action::RenumberRevision { .. }
            | Action::NoteEvictions { .. }
            | Action::AssignRevision(_)
            | Action::ReplaceOsDisk(_)
            | Action::MarkMember(_)
            | Action::MarkForDeletion(_)
            | Action::RepairMember(_)
            | Action::SeatMember(_)
            | Action::DeleteRevision { .. }
            | Action::RemoveFinalizer => panic!("a growth has no {action}"),
        }
    }

    /// One of those that are coming comes up, another goes on going.
    fn time_passes(&mut self) -> bool {
        let members = &mut self.snapshot.members;
        let going = members.iter().position(|member| !member.is_live());
        if let Some(index) = going {
            members.remove(index);
        }
        let mut coming: Vec<&mut Member> =
            members.iter_mut().filter(|member| member.report.provisioning == ProvisioningState::Creating).collect();
        coming.sort_by_key(|member| member.number.map(|number| number * 7 % 11));
        let index = self.order % coming.len().max(1);
        let up = coming.into_iter().nth(index);
        let moved = up.is_some() || going.is_some();
        if let Some(up) = up {
            up.report.provisioning = ProvisioningState::Succeeded;
            up.report.power = PowerState::Running;
        }
        self.snapshot.members.sort_by(|one, two| one.name.cmp(&two.name));
        moved
    }
}

#[test]
fn a_crash_between_any_two_writes_leaves_the_target_evenly_over_its_zones() {
    for rule in [Overprovision::On, Overprovision::ExtensionsOnKept] {
        for (dies_before, order) in (0..24).flat_map(|write| (0..2).map(move |order| (write, order))) {
            let mut snapshot = growing(9);
            snapshot.set.zones = ["1", "2", "3"].map(str::to_owned).to_vec();
            snapshot.set.overprovision = rule;
            let mut growth = Growth { snapshot, dies_before, writes: 0, order };
            let case = format!("{rule:?}, dies before write {dies_before}, order {order}");
            let mut rounds = 0;
            while growth.pass() | growth.time_passes() {
                rounds += 1;
                assert!(rounds < 100, "{case}: it does not come to rest");
                let counted = growth.snapshot.without_extras();
                let counted = counted.members.iter().filter(|member| member.is_live()).count();
                assert!(counted <= 9, "{case}: {counted} count");
            }
            let members = &growth.snapshot.members;
            assert!(members.iter().all(|member| member.surplus.is_none()), "{case}: somebody is marked at rest");
            for zone in ["1", "2", "3"] {
                let here = members.iter().filter(|member| member.zone.as_deref() == Some(zone)).count();
                assert_eq!(here, 3, "{case}: zone {zone}");
            }
        }
    }
}

#[test]
fn an_extra_that_is_kept_is_counted_before_anything_else() {
    let extra =
        InstanceView { quota: QuotaRule::Exempt, ..view(&old(), OperationState::Creating, PowerState::Creating) };
    let mut snapshot = instance_snapshot(HardwareView::Present(Box::new(extra)));
    assert_eq!(plan_instance(&snapshot).step, Step::Count, "whatever it is doing");
    snapshot.birth.quota = QuotaRule::Exempt;
    assert_eq!(plan_instance(&snapshot).step, Step::Wait(Wait::HardwareBusy));
}
