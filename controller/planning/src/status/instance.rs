//! Status of a `ScaleSetVM` or a `FlexVM`.
//!
//! While the hardware does not answer, what was last known of it stays; only the conditions say that it is unknown.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use scaleset_crds::InstanceStatus;
use scaleset_crds::condition::{FlexVMCondition, InstanceCondition, Reason, find, keep_transition_times};
use scaleset_crds::instance::{
    ExtensionView, InstanceView as InstanceViewStatusField, PendingChange, VirtualMachineAgent,
};
use scaleset_crds::vocabulary::{HealthState, Impact, PowerState, PowerWish, ProvisioningState};

use super::{Truth, Verdict};
use crate::instance::{Step, Wait, drain, operation};
use crate::remedy::needs_a_person;
use crate::snapshot::{Assigned, Belonging, Failure, InstanceSnapshot, MemberKind, MemberLife};
use crate::view::{HardwareView, Health, InstanceView, OperationState, ViewDiff, diff};

mod codes;
mod market;
mod notice;
mod pools;

const PENDING_CHANGES_MAX: usize = 32;

/// What came of the step.
#[derive(Clone, Debug)]
pub struct InstanceOutcome {
    /// The hardware after the step.
    pub hardware: HardwareView,
    /// Why the step failed, where it did.
    pub failure: Option<Failure>,
    /// Why what an operation asked for was refused: no failure of the VM.
    pub operation_failure: Option<Failure>,
    /// Why a try to restore it after an eviction was refused: no failure of the VM either.
    pub restore_refusal: Option<String>,
}

/// The whole status after a pass.
pub fn instance_status(snapshot: &InstanceSnapshot, step: &Step, outcome: &InstanceOutcome) -> InstanceStatus {
    let mut status = match &outcome.hardware {
        HardwareView::Present(view) => InstanceStatus {
            eviction: view.eviction.map(|eviction| market::eviction(snapshot, outcome, eviction)),
            ..of_hardware(snapshot, view)
        },
        HardwareView::Absent => without_hardware(snapshot, step, outcome),
        HardwareView::Unknown { .. } => snapshot.status.clone(),
    };
    if snapshot.life == MemberLife::Terminating {
        status.provisioning_state = Some(ProvisioningState::Deleting);
    }
    status.observed_generation = Some(snapshot.generation);
    status.scale_set = match &snapshot.belonging {
        Belonging::Made { scale_set } | Belonging::HandMade { scale_set } if snapshot.kind == MemberKind::FlexVM => {
            Some(scale_set.clone())
        }
        Belonging::Leaving { scale_set } if is_marked(snapshot) => Some(scale_set.clone()),
        Belonging::Made { .. }
        | Belonging::HandMade { .. }
        | Belonging::Leaving { .. }
        | Belonging::Alone
        | Belonging::Refused { .. } => None,
    };
    status.operations = operation::records(snapshot, step, outcome);
    let verdicts = Verdicts { snapshot, step, outcome };
    status.conditions = verdicts.conditions();
    keep_transition_times(&mut status.conditions, &snapshot.status.conditions);
    let ready = verdicts.ready().truth == Truth::True;
    if let (true, HardwareView::Present(view)) = (ready, &outcome.hardware) {
        status.healthy_on_revision = Some(view.revision.clone());
        status.healthy_on_os_disk = view.disks.first().cloned();
    }
    status
}

/// Whoever leaves is on record as a member until its marks are off: that may need several tries.
const fn is_marked(snapshot: &InstanceSnapshot) -> bool {
    snapshot.enrolled.is_some()
}

fn of_hardware(snapshot: &InstanceSnapshot, view: &InstanceView) -> InstanceStatus {
    let pending = pending(snapshot, view);
    InstanceStatus {
        observed_generation: None,
        vm_id: Some(view.vm_id.clone()),
        computer_name: Some(view.computer_name.clone()),
        scale_set: None,
        model_revision: Some(view.revision.clone()),
        latest_model_applied: Some(latest_applied(snapshot, view, &pending)),
        healthy_on_revision: healthy_before(&snapshot.status, &view.revision),
        healthy_on_os_disk: snapshot.status.healthy_on_os_disk.clone(),
        pending_changes: pending.differences.into_iter().take(PENDING_CHANGES_MAX).map(pending_change).collect(),
        vm_size: Some(view.model.vm_size.clone()),
        update_domain: view.update_domain,
        provisioning_state: Some(provisioning_state(snapshot, view)),
        power_state: Some(view.power),
        instance_view: Some(run_time_details(snapshot, view)),
        private_ip_address: view.private_ip_address.clone(),
        public_ip_address: view.public_ip_address.clone(),
        operations: Vec::new(),
        eviction: None,
        capacity_reservation: view.capacity_reservation.clone(),
        scheduled_events: notice::events(view),
        load_balancer_pools: pools::memberships(view),
        conditions: Vec::new(),
    }
}

/// The model on which it was last healthy, until it leaves one on which it failed without having been healthy: what fails
/// on the next one was broken before, and is not that model's doing.
fn healthy_before(before: &InstanceStatus, revision: &str) -> Option<String> {
    let healthy_on = before.healthy_on_revision.clone()?;
    let leaves = before.model_revision.as_ref().filter(|left| *left != revision && **left != healthy_on);
    let unwell = find(&before.conditions, InstanceCondition::ApplicationHealthy.as_str())
        .is_some_and(|condition| condition.status == Truth::False.as_str());
    let failed = before.provisioning_state == Some(ProvisioningState::Failed) || unwell;
    if leaves.is_some() && failed && healthy_on != revision { None } else { Some(healthy_on) }
}

fn pending(snapshot: &InstanceSnapshot, view: &InstanceView) -> ViewDiff {
    snapshot.newest.as_ref().map(|newest| diff(newest, view)).unwrap_or_default()
}

fn latest_applied(snapshot: &InstanceSnapshot, view: &InstanceView, pending: &ViewDiff) -> bool {
    let newest = snapshot.newest.as_ref().is_none_or(|newest| newest.revision == view.revision);
    newest && pending.is_empty()
}

fn pending_change(difference: crate::view::Difference) -> PendingChange {
    let crate::view::Difference { path, from, to, impact, explanation: _ } = difference;
    PendingChange { path, from, to, impact }
}

fn without_hardware(snapshot: &InstanceSnapshot, step: &Step, outcome: &InstanceOutcome) -> InstanceStatus {
    let held = step.held().is_some();
    let provisioning_state = match (snapshot.life, &outcome.failure) {
        (MemberLife::Terminating, _) => ProvisioningState::Deleting,
        (MemberLife::Live, Some(_)) => ProvisioningState::Failed,
        (MemberLife::Live, None) if held => ProvisioningState::Failed,
        (MemberLife::Live, None) => ProvisioningState::Creating,
    };
    InstanceStatus {
        healthy_on_revision: snapshot.status.healthy_on_revision.clone(),
        healthy_on_os_disk: snapshot.status.healthy_on_os_disk.clone(),
        latest_model_applied: Some(false),
        provisioning_state: Some(provisioning_state),
        ..InstanceStatus::default()
    }
}

fn provisioning_state(snapshot: &InstanceSnapshot, view: &InstanceView) -> ProvisioningState {
    if snapshot.life == MemberLife::Terminating || view.awaited_notice().is_some() {
        return ProvisioningState::Deleting;
    }
    match &view.operation {
        OperationState::Creating => ProvisioningState::Creating,
        OperationState::Updating => ProvisioningState::Updating,
        OperationState::Succeeded => ProvisioningState::Succeeded,
        OperationState::Failed { .. } => ProvisioningState::Failed,
        OperationState::Deleting => ProvisioningState::Deleting,
    }
}

/// Fault domains are shown where the set places into them; under max spreading the hardware's choice says nothing.
fn run_time_details(snapshot: &InstanceSnapshot, view: &InstanceView) -> InstanceViewStatusField {
    let extensions =
        view.extensions.iter().map(|(name, code)| ExtensionView { name: name.clone(), code: (*code).to_owned() });
    InstanceViewStatusField {
        platform_fault_domain: snapshot.fault_domain.and(view.platform_fault_domain),
        placement_group_id: view.placement_group.clone(),
        assigned_host: view.host.clone(),
        os_name: view.os_name.clone(),
        os_version: view.os_version.clone(),
        image_version: Some(view.image_version.clone()),
        vm_agent: view.vm_agent_version.clone().map(|version| VirtualMachineAgent { version }),
        vm_health: view.reported_health.map(codes::health),
        disks: view.disks.clone(),
        extensions: extensions.collect(),
        statuses: codes::statuses(view, provisioning_state(snapshot, view)),
    }
}

fn application_healthy(health: Health) -> Verdict {
    match health {
        Health::NoSource => {
            Verdict::new(Truth::Unknown, Reason::NoHealthSource, "the model that it runs names no health source")
        }
        Health::Missing => Verdict::new(Truth::Unknown, Reason::HealthMissing, "the health source says nothing"),
        Health::Known(HealthState::Initializing) => {
            Verdict::new(Truth::Unknown, Reason::Initializing, "the application is coming up")
        }
        Health::Known(HealthState::Healthy) => {
            Verdict::new(Truth::True, Reason::Healthy, "the application answers well")
        }
        Health::Known(HealthState::Unhealthy) => {
            Verdict::new(Truth::False, Reason::Unhealthy, "the application answers badly, or cannot be reached")
        }
        Health::Known(HealthState::Unknown) => {
            Verdict::new(Truth::False, Reason::HealthUnknown, "the application does not answer")
        }
    }
}

/// One method per condition.
struct Verdicts<'pass> {
    snapshot: &'pass InstanceSnapshot,
    step: &'pass Step,
    outcome: &'pass InstanceOutcome,
}

impl Verdicts<'_> {
    fn conditions(&self) -> Vec<Condition> {
        let snapshot = self.snapshot;
        let mut conditions: Vec<Condition> = InstanceCondition::ALL
            .iter()
            .map(|condition| {
                let verdict = match condition {
                    InstanceCondition::Ready => self.ready(),
                    InstanceCondition::Provisioned => self.provisioned(),
                    InstanceCondition::UpToDate => self.up_to_date(),
                    InstanceCondition::ApplicationHealthy => match &self.outcome.hardware {
                        HardwareView::Present(view) => application_healthy(view.health()),
                        HardwareView::Absent | HardwareView::Unknown { .. } => {
                            Verdict::new(Truth::Unknown, Reason::Waiting, "the hardware has not been seen")
                        }
                    },
                    InstanceCondition::Reconciling => self.reconciling(),
                    InstanceCondition::Stalled => self.stalled(),
                };
                verdict.into_condition(condition.as_str(), snapshot.generation, snapshot.wall_now)
            })
            .collect();
        if snapshot.kind == MemberKind::FlexVM {
            let member = self.member();
            conditions.push(member.into_condition(
                FlexVMCondition::Member.as_str(),
                snapshot.generation,
                snapshot.wall_now,
            ));
        }
        conditions
    }

    fn provisioned(&self) -> Verdict {
        if self.snapshot.life == MemberLife::Terminating {
            return self.deleting();
        }
        if let Some(failure) = &self.outcome.failure {
            return Verdict::new(Truth::False, failure.reason, failure.message.clone());
        }
        match &self.outcome.hardware {
            HardwareView::Unknown { message } => {
                Verdict::new(Truth::Unknown, Reason::HardwareUnavailable, message.clone())
            }
            HardwareView::Absent => self.not_there(),
            HardwareView::Present(view) if view.awaited_notice().is_some() => self.deleting(),
            HardwareView::Present(view) => match &view.operation {
                OperationState::Succeeded => Verdict::new(Truth::True, Reason::Ready, "the last operation succeeded"),
                OperationState::Creating => {
                    Verdict::new(Truth::False, Reason::Creating, "the hardware is being created")
                }
                OperationState::Updating => {
                    Verdict::new(Truth::False, Reason::Updating, "the hardware is being changed")
                }
                OperationState::Deleting => {
                    Verdict::new(Truth::False, Reason::Deleting, "the hardware is being deleted")
                }
                OperationState::Failed { code, message, attempts } => {
                    let message = format!("{message} (attempt {attempts})");
                    Verdict::new(Truth::False, Reason::from_code(code), message)
                }
            },
        }
    }

    fn not_there(&self) -> Verdict {
        match (&self.snapshot.assigned, self.step) {
            (Assigned::Missing { revision }, _) => {
                Verdict::new(Truth::False, Reason::RevisionNotFound, format!("revision {revision} is not there"))
            }
            (Assigned::Known(_), Step::Hold(failure)) => {
                Verdict::new(Truth::False, failure.reason, failure.message.clone())
            }
            (Assigned::Known(_), Step::Wait(Wait::HardwareUnknown)) => {
                Verdict::new(Truth::False, Reason::HardwareUnavailable, "the region does not answer")
            }
            (Assigned::Known(_), _) if self.snapshot.status.vm_id.is_some() => {
                Verdict::new(Truth::False, Reason::MachineVanished, "the hardware is gone and is created anew")
            }
            (Assigned::Known(_), _) => Verdict::new(Truth::False, Reason::Creating, "the hardware is being created"),
        }
    }

    fn deleting(&self) -> Verdict {
        match (&self.outcome.failure, &self.outcome.hardware) {
            (Some(failure), _) => {
                let message = format!("the hardware is not released: {}", failure.message);
                Verdict::new(Truth::False, failure.reason, message)
            }
            (None, HardwareView::Unknown { message }) => {
                let message = format!("the hardware is not released: {message}");
                Verdict::new(Truth::False, Reason::HardwareUnavailable, message)
            }
            (None, HardwareView::Absent) => {
                Verdict::new(Truth::False, Reason::Deleting, "the hardware is being released")
            }
            (None, HardwareView::Present(view)) => Verdict::new(Truth::False, Reason::Deleting, notice::leaving(view)),
        }
    }

    fn ready(&self) -> Verdict {
        if let Some(disturbed) = notice::disturbed(&self.outcome.hardware) {
            return disturbed;
        }
        let provisioned = self.provisioned();
        if provisioned.truth != Truth::True {
            return provisioned;
        }
        if let Some(failure) = self.step.held() {
            return Verdict::new(Truth::False, failure.reason, failure.message.clone());
        }
        if *self.step == Step::Wait(Wait::Revision) {
            return Verdict::new(Truth::False, Reason::RevisionNotFound, "its model revision is not there");
        }
        self.powered()
    }

    fn powered(&self) -> Verdict {
        let HardwareView::Present(view) = &self.outcome.hardware else {
            return Verdict::new(Truth::Unknown, Reason::Waiting, "the hardware has not been seen");
        };
        if let (Some(drained_at), PowerState::Running) = (view.drained_at, view.power) {
            return Verdict::new(Truth::False, Reason::Draining, drain::said(drained_at));
        }
        match (self.snapshot.power_wish, view.power) {
            (PowerWish::Running, PowerState::Running) if self.behind_its_model(view) => notice::updating(view),
            (PowerWish::Running, PowerState::Running) => Self::running(view.health()),
            (PowerWish::Stopped, PowerState::Stopped | PowerState::Deallocated)
            | (PowerWish::Deallocated, PowerState::Deallocated) => {
                let message = format!("{} as wished", view.power.code());
                Verdict::new(Truth::True, Reason::StoppedByWish, message)
            }
            (PowerWish::Running | PowerWish::Stopped | PowerWish::Deallocated, PowerState::Unknown) => {
                Verdict::new(Truth::Unknown, Reason::HardwareUnavailable, "power is unknown")
            }
            (PowerWish::Running, PowerState::Deallocated) if view.eviction.is_some() => {
                let said = view.eviction.map(|eviction| market::said(self.snapshot, self.step, self.outcome, eviction));
                Verdict::new(Truth::False, Reason::Evicted, said.unwrap_or_default())
            }
            (PowerWish::Running, power) => {
                Verdict::new(Truth::False, Reason::Starting, format!("power is {}", power.code()))
            }
            (PowerWish::Stopped | PowerWish::Deallocated, power) => {
                Verdict::new(Truth::False, Reason::Stopping, format!("power is {}", power.code()))
            }
        }
    }

    /// Of a running VM the health source has the last word.
    fn running(health: Health) -> Verdict {
        match health {
            Health::NoSource => Verdict::new(Truth::True, Reason::Ready, "provisioned and running"),
            Health::Known(HealthState::Healthy) => {
                Verdict::new(Truth::True, Reason::Ready, "provisioned, running and healthy")
            }
            Health::Missing
            | Health::Known(HealthState::Initializing | HealthState::Unhealthy | HealthState::Unknown) => {
                Verdict { truth: Truth::False, ..application_healthy(health) }
            }
        }
    }

    fn behind_its_model(&self, view: &InstanceView) -> bool {
        match &self.snapshot.assigned {
            Assigned::Known(model) => model.revision != view.revision || diff(model, view).impact_now() != Impact::None,
            Assigned::Missing { .. } => false,
        }
    }

    fn up_to_date(&self) -> Verdict {
        let HardwareView::Present(view) = &self.outcome.hardware else {
            return Verdict::new(Truth::Unknown, Reason::Waiting, "the hardware has not been seen");
        };
        let pending = pending(self.snapshot, view);
        if latest_applied(self.snapshot, view, &pending) {
            return Verdict::new(Truth::True, Reason::ModelApplied, "the hardware is what the newest model says");
        }
        let newest = self.snapshot.newest.as_ref().map_or("", |newest| newest.revision.as_str());
        let follows = match &self.snapshot.assigned {
            Assigned::Known(model) => model.revision.as_str(),
            Assigned::Missing { revision } => revision.as_str(),
        };
        if follows != newest {
            let message =
                format!("follows {follows}, the newest is {newest}; {} fields differ", pending.differences.len());
            return Verdict::new(Truth::False, Reason::Waiting, message);
        }
        match pending.impact_now() {
            Impact::None if view.revision == newest && market::waits_for_deallocation(&pending) => {
                let message = format!("taken while the VM is deallocated: {pending}");
                Verdict::new(Truth::False, Reason::MaxPriceChangeNotAllowedForAllocatedVMs, message)
            }
            Impact::None if !pending.is_empty() && view.revision == newest => {
                Verdict::new(Truth::False, Reason::PendingReimage, format!("taken with the next reimage: {pending}"))
            }
            Impact::None
            | Impact::NextReimage
            | Impact::Online
            | Impact::Restart
            | Impact::Reimage
            | Impact::Replace
            | Impact::Immutable => Verdict::new(Truth::False, Reason::Updating, format!("being applied: {pending}")),
        }
    }

    fn stalled(&self) -> Verdict {
        let ready = self.ready();
        if *self.step == Step::Wait(Wait::Evicted) && ready.reason == Reason::Evicted {
            return Verdict::new(Truth::True, ready.reason, ready.message);
        }
        let failure = self.step.held().or(self.outcome.failure.as_ref());
        match failure {
            Some(failure) if needs_a_person(failure.reason) => {
                Verdict::new(Truth::True, failure.reason, failure.message.clone())
            }
            Some(_) | None => Verdict::new(Truth::False, Reason::Converged, "nothing waits for a person"),
        }
    }

    fn reconciling(&self) -> Verdict {
        let ready = self.ready();
        if ready.truth == Truth::True || self.stalled().truth == Truth::True {
            return Verdict::new(Truth::False, Reason::Converged, "nothing to do");
        }
        Verdict::new(Truth::True, ready.reason, ready.message)
    }

    fn member(&self) -> Verdict {
        if let Some(Failure { reason, message }) = &self.snapshot.kept {
            return Verdict::new(Truth::True, *reason, format!("{message}; it stays a member"));
        }
        match &self.snapshot.belonging {
            Belonging::Leaving { scale_set } if is_marked(self.snapshot) => {
                Verdict::new(Truth::True, Reason::Accepted, format!("leaves scale set {scale_set}"))
            }
            Belonging::Alone | Belonging::Leaving { scale_set: _ } => {
                Verdict::new(Truth::False, Reason::NoScaleSet, "no scale set is named")
            }
            Belonging::Made { scale_set } => {
                Verdict::new(Truth::True, Reason::Accepted, format!("made by scale set {scale_set}"))
            }
            Belonging::HandMade { scale_set } => {
                Verdict::new(Truth::True, Reason::Accepted, format!("made by hand, joined scale set {scale_set}"))
            }
            Belonging::Refused { scale_set: _, refusal } => {
                Verdict::new(Truth::False, refusal.reason, refusal.message.clone())
            }
        }
    }
}
