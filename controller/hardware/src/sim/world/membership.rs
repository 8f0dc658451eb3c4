//! Whose set a machine is of, while it is there.

use jiff::Timestamp;

use super::{Effect, World};
use crate::Target;
use crate::error::HardwareError;

impl World {
    /// Moves a machine from the set that it is of to another, or to none, with all that is kept by set.
    pub(crate) fn set_membership(
        &mut self,
        target: &Target,
        set_uid: Option<&str>,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        if self.fenced(target)?.owner.set_uid.as_deref() == set_uid {
            return Ok(self.unchanged(target));
        }
        self.note_generation(target);
        let Some(record) = self.machines.get_mut(&target.uid) else { return Ok(Effect::Unchanged) };
        self.runs.leave(record, now);
        let region = self.regions.get_mut(&record.placement.location);
        if let Some((region, host)) = region.zip(record.host.as_deref()) {
            region.hosts.regroup(host, record.owner.set_uid.as_deref(), set_uid);
        }
        record.owner.set_uid = set_uid.map(str::to_owned);
        record.owner.instance_number = None;
        record.joined_at = Some(now);
        self.runs.note(record, self.models.get(record.model), now);
        self.save(&target.uid);
        self.announce(&target.uid);
        Ok(Effect::Changed)
    }
}
