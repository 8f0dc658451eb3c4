//! Creating, powering and deleting machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::disturb::{Boot, Risk, subject_of};
use super::make_room::Asked;
use super::operation::{Drawn, GuestRuns, Occasion, busy, compose};
use super::slots::Room;
use super::{Effect, World, claim_of, priority_of};
use crate::error::HardwareError;
use crate::machine::{Placement, QuotaRule, Seat};
use crate::sim::extension::ExtensionRun;
use crate::sim::model::digest_of;
use crate::sim::placement::Need;
use crate::sim::quota::Claim;
use crate::sim::reservation::ReservationKey;
use crate::sim::schedule::{Course, Guest, Scheduler};
use crate::sim::store::Write;
use crate::sim::vm::{Image, Mark, OperationKind, Record};
use crate::{CreateRequest, Deletion, Shutdown, Target};

impl World {
    /// Allocates a place for a machine and creates it there.
    pub(crate) fn create(&mut self, request: &CreateRequest, now: Timestamp) -> Result<Effect, HardwareError> {
        let CreateRequest { target, owner, computer_name: _, placement, quota, model_revision: _, model } = request;
        if self.machines.contains_key(&target.uid) {
            self.fenced(target)?;
            self.note_generation(target);
            return Ok(Effect::Unchanged);
        }
        let interfaces = &model.network_profile.network_interfaces;
        self.region(&placement.location)?.check_placement(placement)?;
        let claim = self.claim(&model.vm_size, priority_of(model), placement)?;
        let image = self.image(&model.storage_profile.image_reference)?;
        self.check_model(model, &placement.location)?;
        self.check_market(model, placement)?;
        let draws_on = self.reservation_for(model, placement, (owner, None))?;
        match &draws_on {
            None => self.check_quota(*quota, &placement.location, &claim, None)?,
            Some(key) => self.check_membership(key, &claim, None)?,
        }
        let region = self.region(&placement.location)?;
        region.check_addresses(&[], interfaces)?;
        let host = match self.host_for(draws_on.as_ref(), &need_of(request, &claim)) {
            Ok(host) => host,
            Err(refusal) => return Err(self.short_of_room(refusal, Some(asked_for(request, claim)), now)),
        };

        self.note_instance_number(request);
        self.insert(request, image, now);
        self.associate(&target.uid, draws_on);
        self.take_host(&target.uid, host, &claim);
        let location = &placement.location;
        let assigned = self.regions.get_mut(location).map(|region| region.assign_addresses(Vec::new(), interfaces));
        if let Some(record) = self.machines.get_mut(&target.uid) {
            record.interfaces = assigned.unwrap_or_default();
        }
        self.listen(&target.uid, now);
        self.save(&target.uid);
        self.follow(&target.uid, now);
        Ok(Effect::Changed)
    }

    /// Starts, stops or deallocates a machine.
    pub(crate) fn set_power(
        &mut self,
        target: &Target,
        wish: PowerWish,
        shutdown: Shutdown,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let placement = self.fenced(target)?.placement.clone();
        self.power_in(target, placement, (wish, shutdown), now)
    }

    /// Starts a machine, on that seat of its zone where it has no hardware.
    pub(crate) fn start_at(&mut self, target: &Target, seat: &Seat, now: Timestamp) -> Result<Effect, HardwareError> {
        let Seat { platform_fault_domain, update_domain, placement_group } = seat;
        let placement = Placement {
            platform_fault_domain: *platform_fault_domain,
            update_domain: *update_domain,
            placement_group: placement_group.clone(),
            ..self.fenced(target)?.placement.clone()
        };
        self.region(&placement.location)?.check_placement(&placement)?;
        self.power_in(target, placement, (PowerWish::Running, Shutdown::Graceful), now)
    }

    /// Counts a machine against the quotas from now on.
    pub(crate) fn count_in(&mut self, target: &Target) -> Result<Effect, HardwareError> {
        let record = self.fenced(target)?;
        if record.quota.is_counted() {
            return Ok(self.unchanged(target));
        }
        let model = self.models.get(record.model);
        let claim = self.sizes.get(&model.vm_size).map(|size| claim_of(size, priority_of(model)));
        self.note_generation(target);
        let Some(record) = self.machines.get_mut(&target.uid) else { return Ok(Effect::Unchanged) };
        record.quota = QuotaRule::Counted;
        let region = self.regions.get_mut(&record.placement.location);
        // What a reservation charges, it charges as a whole.
        let charged_here = record.host.is_some() && record.reservation.is_none();
        if let Some((claim, region)) = claim.zip(region).filter(|_| charged_here) {
            region.quota.take(&claim);
        }
        self.save(&target.uid);
        self.announce(&target.uid);
        Ok(Effect::Changed)
    }

    /// Power for a machine that gets its hardware, where it needs any, in `placement`.
    fn power_in(
        &mut self,
        target: &Target,
        placement: Placement,
        (wish, shutdown): (PowerWish, Shutdown),
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let record = self.fenced(target)?;
        let kind = OperationKind::Power(wish);
        let power = record.power(now);
        let reached = match wish {
            PowerWish::Running => power == PowerState::Running,
            PowerWish::Stopped => power == PowerState::Stopped,
            PowerWish::Deallocated => power == PowerState::Deallocated,
        };
        let under_way = !record.is_idle(now) && record.operation.mark.kind == kind;
        if under_way || (record.is_idle(now) && reached) {
            return Ok(self.taken_over(target));
        }
        if !record.is_idle(now) {
            return Err(busy(record));
        }
        if wish != PowerWish::Deallocated {
            self.reachable(record)?;
        }
        let allocation = match (wish, power) {
            (PowerWish::Running | PowerWish::Stopped, PowerState::Deallocated) => {
                match self.allocation(record, &placement) {
                    Ok(place) => Some(place),
                    Err(refusal) => {
                        let asked = self.asked_by(&target.uid, &self.models.get(record.model).vm_size);
                        return Err(self.short_of_room(refusal, asked, now));
                    }
                }
            }
            (PowerWish::Running | PowerWish::Stopped | PowerWish::Deallocated, _) => None,
        };
        if let Some((host, claim, draws_on)) = allocation {
            self.machines.entry(target.uid.clone()).and_modify(|record| record.placement = placement);
            self.associate(&target.uid, draws_on);
            self.take_host(&target.uid, host, &claim);
        }
        let drawn = self.draw_power(&target.uid, (wish, shutdown), power, now);
        let mark = Mark { kind, generation: target.generation, model_revision: String::new(), wanted: 0 };
        self.begin(&target.uid, mark, drawn, now);
        Ok(Effect::Changed)
    }

    /// Somebody wishes what is there or under way: an eviction that led to it is his doing from now on.
    fn taken_over(&mut self, target: &Target) -> Effect {
        self.note_generation(target);
        let evicted = self.machines.get_mut(&target.uid).and_then(|record| record.evicted.take());
        if evicted.is_none() {
            return Effect::Unchanged;
        }
        self.save(&target.uid);
        self.announce(&target.uid);
        Effect::Changed
    }

    /// Tells a machine that it is to be deleted, begins to delete it, or deletes it at once where its guest is not asked.
    pub(crate) fn delete(
        &mut self,
        target: &Target,
        shutdown: Shutdown,
        now: Timestamp,
    ) -> Result<(Deletion, Effect), HardwareError> {
        let Some(record) = self.machines.get(&target.uid) else {
            self.end_promise(&target.uid);
            return Ok((Deletion::Gone, Effect::Unchanged));
        };
        if record.is_deleted(now) {
            self.remove(&target.uid, now);
            return Ok((Deletion::Gone, Effect::Changed));
        }
        let under_way = record.operation.mark.kind == OperationKind::Delete && record.generation <= target.generation;
        match (under_way, shutdown) {
            (true, Shutdown::Graceful) => {
                self.note_generation(target);
                return Ok((Deletion::InProgress, Effect::Unchanged));
            }
            (true, Shutdown::Skip) => {}
            (false, Shutdown::Graceful | Shutdown::Skip) => {
                if let Some(noticed) = self.give_notice(target, now)? {
                    return Ok(noticed);
                }
            }
        }
        let power = self.not_stale(target)?.power(now);
        if shutdown == Shutdown::Skip {
            self.remove(&target.uid, now);
            return Ok((Deletion::Gone, Effect::Changed));
        }
        let risk = Risk { boot: Boot::None, extensions: &BTreeSet::new() };
        let drawn = self.draw_for(&target.uid, now, risk, |scheduler| scheduler.delete(power));
        let kind = OperationKind::Delete;
        let mark = Mark { kind, generation: target.generation, model_revision: String::new(), wanted: 0 };
        self.begin(&target.uid, mark, drawn, now);
        let left = self.machines.contains_key(&target.uid);
        Ok((if left { Deletion::InProgress } else { Deletion::Gone }, Effect::Changed))
    }

    /// Draws an operation that leaves a machine's model as it is.
    pub(super) fn draw_for(
        &mut self,
        uid: &str,
        now: Timestamp,
        risk: Risk<'_>,
        course: impl FnOnce(&Scheduler<'_>) -> Course,
    ) -> Drawn {
        let record = self.machines.get(uid).expect("the caller has found the machine").clone();
        let model = Arc::clone(self.models.get(record.model));
        let Risk { boot, extensions } = risk;
        let occasion = Occasion {
            now,
            subject: record.subject(&model),
            number: record.operations,
            boot,
            model: &model,
            extensions,
            guest_runs: GuestRuns::No,
        };
        self.draw(occasion, course)
    }

    /// Takes room and quota for a machine.
    pub(super) fn take_host(&mut self, uid: &str, host: String, claim: &Claim) {
        self.end_promise(uid);
        if self.occupy(uid, &host) == Room::Reserved {
            return;
        }
        let Some(record) = self.machines.get_mut(uid) else {
            return;
        };
        if let Some(region) = self.regions.get_mut(&record.placement.location) {
            region.hosts.take(&host, claim, record.owner.set_uid.as_deref());
            if record.quota.is_counted() {
                region.quota.take(claim);
            }
        }
        record.host = Some(host);
    }

    fn draw_power(
        &mut self,
        uid: &str,
        (wish, shutdown): (PowerWish, Shutdown),
        power: PowerState,
        now: Timestamp,
    ) -> Drawn {
        let record = self.machines.get(uid);
        let waits = |(name, run): (&String, &ExtensionRun)| (*run == ExtensionRun::Waiting).then(|| name.clone());
        let waiting: BTreeSet<String> = match (wish, record) {
            (PowerWish::Running, Some(record)) => record.extensions.iter().filter_map(waits).collect(),
            (PowerWish::Running | PowerWish::Stopped | PowerWish::Deallocated, _) => BTreeSet::new(),
        };
        let boot = if wish == PowerWish::Running { Boot::Boots } else { Boot::None };
        self.draw_for(uid, now, Risk { boot, extensions: &waiting }, |scheduler| match (wish, power) {
            (PowerWish::Running, _) => scheduler.start(),
            (PowerWish::Stopped, PowerState::Deallocated) => scheduler.allocate(),
            (PowerWish::Stopped, _) => match shutdown {
                Shutdown::Graceful => scheduler.stop(),
                Shutdown::Skip => scheduler.cut_power(),
            },
            (PowerWish::Deallocated, _) => scheduler.deallocate(),
        })
    }

    /// A place for a machine that has none, and the reservation that it draws on.
    fn allocation(
        &self,
        record: &Record,
        placement: &Placement,
    ) -> Result<(String, Claim, Option<ReservationKey>), HardwareError> {
        let model = self.models.get(record.model);
        let claim = self.claim(&model.vm_size, priority_of(model), placement)?;
        self.check_market(model, placement)?;
        // A deallocated Spot machine has kept its part of the quota.
        let kept = Some(&claim).filter(|_| model.spot.is_some());
        let draws_on = match &record.reservation {
            // Associated machines count against the quotas, with hardware or without.
            Some(association) => Some(association.key.clone()),
            None => self.reservation_for(model, placement, (&record.owner, None))?,
        };
        match (&record.reservation, &draws_on) {
            (None, None) => self.check_quota(record.quota, &placement.location, &claim, kept)?,
            (None, Some(key)) => self.check_membership(key, &claim, None)?,
            (Some(_), _) => {}
        }
        let set_uid = record.owner.set_uid.as_deref();
        let asks = &record.uid;
        let need = Need { asks, size: &model.vm_size, claim: &claim, placement, set_uid, current: None };
        Ok((self.host_for(draws_on.as_ref(), &need)?, claim, draws_on))
    }

    fn note_instance_number(&mut self, request: &CreateRequest) {
        let Some((set_uid, number)) = request.owner.set_uid.as_ref().zip(request.owner.instance_number) else {
            return;
        };
        let highest = self.instance_numbers.entry(set_uid.clone()).or_insert(i64::MIN);
        if *highest < number {
            *highest = number;
            self.writes.push(Write::InstanceNumber(set_uid.clone(), number));
        }
    }

    /// Puts a new machine into the world, without a host and addresses yet.
    fn insert(&mut self, request: &CreateRequest, image: Image, now: Timestamp) {
        let CreateRequest { target, owner, computer_name, placement, quota, model_revision, model } = request;
        let extensions: BTreeSet<String> = model.extensions.iter().map(|extension| extension.name.clone()).collect();
        let occasion = Occasion {
            now,
            subject: subject_of(request),
            number: 0,
            boot: Boot::Boots,
            model,
            extensions: &extensions,
            guest_runs: GuestRuns::No,
        };
        let Drawn { course, runs } = self.draw(occasion, |scheduler: &Scheduler<'_>| scheduler.create());
        let guest_known_from = match course.guest {
            Guest::RunsFrom(instant) => Some(instant),
            Guest::Undisturbed | Guest::Lost | Guest::Down => None,
        };
        let mark = Mark {
            kind: OperationKind::Create,
            generation: target.generation,
            model_revision: model_revision.clone(),
            wanted: digest_of(model),
        };
        let record = Record {
            uid: target.uid.clone(),
            vm_id: self.guid("vm", &target.uid, "").hyphenated().to_string(),
            owner: owner.clone(),
            generation: target.generation,
            computer_name: computer_name.clone(),
            placement: Placement::clone(placement),
            quota: *quota,
            host: None,
            model_revision: model_revision.clone(),
            model: self.acquire_model(model),
            image,
            created_at: now,
            interfaces: Vec::new(),
            os_disk: self.os_disk_name(&target.uid, &owner.name),
            former_os_disk: None,
            data_disks: self.data_disk_names(&target.uid, &owner.name, model, BTreeMap::new()),
            extensions: runs.by_name,
            guest_known_from,
            runs_from: course.runs_from(),
            joined_at: None,
            answer: None,
            watch: None,
            pools: BTreeMap::new(),
            drain: None,
            operation: compose(mark, now, course, runs.until, runs.failure),
            operations: 1,
            last_operation: None,
            failed_before: 0,
            preemption: None,
            evicted: None,
            termination: None,
            announced: None,
            approved_event: None,
            reservation: None,
            hangs_since: None,
            reached_again_at: None,
            sequence: 0,
        };
        self.machines.insert(target.uid.clone(), Box::new(record));
    }

    /// Name of a fresh OS disk.
    pub(super) fn os_disk_name(&self, uid: &str, owner: &str) -> String {
        format!("{owner}_disk1_{}", self.guid("os disk", uid, "").simple())
    }

    /// Names of the data disks of a model; those that are held keep theirs.
    pub(super) fn data_disk_names(
        &self,
        uid: &str,
        owner: &str,
        model: &VirtualMachineModel,
        mut held: BTreeMap<i32, String>,
    ) -> BTreeMap<i32, String> {
        let name = |lun: i32| {
            let fresh = || format!("{owner}_lun{lun}_{}", self.guid("data disk", uid, &lun.to_string()).simple());
            (lun, held.remove(&lun).unwrap_or_else(fresh))
        };
        model.storage_profile.data_disks.iter().map(|disk| disk.lun).map(name).collect()
    }

    /// A GUID that no other call makes.
    pub(super) fn guid(&self, purpose: &str, uid: &str, part: &str) -> uuid::Uuid {
        self.chance.guid(&[purpose, uid, part, &self.sequence.to_string()])
    }
}

fn need_of<'a>(request: &'a CreateRequest, claim: &'a Claim) -> Need<'a> {
    let CreateRequest { target, owner, computer_name: _, placement, quota: _, model_revision: _, model } = request;
    let set_uid = owner.set_uid.as_deref();
    Need { asks: &target.uid, size: &model.vm_size, claim, placement, set_uid, current: None }
}

fn asked_for(request: &CreateRequest, claim: Claim) -> Asked {
    let CreateRequest { target, owner, computer_name: _, placement, quota: _, model_revision: _, model } = request;
    Asked {
        uid: target.uid.clone(),
        owner: owner.clone(),
        size: model.vm_size.clone(),
        claim,
        placement: placement.clone(),
        current: None,
    }
}
