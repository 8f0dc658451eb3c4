//! Backend pools: leaving them before a step, and joining them again after its refusal.

use std::sync::Arc;

use scaleset_hardware::Ahead;
use scaleset_planning::instance::{AfterRefusal, Perform, Step, is_final};
use scaleset_planning::view::ModelView;
use tracing::{info, warn};

use super::{Executed, Pass, os_disk_wish, present};

impl Pass<'_> {
    /// Hardware that would refuse the step refuses this, as it would refuse the step.
    pub(super) async fn drain(&self, before: &Step) -> Executed {
        let result = self.context.hardware.drain(self.target.clone(), ahead(before)).await;
        if matches!(before, Step::Perform(_, _)) { self.performed(result) } else { self.changed(result) }
    }

    /// A refusal that is no matter of a moment: the VM stays up.
    pub(super) async fn after_refusal(&self, rule: AfterRefusal, mut executed: Executed) -> Executed {
        let outcome = &executed.outcome;
        let refused = outcome.failure.iter().chain(&outcome.operation_failure).any(is_final);
        match rule {
            AfterRefusal::Undrain if refused => {}
            AfterRefusal::Undrain | AfterRefusal::AsItIs => return executed,
        }
        let vm = &self.observed.id.key.name;
        info!(vm = %vm, action = "Undrain", reason = "it is refused what it drained for", "step");
        match self.context.hardware.undrain(self.target.clone()).await {
            Ok(machine) => executed.outcome.hardware = present(&machine),
            Err(error) => warn!(vm = %vm, error = %error, "hardware refused"),
        }
        executed
    }
}

/// What the hardware may refuse of a step that takes a VM down.
fn ahead(step: &Step) -> Option<Ahead> {
    let model = |view: &ModelView| Arc::clone(&view.model);
    match step {
        Step::UpdateWithRestart(wanted) => Some(Ahead::Update { model: model(wanted) }),
        Step::Reimage(wanted) | Step::Perform(_, Perform::Reimage(wanted) | Perform::ReimageAll(wanted)) => {
            Some(Ahead::Reimage { model: model(wanted) })
        }
        Step::ReplaceOsDisk(wanted, wish) => {
            Some(Ahead::ReplaceOsDisk { model: model(wanted), wish: os_disk_wish(wish) })
        }
        Step::Perform(_, Perform::Redeploy(_)) => Some(Ahead::Redeploy),
        Step::None
        | Step::Wait(_)
        | Step::Hold(_)
        | Step::AddFinalizer
        | Step::Enroll(_)
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::Recreate
        | Step::Restore
        | Step::Discard
        | Step::Count
        | Step::SetMembership(_)
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::Drain(_)
        | Step::Undrain
        | Step::Perform(_, Perform::Restart(_) | Perform::SimulateEviction)
        | Step::ApproveEvent(_)
        | Step::Release(_, _)
        | Step::Forget => None,
    }
}
