//! The simulation as hardware: each call checked against the scripted faults, done under the lock, journalled, and
//! answered once it is durable.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerWish;

use super::Simulation;
use super::fault::Verdict;
use super::fence::admit;
use super::journal::{Call, JournalEntry, Outcome};
use super::store::Write;
use super::world::{About, Effect, Wanted, World};
use crate::catalog::Catalog;
use crate::epoch;
use crate::error::HardwareError;
use crate::machine::{Change, Inventory, Machine, QuotaRule, Seat};
use crate::{
    Ahead, CreateRequest, Deletion, Hardware, Headroom, MetricSeries, MetricsQuery, OperationAction, OperationRequest,
    OsDiskWish, ReimagedDisks, ReservationGroup, ReservationGroupRequest, ReservationRequest, Shutdown, Target,
    UpdateMethod,
};

/// What the journal says of a call before its outcome is known.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) uid: String,
    pub(super) owner: String,
    pub(super) generation: Option<i64>,
    pub(super) detail: String,
}

#[async_trait]
impl Hardware for Simulation {
    async fn create(&self, request: CreateRequest) -> Result<Machine, HardwareError> {
        let CreateRequest { target, owner, computer_name: _, placement, quota, model_revision, model } = &request;
        let zone = placement.zone.as_deref().unwrap_or("any");
        let exempt = match quota {
            QuotaRule::Counted => "",
            QuotaRule::Exempt => ", exempt from quota",
        };
        let location = &placement.location;
        let detail = format!("{} in {location} zone {zone} revision {model_revision}{exempt}", model.vm_size);
        let draft = Draft { owner: owner.to_string(), ..draft(target, detail) };
        self.call(Call::Create, About::Request(&request), draft, |world, now| {
            let effect = world.create(&request, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn update(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        method: UpdateMethod,
    ) -> Result<Machine, HardwareError> {
        let draft = draft(&target, format!("{method:?} to revision {model_revision}"));
        self.call(Call::Update, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.update(&target, Wanted { model_revision, model: &model }, method, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn set_power(&self, target: Target, wish: PowerWish, shutdown: Shutdown) -> Result<Machine, HardwareError> {
        let detail = match shutdown {
            Shutdown::Graceful => format!("{wish:?}"),
            Shutdown::Skip => format!("{wish:?} without shutdown"),
        };
        let draft = draft(&target, detail);
        self.call(Call::SetPower, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.set_power(&target, wish, shutdown, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn start_at(&self, target: Target, seat: Seat) -> Result<Machine, HardwareError> {
        let draft = draft(&target, format!("{:?}", PowerWish::Running));
        self.call(Call::SetPower, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.start_at(&target, &seat, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn count(&self, target: Target) -> Result<Machine, HardwareError> {
        let draft = draft(&target, String::new());
        self.call(Call::Count, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.count_in(&target)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn set_membership(&self, target: Target, set_uid: Option<&str>) -> Result<Machine, HardwareError> {
        let draft = draft(&target, set_uid.map_or_else(|| "of none".to_owned(), |set_uid| format!("of {set_uid}")));
        self.call(Call::SetMembership, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.set_membership(&target, set_uid, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn reimage(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
    ) -> Result<Machine, HardwareError> {
        let draft = draft(&target, format!("to revision {model_revision}"));
        self.call(Call::Reimage, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.reimage(&target, Wanted { model_revision, model: &model }, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn replace_os_disk(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        wish: OsDiskWish,
    ) -> Result<Machine, HardwareError> {
        let detail = match &wish {
            OsDiskWish::Fresh { version, after } => format!("fresh at {version} after {after}"),
            OsDiskWish::Former { disk } => format!("former {disk}"),
        };
        let draft = draft(&target, format!("{detail}, revision {model_revision}"));
        self.call(Call::ReplaceOsDisk, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.replace_os_disk(&target, Wanted { model_revision, model: &model }, &wish, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn perform(&self, target: Target, operation: OperationRequest) -> Result<Machine, HardwareError> {
        let what = match &operation.action {
            OperationAction::Restart(EventApproval::Automatic) => "restart",
            OperationAction::Restart(EventApproval::Awaited) => "restart after its notice",
            OperationAction::Redeploy(EventApproval::Automatic) => "redeploy",
            OperationAction::Redeploy(EventApproval::Awaited) => "redeploy after its notice",
            OperationAction::SimulateEviction => "simulate eviction",
            OperationAction::Reimage { disks: ReimagedDisks::Os, .. } => "reimage",
            OperationAction::Reimage { disks: ReimagedDisks::All, .. } => "reimage all",
        };
        let draft = draft(&target, format!("{what} for operation {}", operation.uid));
        self.call(Call::Perform, About::Machine(&target.uid), draft, |world, now| {
            let effect = world.perform(&target, &operation, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn drain(&self, target: Target, ahead: Option<Ahead>) -> Result<Machine, HardwareError> {
        self.call(Call::Drain, About::Machine(&target.uid), draft(&target, String::new()), |world, now| {
            let effect = world.drain(&target, ahead.as_ref(), now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn undrain(&self, target: Target) -> Result<Machine, HardwareError> {
        self.call(Call::Undrain, About::Machine(&target.uid), draft(&target, String::new()), |world, now| {
            let effect = world.undrain(&target, now)?;
            Ok((world.answer(&target.uid, now)?, effect))
        })
        .await
    }

    async fn approve_event(&self, target: Target, event_id: Option<&str>) -> Result<Machine, HardwareError> {
        let draft = draft(&target, event_id.unwrap_or("every event").to_owned());
        self.call(Call::ApproveEvent, About::Machine(&target.uid), draft, |world, now| {
            let before = world.answer(&target.uid, now)?;
            let effect = world.approve(&target, event_id, now)?;
            // A machine that could go in no time is told as it was.
            Ok((world.answer(&target.uid, now).unwrap_or(before), effect))
        })
        .await
    }

    async fn delete(&self, target: Target, shutdown: Shutdown) -> Result<Deletion, HardwareError> {
        let detail = match shutdown {
            Shutdown::Graceful => "",
            Shutdown::Skip => "without shutdown",
        };
        let draft = draft(&target, detail.to_owned());
        let delete = |world: &mut World, now| world.delete(&target, shutdown, now);
        self.call(Call::Delete, About::Machine(&target.uid), draft, delete).await
    }

    async fn observe(&self, uid: &str) -> Result<Option<Machine>, HardwareError> {
        self.read(Call::Observe, About::Machine(uid), |world, now| {
            let durable_from = world.record(uid).map_or(world.sequence(), |record| record.sequence);
            (world.view(uid, now), durable_from)
        })
        .await
    }

    async fn observe_all(&self) -> Result<Inventory, HardwareError> {
        self.read(Call::ObserveAll, About::Nothing, |world, now| (world.inventory(now), world.sequence())).await
    }

    async fn put_reservation_group(
        &self,
        target: Target,
        request: ReservationGroupRequest,
    ) -> Result<(), HardwareError> {
        let ReservationGroupRequest { namespace, name, location, zones, shared_with } = &request;
        let zones = if zones.is_empty() { "none".to_owned() } else { zones.join(", ") };
        let detail = format!("in {location} zones {zones} shared with {} namespaces", shared_with.len());
        let owner = format!("{namespace}/CapacityReservationGroup/{name}");
        let draft = Draft { owner, ..draft(&target, detail) };
        self.call(Call::PutReservationGroup, About::Machine(&target.uid), draft, |world, _| {
            Ok(((), world.put_reservation_group(&target, request)?))
        })
        .await
    }

    async fn reserve(&self, group: Target, request: ReservationRequest) -> Result<(), HardwareError> {
        let ReservationRequest { name, vm_size, zone, capacity } = &request;
        let zone = zone.as_deref().unwrap_or("any");
        let draft = draft(&group, format!("{name}: {capacity} x {vm_size} in zone {zone}"));
        self.call(Call::Reserve, About::Machine(&group.uid), draft, |world, now| {
            Ok(((), world.reserve(&group, &request, now)?))
        })
        .await
    }

    async fn release_reservation(&self, group: Target, name: &str) -> Result<Deletion, HardwareError> {
        let draft = draft(&group, name.to_owned());
        self.call(Call::ReleaseReservation, About::Machine(&group.uid), draft, |world, _| {
            world.release_reservation(&group, name)
        })
        .await
    }

    async fn delete_reservation_group(&self, target: Target) -> Result<Deletion, HardwareError> {
        let draft = draft(&target, String::new());
        self.call(Call::DeleteReservationGroup, About::Machine(&target.uid), draft, |world, _| {
            world.delete_reservation_group(&target)
        })
        .await
    }

    async fn observe_reservation_group(&self, uid: &str) -> Result<Option<ReservationGroup>, HardwareError> {
        self.read(Call::ObserveReservationGroup, About::Machine(uid), |world, _| {
            let durable_from = world.groups().get(uid).map_or(world.sequence(), |group| group.sequence);
            (world.group_view(uid), durable_from)
        })
        .await
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.listen()
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, HardwareError> {
        self.read(Call::Catalog, About::Nothing, |world, _| (world.catalog(), world.sequence())).await
    }

    async fn headroom(
        &self,
        location: &str,
        size: &str,
        priority: Priority,
    ) -> Result<Option<Headroom>, HardwareError> {
        let read = |world: &World| (world.headroom(location, size, priority), world.sequence());
        self.read(Call::Headroom, About::Nothing, |world, _| read(world)).await
    }

    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricSeries>, HardwareError> {
        self.read(Call::Metrics, About::Nothing, |world, now| (world.metrics(query, now), world.sequence())).await
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn wall_duration(&self, scenario: Duration) -> Duration {
        self.inner.clock.wall_duration(scenario)
    }
}

impl Simulation {
    /// Makes a call that may change something, and returns once it is durable.
    async fn call<T: Send>(
        &self,
        call: Call,
        about: About<'_>,
        draft: Draft,
        work: impl FnOnce(&mut World, Timestamp) -> Result<(T, Effect), HardwareError> + Send,
    ) -> Result<T, HardwareError> {
        let inner = &*self.inner;
        let _permit = inner.in_flight.acquire().await.expect("the semaphore is never closed");
        inner.store.check()?;
        let (answer, sequence) = {
            let (mut world, now) = inner.settled();
            let next_before = world.next_event_at();
            // Before the call: afterwards there may be no machine any more.
            let owner = world.described_owner(&draft.uid);
            let draft = if draft.owner.is_empty() { Draft { owner, ..draft } } else { draft };
            let admitted = admit(&mut world, now);
            let verdict = if admitted.is_ok() { world.verdict(call, about) } else { Verdict::Pass };
            world.next_sequence();
            let done = match admitted.err().or_else(|| refusal(verdict)) {
                Some(refusal) => Err(refusal),
                None => work(&mut world, now),
            };
            let (answer, outcome) = match (verdict, done) {
                (Verdict::LoseAnswer, Ok(_)) => (Err(lost()), Outcome::AnswerLost),
                (_, Ok((value, Effect::Changed))) => (Ok(value), Outcome::Accepted),
                (_, Ok((value, Effect::Unchanged))) => (Ok(value), Outcome::Unchanged),
                (_, Err(error)) => {
                    let refused = Outcome::Refused { code: error.code().to_owned(), message: error.to_string() };
                    (Err(error), refused)
                }
            };
            journal(&mut world, call, draft, outcome, now);
            inner.hand_over(&mut world, next_before);
            (answer, world.sequence())
        };
        inner.store.committed(sequence).await?;
        answer
    }

    /// Makes a call that only reads, and returns what it read once that is durable.
    async fn read<T: Default + Send>(
        &self,
        call: Call,
        about: About<'_>,
        work: impl FnOnce(&World, Timestamp) -> (T, u64) + Send,
    ) -> Result<T, HardwareError> {
        let inner = &*self.inner;
        let (answer, sequence) = {
            let (mut world, now) = inner.settled();
            let next_before = world.next_event_at();
            let admitted = admit(&mut world, now);
            let verdict = if admitted.is_ok() { world.verdict(call, about) } else { Verdict::Pass };
            let raised = admitted.as_ref().copied().unwrap_or_default();
            let answer = match (admitted.err().or_else(|| refusal(verdict)), verdict) {
                (Some(refusal), _) => Err(refusal),
                (None, Verdict::LoseAnswer) => Err(lost()),
                (None, Verdict::Empty) => Ok((T::default(), 0)),
                (None, Verdict::Pass | Verdict::Throttle(_) | Verdict::Fail) => Ok(work(&world, now)),
            };
            let count = world.count(call);
            match &answer {
                Ok(_) => count.accepted += 1,
                Err(_) => count.failed += 1,
            }
            inner.hand_over(&mut world, next_before);
            match answer {
                Ok((value, sequence)) => (Ok(value), sequence.max(raised)),
                Err(error) => (Err(error), raised),
            }
        };
        inner.store.committed(sequence).await?;
        answer
    }
}

/// Counts a call, and collects its journal entry as a write.
pub(super) fn journal(world: &mut World, call: Call, draft: Draft, outcome: Outcome, now: Timestamp) {
    let count = world.count(call);
    match &outcome {
        Outcome::Accepted => count.accepted += 1,
        Outcome::Unchanged => count.unchanged += 1,
        Outcome::Refused { .. } | Outcome::AnswerLost => count.failed += 1,
    }
    let Draft { uid, owner, generation, detail } = draft;
    let owner = if owner.is_empty() { world.described_owner(&uid) } else { owner };
    let entry = JournalEntry {
        sequence: world.sequence(),
        scenario_time: now,
        wall_time: Timestamp::now(),
        call,
        uid,
        owner,
        generation,
        epoch: epoch::current().filter(|epoch| *epoch > 0),
        detail,
        outcome,
    };
    world.log(Write::Journal(Box::new(entry)));
}

fn draft(target: &Target, detail: String) -> Draft {
    Draft { uid: target.uid.clone(), owner: String::new(), generation: Some(target.generation), detail }
}

fn refusal(verdict: Verdict) -> Option<HardwareError> {
    match verdict {
        Verdict::Pass | Verdict::LoseAnswer | Verdict::Empty => None,
        Verdict::Throttle(wait) => {
            Some(HardwareError::Throttled { retry_after: Duration::try_from(wait).unwrap_or_default() })
        }
        Verdict::Fail => Some(HardwareError::Transient { message: "the call failed on request".to_owned() }),
    }
}

fn lost() -> HardwareError {
    HardwareError::Transient { message: "the answer was lost on request".to_owned() }
}
