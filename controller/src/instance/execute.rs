//! Obeys the plan: at most one call to the hardware, another where the plan says so after a refusal, and the finalizer where it
//! comes or goes.

mod pools;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::PowerWish;
use scaleset_crds::{FINALIZER, labels};
use scaleset_hardware::{
    CreateRequest, Deletion, HardwareError, Machine, OperationAction, OperationRequest, Owner, Placement,
    ReimagedDisks, Seat, Shutdown, Target, UpdateMethod,
};
use scaleset_planning::instance::{Enrolment, InstancePlan, Perform, Step, is_final};
use scaleset_planning::snapshot::{
    Birth, Failure, InstanceSnapshot, MemberKind, OsDiskWish, ReleaseRule, ShutdownRule,
};
use scaleset_planning::status::instance::InstanceOutcome;
use scaleset_planning::view::{ModelView, QuotaRule};
use serde_json::json;
use tracing::{info, warn};

use super::machine_view::{hardware_view, present};
use super::observe::Observed;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::error::{PassError, told};

/// What came of the step.
pub(super) struct Executed {
    pub(super) outcome: InstanceOutcome,
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
    /// It was let go although its hardware may still be there.
    LetGoWithHardware,
}

struct Pass<'pass> {
    context: &'pass Context,
    observed: &'pass Observed,
    snapshot: &'pass InstanceSnapshot,
    target: Target,
}

pub(super) async fn execute(
    context: &Context,
    observed: &Observed,
    snapshot: &InstanceSnapshot,
    plan: &InstancePlan,
) -> Executed {
    let target = Target { uid: observed.id.uid.clone(), generation: snapshot.generation };
    let pass = Pass { context, observed, snapshot, target };
    if !matches!(plan.step, Step::None | Step::Wait(_) | Step::Hold(_) | Step::Forget) {
        info!(vm = %snapshot.name, action = %name(&plan.step), reason = %plan.reason, "step");
    }
    let executed = obey(&pass, plan).await;
    pass.after_refusal(plan.after_refusal, executed).await
}

async fn obey(pass: &Pass<'_>, plan: &InstancePlan) -> Executed {
    let Pass { context, observed, snapshot: _, target: _ } = pass;
    let hardware = &context.hardware;
    match &plan.step {
        // Hardware that did not answer is asked again with backoff: nothing else would wake this VM when it answers.
        Step::None | Step::Wait(_) | Step::Hold(_) => {
            pass.unchanged(observed.machine.clone().err().or_else(|| observed.silence.clone()).map(PassError::from))
        }
        Step::Forget => Executed { object: ObjectAfter::LetGo, ..pass.unchanged(None) },
        Step::AddFinalizer => pass.unchanged(pass.add_finalizer().await.err().map(PassError::from)),
        Step::Enroll(enrolment) => pass.unchanged(pass.enroll(enrolment).await.err().map(PassError::from)),
        Step::Create(model) => pass.changed(hardware.create(pass.create_request(model)).await),
        Step::UpdateOnline(model) => pass.changed(pass.update(model, UpdateMethod::Online).await),
        Step::UpdateWithRestart(model) => pass.changed(pass.update(model, UpdateMethod::Restart).await),
        Step::Reimage(model) => {
            let reimaged = hardware.reimage(pass.target.clone(), &model.revision, Arc::clone(&model.model)).await;
            pass.changed(reimaged)
        }
        Step::ReplaceOsDisk(model, wish) => pass.changed(pass.replace_os_disk(model, wish).await),
        Step::StartAt(place) => pass.changed(hardware.start_at(pass.target.clone(), seat(place)).await),
        Step::SetPower(wish, rule) => {
            pass.changed(hardware.set_power(pass.target.clone(), *wish, shutdown(*rule)).await)
        }
        Step::Drain(before) => pass.drain(before).await,
        Step::Undrain => pass.changed(hardware.undrain(pass.target.clone()).await),
        Step::Count => pass.changed(hardware.count(pass.target.clone()).await),
        Step::SetMembership(set_uid) => {
            pass.changed(hardware.set_membership(pass.target.clone(), set_uid.as_deref()).await)
        }
        Step::Perform(uid, perform) => pass.perform(uid, perform).await,
        Step::ApproveEvent(event_id) => pass.approve(event_id.as_deref()).await,
        Step::Recreate => pass.recreate().await,
        Step::Restore => pass.restore().await,
        Step::Discard => pass.unchanged(pass.discard().await.err().map(PassError::from)),
        Step::Release(rule, guest) => pass.release(*rule, shutdown(*guest)).await,
    }
}

impl Pass<'_> {
    fn unchanged(&self, retry: Option<PassError>) -> Executed {
        let outcome = InstanceOutcome {
            hardware: hardware_view(&self.observed.machine),
            failure: None,
            operation_failure: None,
            restore_refusal: None,
        };
        Executed { outcome, retry, object: ObjectAfter::Kept }
    }

    fn changed(&self, result: Result<Machine, HardwareError>) -> Executed {
        match result {
            Ok(machine) => {
                let outcome = InstanceOutcome {
                    hardware: present(&machine),
                    failure: None,
                    operation_failure: None,
                    restore_refusal: None,
                };
                Executed { outcome, retry: None, object: ObjectAfter::Kept }
            }
            Err(error) => self.failed(error),
        }
    }

    /// A stale or untimely call changed nothing and is no failure of the VM: the next pass observes anew.
    fn failed(&self, error: HardwareError) -> Executed {
        warn!(vm = %self.observed.id.key.name, error = %error, "hardware refused");
        let mut executed = self.unchanged(None);
        executed.outcome.failure = failure(&error);
        executed.retry = Some(error.into());
        executed
    }

    /// What an operation asks for and the hardware refuses is no failure of the VM.
    async fn perform(&self, uid: &str, perform: &Perform) -> Executed {
        let reimage = |disks: ReimagedDisks, model: &ModelView| OperationAction::Reimage {
            disks,
            model_revision: model.revision.clone(),
            model: Arc::clone(&model.model),
        };
        let action = match perform {
            Perform::Restart(approval) => OperationAction::Restart(*approval),
            Perform::Redeploy(approval) => OperationAction::Redeploy(*approval),
            Perform::Reimage(model) => reimage(ReimagedDisks::Os, model),
            Perform::ReimageAll(model) => reimage(ReimagedDisks::All, model),
            Perform::SimulateEviction => OperationAction::SimulateEviction,
        };
        let request = OperationRequest { uid: uid.to_owned(), action };
        let result = self.context.hardware.perform(self.target.clone(), request).await;
        self.performed(result)
    }

    fn performed(&self, result: Result<Machine, HardwareError>) -> Executed {
        let mut executed = self.changed(result);
        executed.outcome.operation_failure = executed.outcome.failure.take();
        if executed.outcome.operation_failure.as_ref().is_some_and(is_final) {
            // It has failed, which is recorded: what else the VM is to be does not wait for it.
            executed.retry = None;
        }
        executed
    }

    /// A call that came at the wrong moment has approved nothing, and is made again.
    async fn approve(&self, event_id: Option<&str>) -> Executed {
        let result = self.context.hardware.approve_event(self.target.clone(), event_id).await;
        let untimely = result.as_ref().err().map(told);
        let mut executed = self.changed(result);
        let untimely = untimely.map(|message| Failure { reason: Reason::HardwareUnavailable, message });
        executed.outcome.operation_failure = executed.outcome.failure.take().or(untimely);
        if executed.outcome.operation_failure.as_ref().is_some_and(is_final) {
            executed.retry = None;
        }
        executed
    }

    async fn update(&self, model: &ModelView, method: UpdateMethod) -> Result<Machine, HardwareError> {
        let ModelView { revision, model } = model;
        self.context.hardware.update(self.target.clone(), revision, Arc::clone(model), method).await
    }

    async fn replace_os_disk(&self, model: &ModelView, wish: &OsDiskWish) -> Result<Machine, HardwareError> {
        let ModelView { revision, model } = model;
        let wish = os_disk_wish(wish);
        self.context.hardware.replace_os_disk(self.target.clone(), revision, Arc::clone(model), wish).await
    }

    /// There is no room as yet, or it would cost too much: it is tried again in its time, and nothing has failed.
    async fn restore(&self) -> Executed {
        let shutdown = Shutdown::Graceful;
        match self.context.hardware.set_power(self.target.clone(), PowerWish::Running, shutdown).await {
            Ok(machine) => self.changed(Ok(machine)),
            Err(error) => {
                info!(vm = %self.observed.id.key.name, error = %error, "not restored");
                let mut executed = self.unchanged(None);
                executed.outcome.restore_refusal = Some(format!("{}: {}", error.code(), told(&error)));
                executed
            }
        }
    }

    async fn discard(&self) -> Result<(), ClusterError> {
        match self.context.cluster.delete(&self.observed.id.uid, &self.observed.id).await {
            Err(ClusterError::Gone { .. }) => Ok(()),
            other => other,
        }
    }

    async fn recreate(&self) -> Executed {
        match self.context.hardware.delete(self.target.clone(), Shutdown::Graceful).await {
            Ok(_) => self.observed_again().await,
            Err(error) => self.failed(error),
        }
    }

    async fn observed_again(&self) -> Executed {
        let machine = self.context.hardware.observe(&self.target.uid).await;
        let outcome = InstanceOutcome {
            hardware: hardware_view(&machine),
            failure: None,
            operation_failure: None,
            restore_refusal: None,
        };
        Executed { outcome, retry: None, object: ObjectAfter::Kept }
    }

    async fn release(&self, rule: ReleaseRule, shutdown: Shutdown) -> Executed {
        match (self.context.hardware.delete(self.target.clone(), shutdown).await, rule) {
            (Ok(Deletion::Gone) | Err(HardwareError::NotFound { .. }), _) => self.let_go(ObjectAfter::LetGo).await,
            (Ok(Deletion::InProgress), _) => self.observed_again().await,
            (Err(HardwareError::Transient { .. }), ReleaseRule::MayAbandon) => {
                self.let_go(ObjectAfter::LetGoWithHardware).await
            }
            (Err(error), ReleaseRule::HardwareFirst | ReleaseRule::MayAbandon) => self.failed(error),
        }
    }

    async fn let_go(&self, object: ObjectAfter) -> Executed {
        match self.remove_finalizer().await {
            Ok(()) | Err(ClusterError::Gone { .. }) => Executed { object, ..self.unchanged(None) },
            Err(error) => self.unchanged(Some(error.into())),
        }
    }

    async fn add_finalizer(&self) -> Result<(), ClusterError> {
        let present = self.observed.instance.metadata().finalizers.iter().flatten();
        let finalizers: Vec<&str> = present.map(String::as_str).chain([FINALIZER]).collect();
        self.patch_finalizers(&finalizers).await
    }

    async fn remove_finalizer(&self) -> Result<(), ClusterError> {
        let present = self.observed.instance.metadata().finalizers.iter().flatten();
        let finalizers: Vec<&str> = present.map(String::as_str).filter(|finalizer| *finalizer != FINALIZER).collect();
        self.patch_finalizers(&finalizers).await
    }

    async fn patch_finalizers(&self, finalizers: &[&str]) -> Result<(), ClusterError> {
        let patch = json!({"metadata": {"finalizers": finalizers}});
        self.context.cluster.patch(&self.observed.id.uid, &self.observed.id, patch).await
    }

    /// What a set has put on a member that it made goes in one write with its ownership: nothing in between could be
    /// collected.
    async fn enroll(&self, enrolment: &Enrolment) -> Result<(), ClusterError> {
        let patch = match enrolment {
            Enrolment::Join { scale_set, group } => {
                let name = &self.observed.id.key.name;
                let zone = self.snapshot.zone.as_ref();
                let fault_domain = self.snapshot.fault_domain.map(|domain| domain.to_string());
                json!({"metadata": {"labels": {
                    labels::SCALE_SET: scale_set, labels::INSTANCE_ID: name, labels::ZONE: zone,
                    labels::FAULT_DOMAIN: fault_domain, labels::CAPACITY_RESERVATION_GROUP: group,
                }}})
            }
            Enrolment::Leave => {
                let owners = self.observed.instance.metadata().owner_references.iter().flatten();
                let others: Vec<&OwnerReference> = owners
                    .filter(|owner| (owner.kind.as_str(), owner.controller) != ("ScaleSet", Some(true)))
                    .collect();
                let marks = [
                    labels::SCALE_SET,
                    labels::INSTANCE_ID,
                    labels::ZONE,
                    labels::FAULT_DOMAIN,
                    labels::CAPACITY_RESERVATION_GROUP,
                    labels::MADE_BY,
                    labels::MODEL_REVISION,
                ];
                let marks: BTreeMap<&str, Option<&str>> = marks.into_iter().map(|mark| (mark, None)).collect();
                let wishes = [
                    labels::ROLLING_UPGRADE,
                    labels::OS_DISK,
                    labels::REPAIR,
                    labels::FORCE_DELETION,
                    labels::INSTANCE_NUMBER,
                ];
                let wishes: BTreeMap<&str, Option<&str>> = wishes.into_iter().map(|wish| (wish, None)).collect();
                json!({"metadata": {"ownerReferences": others, "labels": marks, "annotations": wishes}})
            }
        };
        self.context.cluster.patch(&self.observed.id.uid, &self.observed.id, patch).await
    }

    fn create_request(&self, model: &ModelView) -> CreateRequest {
        let Birth { computer_name, location, set_uid, number, update_domain, placement_group, quota } =
            self.snapshot.birth.clone();
        let key = &self.observed.id.key;
        let owner = Owner {
            kind: match self.snapshot.kind {
                MemberKind::ScaleSetVM => "ScaleSetVM".to_owned(),
                MemberKind::FlexVM => "FlexVM".to_owned(),
            },
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            set_uid,
            instance_number: number,
        };
        let placement = Placement {
            location,
            zone: self.snapshot.zone.clone(),
            platform_fault_domain: self.snapshot.fault_domain,
            update_domain,
            placement_group,
        };
        CreateRequest {
            target: self.target.clone(),
            owner,
            computer_name,
            placement,
            quota: match quota {
                QuotaRule::Counted => scaleset_hardware::QuotaRule::Counted,
                QuotaRule::Exempt => scaleset_hardware::QuotaRule::Exempt,
            },
            model_revision: model.revision.clone(),
            model: Arc::clone(&model.model),
        }
    }
}

/// What a refusal says of the VM; `None` where it only says that the call came at the wrong moment.
fn failure(error: &HardwareError) -> Option<Failure> {
    let reason = match error {
        HardwareError::Stale { .. }
        | HardwareError::StaleEpoch { .. }
        | HardwareError::Busy { .. }
        | HardwareError::NotFound { .. } => return None,
        HardwareError::NoCapacity { code, .. } | HardwareError::NotOffered { code, .. } => Reason::from_code(code),
        HardwareError::Quota { .. } => Reason::QuotaExceeded,
        HardwareError::Throttled { .. } => Reason::TooManyRequests,
        HardwareError::Transient { .. } => Reason::HardwareUnavailable,
    };
    let message = told(error);
    Some(Failure { reason, message })
}

const fn shutdown(rule: ShutdownRule) -> Shutdown {
    match rule {
        ShutdownRule::Graceful => Shutdown::Graceful,
        ShutdownRule::Skip => Shutdown::Skip,
    }
}

fn os_disk_wish(wish: &OsDiskWish) -> scaleset_hardware::OsDiskWish {
    match wish.clone() {
        OsDiskWish::Fresh { version, after } => scaleset_hardware::OsDiskWish::Fresh { version, after },
        OsDiskWish::Former { disk } => scaleset_hardware::OsDiskWish::Former { disk },
    }
}

fn seat(place: &scaleset_planning::instance::Seat) -> Seat {
    let scaleset_planning::instance::Seat { fault_domain, update_domain, placement_group } = place.clone();
    Seat { platform_fault_domain: fault_domain, update_domain, placement_group }
}

/// The step's name for the log.
pub(super) const fn name(step: &Step) -> &'static str {
    match step {
        Step::None => "None",
        Step::Wait(_) => "Wait",
        Step::Hold(_) => "Hold",
        Step::AddFinalizer => "AddFinalizer",
        Step::Enroll(Enrolment::Join { .. }) => "Join",
        Step::Enroll(Enrolment::Leave) => "Detach",
        Step::Create(_) => "Create",
        Step::UpdateOnline(_) => "Update",
        Step::UpdateWithRestart(_) | Step::Perform(_, Perform::Restart(_)) => "Restart",
        Step::Reimage(_) | Step::Perform(_, Perform::Reimage(_)) => "Reimage",
        Step::ReplaceOsDisk(_, OsDiskWish::Fresh { .. }) => "UpgradeOSImage",
        Step::ReplaceOsDisk(_, OsDiskWish::Former { .. }) => "RestoreOSDisk",
        Step::Recreate => "Replace",
        Step::Restore => "Restore",
        Step::Drain(_) => "Drain",
        Step::Undrain => "Undrain",
        Step::Count => "Count",
        Step::SetMembership(_) => "SetMembership",
        Step::Discard => "Delete",
        Step::Perform(_, Perform::SimulateEviction) => "SimulateEviction",
        Step::StartAt(_) | Step::SetPower(_, _) => "SetPower",
        Step::Perform(_, Perform::Redeploy(_)) => "Redeploy",
        Step::Perform(_, Perform::ReimageAll(_)) => "ReimageAll",
        Step::ApproveEvent(_) => "ApproveScheduledEvent",
        Step::Release(_, _) => "Release",
        Step::Forget => "Forget",
    }
}

impl Executed {
    /// Whether the hardware has taken the step.
    pub(super) const fn went_well(&self) -> bool {
        let outcome = &self.outcome;
        self.retry.is_none() && outcome.operation_failure.is_none() && outcome.restore_refusal.is_none()
    }
}
