//! Obeys the plan: calls to the hardware one after another, and the finalizer where it comes or goes.

use std::collections::BTreeMap;

use scaleset_crds::FINALIZER;
use scaleset_crds::condition::Reason;
use scaleset_hardware::{Deletion, HardwareError, ReservationGroupRequest, ReservationRequest, Target};
use scaleset_planning::reservation_group::{GroupAction, ReservationGroupPlan};
use scaleset_planning::snapshot::{Failure, GroupView, ReservationGroupSnapshot, ReservationWish};
use scaleset_planning::status::reservation_group::ReservationGroupOutcome;
use serde_json::json;
use tracing::{info, warn};

use super::observe::Observed;
use super::validate::group_view;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::error::{PassError, told};

/// What came of the plan.
pub(super) struct Executed {
    pub(super) outcome: ReservationGroupOutcome,
    /// Actions that were carried out.
    pub(super) done: Vec<GroupAction>,
    /// Why the pass is to be tried again with backoff.
    pub(super) retry: Option<PassError>,
    pub(super) object: ObjectAfter,
}

/// What became of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectAfter {
    /// It is there, and a status can be written.
    Kept,
    /// Our finalizer was taken off: there is nothing left to report on.
    LetGo,
}

/// How an action ended.
enum Ended {
    Done,
    /// Accepted, and not over: what comes after it waits.
    InProgress,
}

struct Pass<'pass> {
    context: &'pass Context,
    observed: &'pass Observed,
    snapshot: &'pass ReservationGroupSnapshot,
}

pub(super) async fn execute(
    context: &Context,
    observed: &Observed,
    snapshot: &ReservationGroupSnapshot,
    plan: &ReservationGroupPlan,
) -> Executed {
    let pass = Pass { context, observed, snapshot };
    let silence = observed.hardware.as_ref().err().cloned().map(PassError::from);
    let outcome = ReservationGroupOutcome { hardware: snapshot.hardware.clone(), refusals: BTreeMap::new() };
    let mut executed = Executed { outcome, done: Vec::new(), retry: silence, object: ObjectAfter::Kept };
    let mut asked = false;
    for action in &plan.actions {
        let is_ours = matches!(action, GroupAction::AddFinalizer | GroupAction::RemoveFinalizer);
        asked |= !is_ours;
        match pass.run(action).await {
            Ok(Ended::Done) => {
                info!(group = %snapshot.name, action = %action, "done");
                executed.done.push(action.clone());
                if *action == GroupAction::RemoveFinalizer {
                    executed.object = ObjectAfter::LetGo;
                }
            }
            Ok(Ended::InProgress) => break,
            Err(error) => {
                warn!(group = %snapshot.name, action = %action, error = %error, "failed");
                if let Some(failure) = failure(&error) {
                    executed.outcome.refusals.insert(name_of(action), failure);
                }
                executed.retry.get_or_insert(error);
                if needed_by_others(action) {
                    break;
                }
            }
        }
    }
    if asked && executed.object == ObjectAfter::Kept {
        executed.outcome.hardware = pass.observed_again().await;
    }
    executed
}

/// The reservation that an action is about; none where it is about the group.
fn name_of(action: &GroupAction) -> String {
    match action {
        GroupAction::Release { name } => name.clone(),
        GroupAction::Reserve(wish) => wish.name.clone(),
        GroupAction::AddFinalizer
        | GroupAction::Put { shared_with: _ }
        | GroupAction::DeleteGroup
        | GroupAction::RemoveFinalizer => String::new(),
    }
}

/// Reservations do not need each other; everything else is in order.
const fn needed_by_others(action: &GroupAction) -> bool {
    match action {
        GroupAction::Reserve(_) | GroupAction::Release { name: _ } => false,
        GroupAction::AddFinalizer
        | GroupAction::Put { shared_with: _ }
        | GroupAction::DeleteGroup
        | GroupAction::RemoveFinalizer => true,
    }
}

/// What a refusal says of what is wished; `None` where it only says that the call came at the wrong moment.
fn failure(error: &PassError) -> Option<Failure> {
    let PassError::Hardware(error) = error else { return None };
    match error {
        HardwareError::Stale { .. }
        | HardwareError::StaleEpoch { .. }
        | HardwareError::Busy { .. }
        | HardwareError::NotFound { .. } => None,
        HardwareError::NoCapacity { .. } | HardwareError::Quota { .. } | HardwareError::NotOffered { .. } => {
            Some(Failure { reason: Reason::from_code(error.code()), message: told(error) })
        }
        HardwareError::Throttled { .. } => Some(Failure { reason: Reason::TooManyRequests, message: told(error) }),
        HardwareError::Transient { .. } => Some(Failure { reason: Reason::HardwareUnavailable, message: told(error) }),
    }
}

impl Pass<'_> {
    async fn run(&self, action: &GroupAction) -> Result<Ended, PassError> {
        let hardware = &self.context.hardware;
        let target = Target { uid: self.observed.id.uid.clone(), generation: self.snapshot.generation };
        match action {
            GroupAction::AddFinalizer => self.patch_finalizers(FinalizerEdit::Add).await?,
            GroupAction::RemoveFinalizer => self.patch_finalizers(FinalizerEdit::Remove).await?,
            GroupAction::Put { shared_with } => {
                hardware.put_reservation_group(target, self.request(shared_with)).await?;
            }
            GroupAction::Reserve(wish) => {
                let ReservationWish { name, vm_size, zone, capacity } = wish.clone();
                hardware.reserve(target, ReservationRequest { name, vm_size, zone, capacity }).await?;
            }
            GroupAction::Release { name } => return ended(hardware.release_reservation(target, name).await),
            GroupAction::DeleteGroup => return ended(hardware.delete_reservation_group(target).await),
        }
        Ok(Ended::Done)
    }

    fn request(&self, shared_with: &[String]) -> ReservationGroupRequest {
        let snapshot = self.snapshot;
        ReservationGroupRequest {
            namespace: snapshot.namespace.clone(),
            name: snapshot.name.clone(),
            location: snapshot.location.clone(),
            zones: snapshot.zones.clone(),
            shared_with: shared_with.to_vec(),
        }
    }

    async fn observed_again(&self) -> GroupView {
        group_view(&self.context.hardware.observe_reservation_group(&self.observed.id.uid).await)
    }

    async fn patch_finalizers(&self, edit: FinalizerEdit) -> Result<(), ClusterError> {
        let present = self.observed.group.metadata.finalizers.iter().flatten();
        let others = present.filter(|finalizer| *finalizer != FINALIZER).cloned();
        let finalizers: Vec<String> = match edit {
            FinalizerEdit::Add => others.chain([FINALIZER.to_owned()]).collect(),
            FinalizerEdit::Remove => others.collect(),
        };
        let patch = json!({"metadata": {"finalizers": finalizers}});
        match (self.context.cluster.patch(&self.observed.id.uid, &self.observed.id, patch).await, edit) {
            (Err(ClusterError::Gone { .. }), FinalizerEdit::Remove) => Ok(()),
            (other, FinalizerEdit::Add | FinalizerEdit::Remove) => other,
        }
    }
}

#[derive(Clone, Copy)]
enum FinalizerEdit {
    Add,
    Remove,
}

/// What is gone already is as good as deleted.
fn ended(deletion: Result<Deletion, HardwareError>) -> Result<Ended, PassError> {
    match deletion {
        Ok(Deletion::Gone) | Err(HardwareError::NotFound { .. }) => Ok(Ended::Done),
        Ok(Deletion::InProgress) => Ok(Ended::InProgress),
        Err(error) => Err(error.into()),
    }
}
