//! Updating and reimaging machines, and changing their OS disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::profile::Extension;
use scaleset_crds::vocabulary::PowerState;

use super::asked::Beginning;
use super::disturb::Boot;
use super::health::same_source;
use super::offer::refused;
use super::operation::{Drawn, GuestRuns, Occasion, busy, is_down_by_wish};
use super::{Effect, World, priority_of};
use crate::error::HardwareError;
use crate::machine::ExtensionState;
use crate::sim::model::{applied, digest_of};
use crate::sim::placement::Need;
use crate::sim::quota::Claim;
use crate::sim::reservation::ReservationKey;
use crate::sim::schedule::{Course, Scheduler, Work};
use crate::sim::vm::{FormerOsDisk, Image, Mark, OperationKind, Record};
use crate::{OsDiskWish, Target, UpdateMethod};

/// The model that a call wants, and the name of its revision.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) model_revision: &'a str,
    pub(crate) model: &'a Arc<VirtualMachineModel>,
}

/// What a call makes of a machine.
pub(super) struct Transformation {
    pub(super) mark: Mark,
    /// What the machine will be.
    pub(super) model: Arc<VirtualMachineModel>,
    pub(super) os_disk: OsDiskChange,
    pub(super) data_disks: DataDisks,
}

/// What becomes of the OS disk that a machine has.
pub(super) enum OsDiskChange {
    Kept,
    /// A fresh one takes its place.
    Fresh(Image, Former),
    /// The former one takes its place.
    Restored(Box<FormerOsDisk>),
}

/// What becomes of an OS disk that a fresh one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    Kept,
    Dropped,
}

/// What becomes of the data disks that a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataDisks {
    Kept,
    Fresh,
}

/// A host, and what a machine takes there.
pub(super) type Place = (String, Claim);

impl World {
    /// Applies what `method` allows of `wanted`.
    pub(crate) fn update(
        &mut self,
        target: &Target,
        wanted: Wanted<'_>,
        method: UpdateMethod,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let Wanted { model_revision, model: wanted } = wanted;
        let record = self.fenced(target)?;
        let kind = OperationKind::Update(method);
        let mark = mark_of(target, kind, model_revision, wanted);
        let mut model = applied(self.models.get(record.model), wanted, method);
        model.spot = self.terms_after(record, wanted);
        let different = *self.models.get(record.model).as_ref() != model;
        let healthy = record.is_idle(now) && record.operation.failure.is_none();
        let nothing_to_do = healthy && !different && record.model_revision == model_revision;
        match method {
            _ if same_call_under_way(record, &mark, now) => return Ok(self.unchanged(target)),
            _ if !record.is_idle(now) => return Err(busy(record)),
            UpdateMethod::Online if nothing_to_do => return Ok(self.unchanged(target)),
            UpdateMethod::Restart if nothing_to_do && record.operation.mark == mark => {
                return Ok(self.unchanged(target));
            }
            UpdateMethod::Online if healthy && !different => return Ok(self.rename_revision(target, model_revision)),
            UpdateMethod::Online | UpdateMethod::Restart => {}
        }
        self.reachable(record)?;
        if method == UpdateMethod::Online && record.hangs_since.is_some() {
            return Err(HardwareError::Transient { message: format!("machine {} does not answer", target.uid) });
        }
        self.transform(
            target,
            Transformation { mark, model: Arc::new(model), os_disk: OsDiskChange::Kept, data_disks: DataDisks::Kept },
            now,
        )
    }

    /// Replaces the OS disk and applies the whole of `wanted`.
    pub(crate) fn reimage(
        &mut self,
        target: &Target,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let Wanted { model_revision, model: wanted } = wanted;
        let record = self.fenced(target)?;
        let mark = mark_of(target, OperationKind::Reimage, model_revision, wanted);
        if same_call_under_way(record, &mark, now) {
            return Ok(self.unchanged(target));
        }
        if !record.is_idle(now) {
            return Err(busy(record));
        }
        let image = self.image(&wanted.storage_profile.image_reference)?;
        let ails = record.hangs_since.is_some() || record.answers_badly(now, self.surroundings(record));
        let well = record.operation.failure.is_none() && !ails;
        let spot = self.terms_after(record, wanted);
        let then = VirtualMachineModel { spot, ..wanted.as_ref().clone() };
        let as_wanted = **self.models.get(record.model) == then && record.image == image;
        if record.operation.mark == mark && well && as_wanted {
            return Ok(self.unchanged(target));
        }
        self.reachable(record)?;
        let model = Arc::clone(wanted);
        let os_disk = OsDiskChange::Fresh(image, Former::Dropped);
        self.replace(target, Transformation { mark, model, os_disk, data_disks: DataDisks::Kept }, now)
    }

    /// The same as [`World::transform`] once the machine need not be told any more; until then it stays as it is. An OS disk
    /// that is put back comes without a notice.
    fn replace(
        &mut self,
        target: &Target,
        transformation: Transformation,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let replacement = match transformation.os_disk {
            OsDiskChange::Fresh(_, _) => self.announce_replacement(target, None, now)?,
            OsDiskChange::Kept | OsDiskChange::Restored(_) => Beginning::Now,
        };
        if let Beginning::AfterNotice(effect) = replacement {
            return Ok(effect);
        }
        let effect = self.transform(target, transformation, now)?;
        self.note_replacement(&target.uid, now);
        Ok(effect)
    }

    /// Gives the machine another OS disk and applies the whole of `wanted`, unless it has that disk, or another one than
    /// the one to be replaced.
    pub(crate) fn replace_os_disk(
        &mut self,
        target: &Target,
        wanted: Wanted<'_>,
        wish: &OsDiskWish,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let Wanted { model_revision, model: wanted } = wanted;
        let record = self.fenced(target)?;
        let moot = match wish {
            OsDiskWish::Fresh { version: _, after } => record.os_disk != *after,
            OsDiskWish::Former { disk } => record.os_disk == *disk,
        };
        if moot {
            return Ok(self.unchanged(target));
        }
        if !record.is_idle(now) {
            return Err(busy(record));
        }
        self.reachable(record)?;
        let (os_disk, model) = self.with_os_disk(record, wanted, wish)?;
        let mark = mark_of(target, OperationKind::Reimage, model_revision, wanted);
        self.replace(target, Transformation { mark, model, os_disk, data_disks: DataDisks::Kept }, now)
    }

    /// The OS disk that is wished for, and what the machine is with it.
    pub(super) fn with_os_disk(
        &self,
        record: &Record,
        wanted: &Arc<VirtualMachineModel>,
        wish: &OsDiskWish,
    ) -> Result<(OsDiskChange, Arc<VirtualMachineModel>), HardwareError> {
        Ok(match wish {
            OsDiskWish::Fresh { version, after: _ } => {
                let image = self.image_version(&wanted.storage_profile.image_reference, version)?;
                (OsDiskChange::Fresh(image, Former::Kept), Arc::clone(wanted))
            }
            OsDiskWish::Former { disk } => {
                let former = record.former_os_disk.as_ref().filter(|former| former.name == *disk);
                let former = former.ok_or_else(|| refused("OperationNotAllowed", not_kept(record, disk)))?;
                (OsDiskChange::Restored(former.clone()), Arc::new(with_disk(wanted, former)))
            }
        })
    }

    pub(super) fn unchanged(&mut self, target: &Target) -> Effect {
        self.note_generation(target);
        Effect::Unchanged
    }

    /// Only the revision's name differs: nothing has to be done to the machine.
    fn rename_revision(&mut self, target: &Target, model_revision: &str) -> Effect {
        if let Some(record) = self.machines.get_mut(&target.uid) {
            model_revision.clone_into(&mut record.model_revision);
            record.generation = target.generation;
        }
        self.save(&target.uid);
        Effect::Changed
    }

    /// Checks everything, then changes everything.
    pub(super) fn transform(
        &mut self,
        target: &Target,
        transformation: Transformation,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let record = self.fenced(target)?;
        let transformation = self.at_price_in_force(record, transformation);
        let (place, draws_on) = self.taken_by(target, &transformation.model, now)?;

        let drawn = self.draw_transformation(&target.uid, &transformation, now);
        if let Some((host, claim)) = place {
            self.release_host(&target.uid);
            self.associate(&target.uid, draws_on);
            self.take_host(&target.uid, host, &claim);
        } else {
            self.associate(&target.uid, draws_on);
        }
        self.apply(&target.uid, transformation, drawn, now);
        Ok(Effect::Changed)
    }

    /// What the machine takes once it is `model`, at the price in force: its place, where that is another, and the reservation
    /// that it draws on. A refusal may make room for the next time.
    pub(super) fn taken_by(
        &mut self,
        target: &Target,
        model: &VirtualMachineModel,
        now: Timestamp,
    ) -> Result<(Option<Place>, Option<ReservationKey>), HardwareError> {
        let record = self.fenced(target)?;
        self.check_model(model, &record.placement.location)?;
        let region = self.region(&record.placement.location)?;
        region.check_addresses(&record.interfaces, &model.network_profile.network_interfaces)?;
        let draws_on = self.reservation_after(record, model)?;
        match self.place_for(record, model, draws_on.as_ref()) {
            Ok(place) => Ok((place, draws_on)),
            Err(refusal) => {
                let asked = self.asked_by(&target.uid, &model.vm_size);
                Err(self.short_of_room(refusal, asked, now))
            }
        }
    }

    /// What the machine takes of its host when its size changes. One without hardware only needs a size that is offered.
    fn place_for(
        &self,
        record: &Record,
        model: &VirtualMachineModel,
        draws_on: Option<&ReservationKey>,
    ) -> Result<Option<Place>, HardwareError> {
        let current_size = &self.models.get(record.model).vm_size;
        if model.vm_size == *current_size {
            return Ok(None);
        }
        let claim = self.claim(&model.vm_size, priority_of(model), &record.placement)?;
        let held = self.claim(current_size, priority_of(model), &record.placement)?;
        // A Spot machine counts also while it has no host.
        if draws_on.is_none() && (record.host.is_some() || model.spot.is_some()) {
            self.check_quota(record.quota, &record.placement.location, &claim, Some(&held))?;
        }
        let Some(host) = &record.host else {
            return Ok(None);
        };
        let need = Need {
            asks: &record.uid,
            size: &model.vm_size,
            claim: &claim,
            placement: &record.placement,
            set_uid: record.owner.set_uid.as_deref(),
            current: Some((host, &held)),
        };
        let chosen = self.kept_host_for((record, host), draws_on, &need)?;
        Ok(Some((chosen, claim)))
    }

    fn draw_transformation(&mut self, uid: &str, transformation: &Transformation, now: Timestamp) -> Drawn {
        let Transformation { mark, model, os_disk, data_disks: _ } = transformation;
        let record = self.machines.get(uid).expect("the caller has found the machine").clone();
        let down = is_down_by_wish(&record, now);
        let known = record.guest_is_known(now);
        let boots = !down && (mark.kind != OperationKind::Update(UpdateMethod::Online) || !known);
        let boot = if boots { Boot::Boots } else { Boot::None };
        let extensions = match os_disk {
            OsDiskChange::Fresh(_, _) | OsDiskChange::Restored(_) => {
                model.extensions.iter().map(|extension| extension.name.clone()).collect()
            }
            OsDiskChange::Kept => to_run(&record, self.models.get(record.model), model, now),
        };
        let occasion = Occasion {
            now,
            subject: record.subject(model),
            number: record.operations,
            boot,
            model,
            extensions: &extensions,
            guest_runs: if down || !known { GuestRuns::No } else { GuestRuns::Yes },
        };
        let power = record.power(now);
        self.draw(occasion, |scheduler| course(scheduler, mark.kind, boot, power))
    }

    fn apply(&mut self, uid: &str, transformation: Transformation, drawn: Drawn, now: Timestamp) {
        let Transformation { mark, model, os_disk, data_disks } = transformation;
        let key = self.acquire_model(&model);
        self.change_os_disk(uid, os_disk);
        let Some(record) = self.machines.get_mut(uid) else {
            return;
        };
        if !same_source(self.models.get(record.model), &model) {
            record.watch = None;
        }
        let former = std::mem::replace(&mut record.model, key);
        let held = match data_disks {
            DataDisks::Kept => std::mem::take(&mut record.data_disks),
            DataDisks::Fresh => BTreeMap::new(),
        };
        let interfaces = std::mem::take(&mut record.interfaces);
        record.model_revision.clone_from(&mark.model_revision);
        let wanted: BTreeSet<&String> = model.extensions.iter().map(|extension| &extension.name).collect();
        record.extensions.retain(|name, _| wanted.contains(name));
        let (location, owner) = (record.placement.location.clone(), record.owner.name.clone());
        let data_disks = self.data_disk_names(uid, &owner, &model, held);
        let wanted = &model.network_profile.network_interfaces;
        let interfaces = self.regions.get_mut(&location).map(|region| region.assign_addresses(interfaces, wanted));
        if let Some(record) = self.machines.get_mut(uid) {
            record.data_disks = data_disks;
            record.interfaces = interfaces.unwrap_or_default();
        }
        self.release_model(former);
        self.begin(uid, mark, drawn, now);
    }
}

impl World {
    /// Puts another OS disk into a machine, whose model is still the one that the old disk has.
    fn change_os_disk(&mut self, uid: &str, change: OsDiskChange) {
        let Some(owner) = self.machines.get(uid).map(|record| record.owner.name.clone()) else {
            return;
        };
        let fresh = self.os_disk_name(uid, &owner);
        let Some(record) = self.machines.get_mut(uid) else {
            return;
        };
        let model = self.models.get(record.model);
        let (name, image) = match change {
            OsDiskChange::Kept => return,
            OsDiskChange::Fresh(image, Former::Dropped) => {
                record.former_os_disk = None;
                (fresh, image)
            }
            OsDiskChange::Fresh(image, Former::Kept) => {
                record.former_os_disk = Some(Box::new(FormerOsDisk {
                    name: record.os_disk.clone(),
                    image: record.image.clone(),
                    credentials: model.credentials.clone(),
                    image_reference: model.storage_profile.image_reference.clone(),
                    os_disk: model.storage_profile.os_disk.clone(),
                }));
                (fresh, image)
            }
            OsDiskChange::Restored(former) => {
                record.former_os_disk = None;
                (former.name, former.image)
            }
        };
        record.image = image;
        record.os_disk = name;
        record.guest_known_from = None;
        record.answer = None;
    }
}

/// The model of a machine that has `former` as its OS disk.
fn with_disk(wanted: &VirtualMachineModel, former: &FormerOsDisk) -> VirtualMachineModel {
    let FormerOsDisk { name: _, image: _, credentials, image_reference, os_disk } = former;
    let mut model = wanted.clone();
    model.credentials.clone_from(credentials);
    model.storage_profile.image_reference.clone_from(image_reference);
    model.storage_profile.os_disk.clone_from(os_disk);
    model
}

fn not_kept(record: &Record, disk: &str) -> String {
    let kept = record.former_os_disk.as_ref().map_or("none", |former| former.name.as_str());
    format!("machine {} does not keep OS disk {disk}, it keeps: {kept}", record.uid)
}

fn course(scheduler: &Scheduler<'_>, kind: OperationKind, boot: Boot, power: PowerState) -> Course {
    let work = if kind == OperationKind::Reimage { Work::Reimage } else { Work::Update };
    match (boot, work) {
        (Boot::None, _) => scheduler.steady(work, power),
        (Boot::Boots, Work::Reimage) => scheduler.reimage(),
        (Boot::Boots, Work::Update) => scheduler.restart(),
    }
}

pub(super) fn mark_of(
    target: &Target,
    kind: OperationKind,
    model_revision: &str,
    wanted: &VirtualMachineModel,
) -> Mark {
    Mark { kind, generation: target.generation, model_revision: model_revision.to_owned(), wanted: digest_of(wanted) }
}

fn same_call_under_way(record: &Record, mark: &Mark, now: Timestamp) -> bool {
    let Mark { kind, generation: _, model_revision, wanted } = &record.operation.mark;
    !record.is_idle(now) && *kind == mark.kind && *model_revision == mark.model_revision && *wanted == mark.wanted
}

/// Extensions that an update runs: new and changed ones, and those that have not succeeded yet.
fn to_run(
    record: &Record,
    current: &VirtualMachineModel,
    wanted: &VirtualMachineModel,
    now: Timestamp,
) -> BTreeSet<String> {
    let is_done = |extension: &&Extension| {
        let succeeded =
            record.extensions.get(&extension.name).map(|run| run.state(now)) == Some(ExtensionState::Succeeded);
        succeeded && current.extensions.contains(extension)
    };
    let open = wanted.extensions.iter().filter(|extension| !is_done(extension));
    open.map(|extension| extension.name.clone()).collect()
}
