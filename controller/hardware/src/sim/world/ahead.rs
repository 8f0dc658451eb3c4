//! Whether a call would be refused, before a machine is drained for it.
//!
//! What is checked is what the call itself checks, no more: who drains and finds room gone afterwards is refused by the call. A
//! refusal makes room where the call's would.

use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;

use super::World;
use crate::error::HardwareError;
use crate::sim::model::applied;
use crate::sim::vm::Record;
use crate::{Ahead, Target, UpdateMethod};

impl World {
    /// Refuses what the call would refuse now.
    pub(super) fn check_ahead(&mut self, target: &Target, ahead: &Ahead, now: Timestamp) -> Result<(), HardwareError> {
        let record = self.fenced(target)?;
        let model = self.model_after(record, ahead)?;
        let spot = self.terms_after(record, &model);
        let at_price = VirtualMachineModel { spot, ..model.as_ref().clone() };
        self.taken_by(target, &at_price, now).map(drop)
    }

    /// What the machine is after the call, once what the call names beside room is found to be there.
    fn model_after(&self, record: &Record, ahead: &Ahead) -> Result<Arc<VirtualMachineModel>, HardwareError> {
        let current = self.model(record);
        Ok(match ahead {
            Ahead::Update { model } => Arc::new(applied(current, model, UpdateMethod::Restart)),
            Ahead::Reimage { model } => {
                self.image(&model.storage_profile.image_reference)?;
                Arc::clone(model)
            }
            Ahead::ReplaceOsDisk { model, wish } => self.with_os_disk(record, model, wish)?.1,
            Ahead::Redeploy => {
                self.other_place(record, current)?;
                Arc::clone(current)
            }
        })
    }
}
