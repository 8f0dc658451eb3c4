//! What a person asks of a machine once: restart, redeploy, reimage. The machine remembers the uid of the last request.
//!
//! Source: Azure's REST reference of virtual machines (restart, redeploy, reimage); that a stopped machine stays stopped
//! when it is redeployed is ours, since its power is a wish that stands elsewhere.

use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::EvictionReason;
use scaleset_crds::vocabulary::PowerState;

use super::asked::{Asked, Beginning};
use super::change::{DataDisks, Former, OsDiskChange, Transformation, mark_of};
use super::offer::refused;
use super::operation::busy;
use super::slots::Room;
use super::spot::can_be_evicted;
use super::{Effect, World, priority_of};
use crate::error::HardwareError;
use crate::machine::Disruption;
use crate::sim::placement::Need;
use crate::sim::quota::Claim;
use crate::sim::reservation::Freed;
use crate::sim::vm::{OperationKind, Record};
use crate::{OperationAction, OperationRequest, ReimagedDisks, Target};

impl World {
    /// Carries out a request, unless it was the last one already.
    pub(crate) fn perform(
        &mut self,
        target: &Target,
        operation: &OperationRequest,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let OperationRequest { uid, action } = operation;
        let record = self.fenced(target)?;
        if record.last_operation.as_ref() == Some(uid) {
            return Ok(self.unchanged(target));
        }
        if !record.is_idle(now) {
            return Err(busy(record));
        }
        self.reachable(record)?;
        let model = Arc::clone(self.models.get(record.model));
        let power = record.power(now);
        match action {
            OperationAction::Restart(approval) => {
                let revision = record.model_revision.clone();
                allowed("restarted", power, power == PowerState::Running, "it must run")?;
                let asked = Asked { operation: uid, disruption: Disruption::Reboot, approval: *approval };
                if let Beginning::AfterNotice(effect) = self.announce_asked(target, asked, now)? {
                    return Ok(effect);
                }
                self.in_place(target, OperationKind::Restart, (&revision, model), now)?;
            }
            OperationAction::Redeploy(approval) => {
                let revision = record.model_revision.clone();
                let holds = record.host.is_some() && power != PowerState::Deallocated;
                allowed("redeployed", power, holds, "it must hold hardware: start it")?;
                let place = self.other_place(record, &model)?;
                let asked = Asked { operation: uid, disruption: Disruption::Redeploy, approval: *approval };
                if let Beginning::AfterNotice(effect) = self.announce_asked(target, asked, now)? {
                    return Ok(effect);
                }
                self.in_place(target, OperationKind::Redeploy, (&revision, model), now)?;
                self.move_to(&target.uid, place);
            }
            OperationAction::SimulateEviction => {
                if model.spot.is_none() {
                    let message = "a machine of priority Regular cannot be evicted, only Spot ones are".to_owned();
                    return Err(refused("OperationNotAllowed", message));
                }
                allowed("evicted", power, can_be_evicted(record, now), "it must hold hardware: start it")?;
                self.preempt(&target.uid, EvictionReason::Simulated, now);
                self.note_generation(target);
            }
            OperationAction::Reimage { disks, model_revision, model } => {
                let image = self.image(&model.storage_profile.image_reference)?;
                let mark = mark_of(target, OperationKind::Reimage, model_revision, model);
                let data_disks = match disks {
                    ReimagedDisks::Os => DataDisks::Kept,
                    ReimagedDisks::All => DataDisks::Fresh,
                };
                let model = Arc::clone(model);
                let os_disk = OsDiskChange::Fresh(image, Former::Dropped);
                if let Beginning::AfterNotice(effect) = self.announce_replacement(target, Some(uid), now)? {
                    return Ok(effect);
                }
                self.transform(target, Transformation { mark, model, os_disk, data_disks }, now)?;
                self.note_replacement(&target.uid, now);
            }
        }
        if let Some(record) = self.machines.get_mut(&target.uid) {
            record.last_operation = Some(uid.clone());
        }
        self.note_asked(&target.uid, uid, now);
        self.save(&target.uid);
        Ok(Effect::Changed)
    }

    /// A machine that stays what it is.
    fn in_place(
        &mut self,
        target: &Target,
        kind: OperationKind,
        (revision, model): (&str, Arc<VirtualMachineModel>),
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let mark = mark_of(target, kind, revision, &model);
        let os_disk = OsDiskChange::Kept;
        self.transform(target, Transformation { mark, model, os_disk, data_disks: DataDisks::Kept }, now)
    }

    /// Another host in the same place, with what the machine takes there.
    pub(super) fn other_place(
        &self,
        record: &Record,
        model: &VirtualMachineModel,
    ) -> Result<(String, Claim), HardwareError> {
        let claim = self.claim(&model.vm_size, priority_of(model), &record.placement)?;
        let current = record.host.as_deref().unwrap_or_default();
        let need = Need {
            asks: &record.uid,
            size: &model.vm_size,
            claim: &claim,
            placement: &record.placement,
            set_uid: record.owner.set_uid.as_deref(),
            current: None,
        };
        let host = self.other_host_for(record, &need, current)?;
        Ok((host, claim))
    }

    pub(super) fn move_to(&mut self, uid: &str, (host, claim): (String, Claim)) {
        match self.vacate(uid, Freed::ForItself) {
            Room::Reserved => {}
            Room::General => self.release_host(uid),
        }
        self.take_host(uid, host, &claim);
    }
}

fn allowed(what: &str, power: PowerState, holds: bool, otherwise: &str) -> Result<(), HardwareError> {
    if holds {
        return Ok(());
    }
    let message = format!("a machine whose power is {} cannot be {what}, {otherwise}", power.code());
    Err(refused("OperationNotAllowed", message))
}
