//! Obeys the plan: guarded writes, independent ones side by side, failures collected.
//!
//! Creates start slowly (1, 2, 4, … at a time, up to 16), so that an API that refuses the first is not asked a
//! thousand times.

use futures::StreamExt;
use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_crds::{FINALIZER, VirtualMachineProfile, labels};
use scaleset_planning::plan::{
    Action, Assignment, DeletionMark, Keeping, Marking, NewMember, OsDiskAssignment, Removal, RemovalCause, Repairing,
    ScaleSetPlan, Seating,
};
use scaleset_planning::snapshot::{Failure, MemberKind, OsDiskWish, ScaleSetSnapshot, ShutdownRule};
use scaleset_planning::status::scale_set::ScaleSetOutcome;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::children::{new_member, new_revision};
use super::observe::Observed;
use super::report;
use crate::cluster::{ClusterError, Kind, ObjectId, ObjectKey};
use crate::context::Context;
use crate::merge_patch::merge_patch;

const WRITES_IN_FLIGHT_MAX: usize = 16;

/// What came of a plan.
#[derive(Default)]
pub(super) struct Executed {
    pub(super) outcome: ScaleSetOutcome,
    /// The first failure that time may mend; the pass is then tried again with backoff.
    pub(super) retry: Option<ClusterError>,
    pub(super) created: Vec<String>,
    pub(super) deleted: Vec<Removal>,
    /// Names, and the revision that each is to follow.
    pub(super) assigned: Vec<(String, String)>,
    pub(super) os_disks: Vec<(String, OsDiskWish)>,
    pub(super) repairs: Vec<Repairing>,
    pub(super) status: StatusSoFar,
}

/// What was done to the status while the plan was executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StatusSoFar {
    /// Nothing.
    #[default]
    Unwritten,
    /// It was written, with the numbers that are reserved.
    Written,
    /// Our finalizer was taken off: there is nothing left to report on.
    LetGo,
}

struct Pass<'pass> {
    context: &'pass Context,
    observed: &'pass Observed,
    snapshot: &'pass ScaleSetSnapshot,
    plan: &'pass ScaleSetPlan,
}

pub(super) async fn execute(
    context: &Context,
    observed: &Observed,
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
) -> Executed {
    let pass = Pass { context, observed, snapshot, plan };
    let mut executed = Executed::default();
    let mut rest = plan.actions.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|action| std::mem::discriminant(*action) == std::mem::discriminant(first));
        let (group, later) = rest.split_at(same.count());
        rest = later;
        if !pass.run_group(group, &mut executed).await {
            // What comes later relies on what failed: numbers on their reservation, members on their revision.
            break;
        }
    }
    executed
}

impl Pass<'_> {
    /// Runs independent actions of one kind; whether the pass may go on.
    async fn run_group(&self, group: &[Action], executed: &mut Executed) -> bool {
        let mut rest = group;
        let mut at_once = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            rest = later;
            let attempts: Vec<_> = now.iter().map(|action| async move { (action, self.run(action).await) }).collect();
            let results: Vec<_> = futures::stream::iter(attempts).buffered(WRITES_IN_FLIGHT_MAX).collect().await;
            let mut failed = false;
            for (action, result) in results {
                failed |= note(&self.snapshot.set.name, action, result, executed);
            }
            if failed {
                return false;
            }
            // Beyond the first few, one unbroken stream keeps the writes in flight.
            at_once = if at_once < WRITES_IN_FLIGHT_MAX { at_once * 2 } else { rest.len().max(1) };
        }
        true
    }

    async fn run(&self, action: &Action) -> Result<Done, ClusterError> {
        if let Action::CreateMember(member) = action {
            return self.create_member(member).await;
        }
        self.run_plain(action).await.map(|()| Done::Done)
    }

    async fn run_plain(&self, action: &Action) -> Result<(), ClusterError> {
        match action {
            Action::AddFinalizer => self.patch_finalizers(FinalizerEdit::Add).await,
            Action::RemoveFinalizer => self.patch_finalizers(FinalizerEdit::Remove).await,
            Action::CreateRevision { name, number, profile } => {
                let revision = new_revision(&self.snapshot.set, name, *number, profile);
                match self.context.cluster.create(&self.observed.id.uid, revision).await {
                    Err(ClusterError::AlreadyExists { .. }) => Ok(()),
                    other => other,
                }
            }
            Action::RenumberRevision { name, uid, resource_version, number } => {
                let target = self.target(Kind::ControllerRevision, name, uid, resource_version);
                self.context.cluster.patch(&self.observed.id.uid, &target, json!({"revision": number})).await
            }
            Action::NoteEvictions { names: _ } | Action::ReserveNumbers { next: _ } => {
                let outcome = ScaleSetOutcome::default();
                report::write(self.context, self.observed, self.snapshot, self.plan, &outcome).await
            }
            Action::CreateMember(member) => self.create_member(member).await.map(drop),
            Action::AssignRevision(assignment) => self.assign(assignment).await,
            Action::ReplaceOsDisk(assignment) => self.replace_os_disk(assignment).await,
            Action::MarkMember(marking) => self.mark(marking).await,
            Action::RepairMember(repairing) => self.repair(repairing).await,
            Action::MarkForDeletion(mark) => self.mark_for_deletion(mark).await,
            Action::KeepMember(keeping) => self.keep(keeping).await,
            Action::SeatMember(seating) => self.seat(seating).await,
            Action::DeleteMember(removal) => {
                let Removal { kind, name, uid, resource_version, cause: _, reason: _ } = removal;
                self.delete(kind_of(*kind), name, uid, resource_version).await
            }
            Action::DeleteRevision { name, uid, resource_version } => {
                self.delete(Kind::ControllerRevision, name, uid, resource_version).await
            }
        }
    }

    /// A foreign object of that name costs a number and nothing else: the next pass takes the next one.
    async fn create_member(&self, member: &NewMember) -> Result<Done, ClusterError> {
        let profile = self.profile(&member.revision).expect("a planned member follows a revision of the snapshot");
        let object = new_member(&self.snapshot.set, member, profile);
        match self.context.cluster.create(&self.observed.id.uid, object).await {
            Err(ClusterError::AlreadyExists { .. }) => {
                warn!(set = %self.snapshot.set.name, vm = %member.name, "name is taken, the next number follows");
                Ok(Done::Skipped)
            }
            other => other.map(|()| Done::Done),
        }
    }

    async fn assign(&self, assignment: &Assignment) -> Result<(), ClusterError> {
        let Assignment { kind, name, uid, resource_version, revision, roll, impact: _, reason: _ } = assignment;
        let group = self.profile(revision).and_then(|profile| profile.capacity_reservation_group_ref.as_ref());
        let group = group.map(|group| group.name.as_str());
        let mut label =
            json!({"labels": {labels::MODEL_REVISION: revision, labels::CAPACITY_RESERVATION_GROUP: group}});
        if let Some(mark) = roll {
            label["annotations"] = json!({labels::ROLLING_UPGRADE: mark.to_string()});
        }
        let patch = match kind {
            MemberKind::ScaleSetVM => json!({"metadata": label, "spec": {"modelRevision": revision}}),
            MemberKind::FlexVM => {
                let spec = self
                    .flex_vm_patch(name, revision)
                    .expect("a planned assignment is of a member and a revision seen");
                json!({"metadata": label, "spec": spec})
            }
        };
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        self.context.cluster.patch(&self.observed.id.uid, &target, patch).await
    }

    /// Wish and mark are one write.
    async fn replace_os_disk(&self, assignment: &OsDiskAssignment) -> Result<(), ClusterError> {
        let OsDiskAssignment { kind, name, uid, resource_version, wish, roll, reason: _ } = assignment;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        let annotations = json!({labels::OS_DISK: wish.to_string(), labels::ROLLING_UPGRADE: roll.to_string()});
        self.context
            .cluster
            .patch(&self.observed.id.uid, &target, json!({"metadata": {"annotations": annotations}}))
            .await
    }

    async fn mark(&self, marking: &Marking) -> Result<(), ClusterError> {
        let Marking { kind, name, uid, resource_version, roll, reason: _ } = marking;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        let patch = json!({"metadata": {"annotations": {labels::ROLLING_UPGRADE: roll.to_string()}}});
        self.context.cluster.patch(&self.observed.id.uid, &target, patch).await
    }

    async fn repair(&self, repairing: &Repairing) -> Result<(), ClusterError> {
        let Repairing { kind, name, uid, resource_version, mark, reason: _ } = repairing;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        let value = mark.as_ref().map(ToString::to_string);
        let patch = json!({"metadata": {"annotations": {labels::REPAIR: value}}});
        self.context.cluster.patch(&self.observed.id.uid, &target, patch).await
    }

    async fn mark_for_deletion(&self, mark: &DeletionMark) -> Result<(), ClusterError> {
        let DeletionMark { kind, name, uid, resource_version, shutdown, reason: _ } = mark;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        let value = match shutdown {
            ShutdownRule::Graceful => Value::Null,
            ShutdownRule::Skip => json!("true"),
        };
        let patch = json!({"metadata": {"annotations": {labels::FORCE_DELETION: value}}});
        self.context.cluster.patch(&self.observed.id.uid, &target, patch).await
    }

    async fn keep(&self, keeping: &Keeping) -> Result<(), ClusterError> {
        let Keeping { kind, name, uid, resource_version, reason: _ } = keeping;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        self.context.cluster.patch(&self.observed.id.uid, &target, json!({"spec": {"surplus": null}})).await
    }

    async fn seat(&self, seating: &Seating) -> Result<(), ClusterError> {
        let Seating { kind, name, uid, resource_version, fault_domain, placement_group, update_domain, reason: _ } =
            seating;
        let target = self.target(kind_of(*kind), name, uid, resource_version);
        let patch = json!({
            "metadata": {"labels": {labels::FAULT_DOMAIN: fault_domain.map(|domain| domain.to_string())}},
            "spec": {
                "platformFaultDomain": fault_domain, "placementGroup": placement_group, "updateDomain": update_domain,
            },
        });
        self.context.cluster.patch(&self.observed.id.uid, &target, patch).await
    }

    /// What changes in a FlexVM's spec when it takes the profile of `revision`.
    fn flex_vm_patch(&self, name: &str, revision: &str) -> Option<Value> {
        let profile = self.profile(revision)?;
        let vm = self.observed.members.flex_vms.iter().find(|vm| vm.metadata.name.as_deref() == Some(name))?;
        let mut wished = vm.spec.clone();
        let VirtualMachineProfile {
            vm_size,
            spot,
            capacity_reservation_group_ref,
            os_profile,
            storage_profile,
            network_profile,
            extensions,
            scheduled_events_profile,
            tags,
        } = profile.clone();
        wished.vm_size = vm_size;
        if vm.spec.spot.priority == Priority::Spot {
            wished.spot = spot;
        }
        wished.capacity_reservation_group_ref = capacity_reservation_group_ref;
        wished.os_profile.credentials = os_profile.credentials;
        wished.storage_profile = storage_profile;
        wished.network_profile = network_profile.into();
        wished.extensions = extensions;
        wished.scheduled_events_profile = scheduled_events_profile;
        wished.tags = tags;
        let json = |spec| serde_json::to_value(spec).expect("a spec is plain data");
        Some(merge_patch(&json(&vm.spec), &json(&wished)))
    }

    fn profile(&self, revision: &str) -> Option<&VirtualMachineProfile> {
        let kept = self.snapshot.revisions.iter().find(|kept| kept.name == revision).map(|kept| &*kept.profile);
        let newest = self.plan.effective.newest_revision.as_deref() == Some(revision);
        let wished = if newest { self.snapshot.set.profile.as_deref() } else { None };
        kept.or(wished)
    }

    async fn delete(&self, kind: Kind, name: &str, uid: &str, resource_version: &str) -> Result<(), ClusterError> {
        let target = self.target(kind, name, uid, resource_version);
        match self.context.cluster.delete(&self.observed.id.uid, &target).await {
            Err(ClusterError::Gone { .. }) => Ok(()),
            other => other,
        }
    }

    async fn patch_finalizers(&self, edit: FinalizerEdit) -> Result<(), ClusterError> {
        let present = self.observed.set.metadata.finalizers.iter().flatten();
        let others = present.filter(|finalizer| *finalizer != FINALIZER).cloned();
        let finalizers: Vec<String> = match edit {
            FinalizerEdit::Add => others.chain([FINALIZER.to_owned()]).collect(),
            FinalizerEdit::Remove => others.collect(),
        };
        let patch = json!({"metadata": {"finalizers": finalizers}});
        self.context.cluster.patch(&self.observed.id.uid, &self.observed.id, patch).await
    }

    fn target(&self, kind: Kind, name: &str, uid: &str, resource_version: &str) -> ObjectId {
        ObjectId {
            kind,
            key: ObjectKey { namespace: self.snapshot.set.namespace.clone(), name: name.to_owned() },
            uid: uid.to_owned(),
            resource_version: resource_version.to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
enum FinalizerEdit {
    Add,
    Remove,
}

/// What an action that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Done,
    /// There was nothing left to do.
    Skipped,
}

/// Logs and files one result; whether the pass must stop.
fn note(set: &str, action: &Action, result: Result<Done, ClusterError>, executed: &mut Executed) -> bool {
    match result {
        Ok(Done::Skipped) => false,
        Ok(Done::Done) => {
            info!(set, action = %action, "done");
            match action {
                Action::CreateMember(member) => executed.created.push(member.name.clone()),
                Action::AssignRevision(Assignment { name, revision, .. }) => {
                    executed.assigned.push((name.clone(), revision.clone()));
                }
                Action::ReplaceOsDisk(assignment) => {
                    executed.os_disks.push((assignment.name.clone(), assignment.wish.clone()));
                }
                Action::RepairMember(repairing) => executed.repairs.push(repairing.clone()),
                Action::DeleteMember(removal) => executed.deleted.push(removal.clone()),
                Action::RemoveFinalizer => executed.status = StatusSoFar::LetGo,
                Action::NoteEvictions { names: _ } | Action::ReserveNumbers { next: _ } => {
                    executed.status = StatusSoFar::Written;
                }
                Action::AddFinalizer
                | Action::CreateRevision { .. }
                | Action::RenumberRevision { .. }
                | Action::MarkMember(_)
                | Action::MarkForDeletion(_)
                | Action::KeepMember(_)
                | Action::SeatMember(_)
                | Action::DeleteRevision { .. } => {}
            }
            false
        }
        // Somebody was faster: what they did reaches the cache and wakes the next pass, which decides anew.
        Err(error @ (ClusterError::Conflict { .. } | ClusterError::Gone { .. })) => {
            info!(set, action = %action, error = %error, "overtaken");
            needed_by_others(action)
        }
        Err(error) => {
            warn!(set, action = %action, error = %error, "failed");
            if let ClusterError::Refused { .. } = &error {
                let message = format!("{action}: {error}");
                executed.outcome.failures.push(Failure { reason: Reason::InternalExecutionError, message });
            }
            executed.retry.get_or_insert(error);
            true
        }
    }
}

/// Whether later actions rely on this one: no member is made for a set that is gone, or that has no finalizer of ours.
const fn needed_by_others(action: &Action) -> bool {
    match action {
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::ReserveNumbers { .. }
        | Action::CreateMember(_) => true,
        // A place is given to another only once it is left.
        Action::DeleteMember(removal) => matches!(removal.cause, RemovalCause::Surplus),
        Action::AssignRevision(_)
        | Action::ReplaceOsDisk(_)
        | Action::MarkMember(_)
        | Action::RepairMember(_)
        | Action::MarkForDeletion(_)
        | Action::KeepMember(_)
        | Action::SeatMember(_)
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => false,
    }
}

const fn kind_of(kind: MemberKind) -> Kind {
    match kind {
        MemberKind::ScaleSetVM => Kind::ScaleSetVM,
        MemberKind::FlexVM => Kind::FlexVM,
    }
}
