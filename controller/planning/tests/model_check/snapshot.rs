//! The small world as the planner sees it, and its plan as writes.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState};
use scaleset_planning::audit::audit;
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::revision;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{
    Evicted, Failure, GuestAgent, Headroom, Looked, Member, MemberLife, MemberReport, Observation, Pending, Quota,
    RepairUptake, Revision, RollMark, ScaleSetSnapshot,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;
use serde_json::json;

use crate::fleet;
use crate::world::{Age, Change, Machine, Mark, Pass, Profile, REPLICAS, Record, Setting, Vm, World, Write};

/// A model, under the name that the planner gives it.
struct Named {
    name: String,
    profile: Arc<VirtualMachineProfile>,
}

impl Named {
    fn new(profile: VirtualMachineProfile) -> Self {
        Self { name: revision::name("web", "set-uid", &profile), profile: Arc::new(profile) }
    }
}

static OLD: LazyLock<Named> = LazyLock::new(|| Named::new(with_disk(64)));
static IN_PLACE: LazyLock<Named> = LazyLock::new(|| {
    let VirtualMachineProfile { vm_size, .. } = fleet::profile("Standard_D4s_v3");
    Named::new(VirtualMachineProfile { vm_size, ..with_disk(64) })
});
/// A disk cannot shrink.
static REPLACE: LazyLock<Named> = LazyLock::new(|| Named::new(with_disk(32)));

fn with_disk(size: i32) -> VirtualMachineProfile {
    let mut profile = fleet::profile("Standard_D2s_v3");
    let disks = json!([{"lun": 0, "diskSizeGB": size, "storageAccountType": "Premium_LRS"}]);
    profile.storage_profile.data_disks = serde_json::from_value(disks).expect("the disk is whole");
    profile
}

impl Setting {
    fn named(&self, profile: Profile) -> &'static Named {
        match (profile, self.change) {
            (Profile::Old, Change::InPlace | Change::Replace) => &OLD,
            (Profile::New, Change::InPlace) => &IN_PLACE,
            (Profile::New, Change::Replace) => &REPLACE,
        }
    }

    /// What a pass would do now; `None` where it would do nothing.
    pub(crate) fn next_pass(&self, world: &World) -> Result<Option<Pass>, String> {
        let snapshot = self.snapshot(world);
        let plan = plan(&snapshot);
        let findings = audit(&snapshot, &plan);
        if !findings.is_empty() {
            return Err(findings.join("; "));
        }
        let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
        let record = Record {
            next_number: status.next_instance_id,
            rolling: status.rolling_upgrade,
            revisions: status.revisions,
            blockers: status.blockers.into_iter().map(|blocker| blocker.code).collect(),
        };
        let writes = writes(&plan, &world.record, &record);
        Ok((!writes.is_empty()).then(|| Pass { writes, seen: world.members.clone(), record }))
    }

    fn snapshot(&self, world: &World) -> ScaleSetSnapshot {
        let mut snapshot = fleet::snapshot(&[], i32::try_from(REPLICAS).expect("a small set"));
        snapshot.set.upgrade_mode = self.mode;
        snapshot.set.rolling_policy.max_batch_percent = self.percent;
        snapshot.set.rolling_policy.max_unhealthy_percent = self.percent;
        snapshot.set.rolling_policy.max_surge = self.max_surge;
        snapshot.set.rolling_policy.on_breach = self.on_breach;
        snapshot.set.profile = Some(Arc::clone(&self.named(world.wish).profile));
        snapshot.revisions = (1..).zip(&world.kept).map(|(number, kept)| self.revision(number, *kept)).collect();
        snapshot.headroom = Some(plenty());
        snapshot.members = world.members.iter().map(|(number, vm)| self.member(world, *number, vm)).collect();
        let Record { next_number, rolling, revisions, blockers: _ } = &world.record;
        snapshot.status.next_instance_id = *next_number;
        snapshot.status.rolling_upgrade.clone_from(rolling);
        snapshot.status.revisions.clone_from(revisions);
        snapshot
    }

    fn revision(&self, number: i64, profile: Profile) -> Revision {
        let created = created_with(profile);
        let Named { name, profile } = self.named(profile);
        let (uid, resource_version) = (format!("uid-of-{name}"), "1".to_owned());
        Revision { name: name.clone(), uid, resource_version, number, created, profile: Arc::clone(profile) }
    }

    fn member(&self, world: &World, number: i64, vm: &Vm) -> Member {
        let Vm { assigned, made_on, mark, going, reported, machine, well_on } = vm;
        let timeout = fleet::snapshot(&[], 0).set.rolling_policy.health_timeout;
        let mut member = fleet::member(number, None, None, &self.named(*assigned).name);
        let now = Timestamp::UNIX_EPOCH;
        member.created = created_with(*made_on);
        member.life = if *going { MemberLife::Terminating } else { MemberLife::Live };
        member.roll = mark.clone().map(|Mark { number, age, replaces }| {
            let since = if age == Age::Fresh { now } else { now - timeout };
            RollMark { number, since, replaces }
        });
        member.report = self.report(*machine, *well_on, world.wish);
        member.report.observation = if *reported { Observation::Current } else { Observation::Behind };
        member
    }

    fn report(&self, machine: Machine, well_on: Option<Profile>, wish: Profile) -> MemberReport {
        use {PowerState as Power, ProvisioningState as Done};
        let (provisioning, power, runs, health) = match machine {
            Machine::None => (Done::Unknown, Power::Unknown, None, Health::NoSource),
            Machine::Works { from: None, to: _ } => (Done::Creating, Power::Creating, None, Health::Missing),
            Machine::Works { from: from @ Some(_), to: _ } => (Done::Updating, Power::Starting, from, Health::Missing),
            Machine::Well(on) => (Done::Succeeded, Power::Running, Some(on), Health::Known(HealthState::Healthy)),
            Machine::Unwell(on) => (Done::Succeeded, Power::Running, Some(on), Health::Known(HealthState::Unhealthy)),
            Machine::Broken(on) => (Done::Failed, Power::Stopped, Some(on), Health::Missing),
        };
        let name = |profile: Profile| self.named(profile).name.clone();
        MemberReport {
            observation: Observation::Current,
            looked: Looked::SinceStart(Timestamp::MIN),
            provisioning,
            power,
            agent: if power == Power::Running { GuestAgent::Reports } else { GuestAgent::Silent },
            running_revision: runs.map(name),
            healthy_on_revision: well_on.map(name),
            healthy_on_os_disk: None,
            pending: if runs == Some(wish) { Pending::Nothing } else { Pending::More },
            failure: matches!(machine, Machine::Broken(_)).then(boot_failure),
            extensions: BTreeMap::new(),
            os_disk: None,
            reservation: None,
            repair: RepairUptake::Done,
            changed_at: None,
            evicted: Evicted::No,
            scheduled_events: Vec::new(),
            pools: Vec::new(),
            health,
        }
    }
}

fn profile_named(name: &str) -> Profile {
    if name == OLD.name { Profile::Old } else { Profile::New }
}

/// The old model and its members are older than the new one.
fn created_with(profile: Profile) -> Timestamp {
    match profile {
        Profile::Old => Timestamp::UNIX_EPOCH - Duration::from_hours(1),
        Profile::New => Timestamp::UNIX_EPOCH,
    }
}

fn boot_failure() -> Failure {
    Failure { reason: Reason::OSProvisioningTimedOut, message: "the guest did not come up".to_owned() }
}

/// The actions of a plan; its status comes where numbers are reserved, otherwise last, and not where it is equal.
fn writes(plan: &ScaleSetPlan, before: &Record, after: &Record) -> Vec<Write> {
    let mut writes: Vec<Write> = plan.actions.iter().map(write).collect();
    if before != after && !writes.contains(&Write::Status) {
        writes.push(Write::Status);
    }
    writes
}

fn write(action: &Action) -> Write {
    match action {
        Action::CreateRevision { name, number: _, profile: _ } => Write::KeepRevision(profile_named(name)),
        Action::ReserveNumbers { next: _ } => Write::Status,
        Action::CreateMember(new) => Write::Create {
            number: new.number,
            profile: profile_named(&new.revision),
            mark: new.roll.clone().map(mark),
        },
        Action::AssignRevision(assignment) => Write::Assign {
            number: number(&assignment.name),
            profile: profile_named(&assignment.revision),
            mark: assignment.roll.clone().map(mark),
        },
        Action::MarkMember(marking) => Write::Mark { number: number(&marking.name), mark: mark(marking.roll.clone()) },
        Action::DeleteMember(removal) => Write::Delete { number: number(&removal.name) },
        Action::AddFinalizer
        | Action::MarkForDeletion(_)
        | Action::NoteEvictions { .. }
        | Action::ReplaceOsDisk(_)
        | Action::RepairMember(_)
        | Action::KeepMember(_)
        | Action::SeatMember(_)
        | Action::RenumberRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => panic!("{action} has no place in this world"),
    }
}

/// A region with room for everything.
fn plenty() -> Headroom {
    Headroom {
        vcpus: 4,
        quotas: vec![Quota { name: "regional total".to_owned(), limit: 1_000, usage: 0 }],
        places: [((None, 0), 100)].into(),
        free_addresses: BTreeMap::from([("default".to_owned(), 100)]),
        above_max_price: None,
    }
}

fn mark(roll: RollMark) -> Mark {
    let RollMark { number, since: _, replaces } = roll;
    Mark { number, age: Age::Fresh, replaces }
}

fn number(name: &str) -> i64 {
    name.trim_start_matches("web-").parse().expect("a member is named by its number")
}
