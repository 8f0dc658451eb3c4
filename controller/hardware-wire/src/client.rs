//! The side that calls: hardware in another process, as [`Hardware`].
//!
//! A connection that breaks is made anew by the next call. While the hardware cannot be reached, calls fail at once and are
//! tried again with backoff; each has a deadline. Whoever listens to changes is told first, after every connection, that
//! anything may have changed.

mod changes;
mod connection;
mod reach;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::{
    Ahead, Catalog, Change, CreateRequest, Deletion, Hardware, HardwareError, Headroom, Inventory, Machine,
    MetricSeries, MetricsQuery, OperationRequest, OsDiskWish, ReservationGroup, ReservationGroupRequest,
    ReservationRequest, Seat, Shutdown, Target, UpdateMethod,
};
use tokio::time::sleep;

use crate::clock::{FollowedClock, Reading};
use crate::rpc::{
    ApproveEvent, CLOCK, Count, Create, Delete, DeleteReservationGroup, Drain, GetCatalog, GetHeadroom, GetMetrics,
    InventoryPart, OBSERVE_ALL, Observe, ObserveReservationGroup, Perform, PutReservationGroup, Reimage,
    ReleaseReservation, ReplaceOsDisk, Reply, Reserve, SetMembership, SetPower, StartAt, Undrain, Update,
};
use connection::{Connection, Parts};
use reach::wait_after;

pub use connection::{OptionsError, RemoteOptions};

/// Models that are compared when machines are read, so that machines of one revision share theirs.
const MODELS_COMPARED: usize = 32;

/// Hardware in another process. Clones share one connection.
#[derive(Clone)]
pub struct RemoteHardware {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    clock: Mutex<FollowedClock>,
}

/// Another controller has called with a higher epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken {
    /// Highest epoch that the hardware has seen.
    pub seen: u64,
}

impl RemoteHardware {
    /// Connects as the leader of an epoch (0: there was no election), and returns when the hardware has let it in and its
    /// clock is known; from then on, every smaller epoch is refused. Waits for hardware that cannot be reached and tells
    /// `waiting` why; what it is told changes with the reason alone.
    pub async fn connect(
        options: &RemoteOptions,
        epoch: u64,
        waiting: impl Fn(&str),
    ) -> Result<Result<Self, Overtaken>, OptionsError> {
        let connection = Connection::new(options, epoch)?;
        let mut failures = 0_u32;
        loop {
            let reason = match introduce(&connection).await {
                Ok(reading) => return Ok(Ok(Self::following(connection, reading))),
                Err(HardwareError::StaleEpoch { epoch: _, seen }) => return Ok(Err(Overtaken { seen })),
                Err(HardwareError::Transient { message }) => message,
                Err(error) => error.to_string(),
            };
            waiting(&reason);
            failures = failures.saturating_add(1);
            sleep(wait_after(failures)).await;
        }
    }

    fn following(connection: Connection, reading: Reading) -> Self {
        let clock = Mutex::new(FollowedClock::new(reading, Instant::now()));
        let inner = Arc::new(Inner { connection, clock });
        drop(tokio::spawn(follow_clock(Arc::downgrade(&inner))));
        Self { inner }
    }
}

/// The first call, which the hardware knows the epoch by, and the first look at its clock.
async fn introduce(connection: &Connection) -> Result<Reading, HardwareError> {
    connection.call(GetCatalog {}).await?;
    connection.follow::<Reading>(CLOCK).await?.next().await
}

/// Follows the clock as long as anybody has the hardware, over whatever breaks or falls silent: it is told once a second.
async fn follow_clock(inner: Weak<Inner>) {
    let mut failures = 0_u32;
    loop {
        let Some(opened) = open_clock(&inner).await else { return };
        if let Ok(mut readings) = opened {
            while let Ok(reading) = readings.next().await {
                failures = 0;
                let Some(inner) = inner.upgrade() else { return };
                let mut clock = inner.clock.lock().unwrap_or_else(PoisonError::into_inner);
                clock.follow(reading, Instant::now());
            }
        }
        failures = failures.saturating_add(1);
        sleep(wait_after(failures)).await;
    }
}

async fn open_clock(inner: &Weak<Inner>) -> Option<Result<Parts<Reading>, HardwareError>> {
    let inner = inner.upgrade()?;
    Some(inner.connection.follow(CLOCK).await)
}

#[async_trait]
impl Hardware for RemoteHardware {
    async fn create(&self, request: CreateRequest) -> Result<Machine, HardwareError> {
        self.inner.connection.call(Create { request }).await
    }

    async fn update(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        method: UpdateMethod,
    ) -> Result<Machine, HardwareError> {
        let model_revision = model_revision.to_owned();
        self.inner.connection.call(Update { target, model_revision, model, method }).await
    }

    async fn set_power(&self, target: Target, wish: PowerWish, shutdown: Shutdown) -> Result<Machine, HardwareError> {
        self.inner.connection.call(SetPower { target, wish, shutdown }).await
    }

    async fn start_at(&self, target: Target, seat: Seat) -> Result<Machine, HardwareError> {
        self.inner.connection.call(StartAt { target, seat }).await
    }

    async fn set_membership(&self, target: Target, set_uid: Option<&str>) -> Result<Machine, HardwareError> {
        let set_uid = set_uid.map(str::to_owned);
        self.inner.connection.call(SetMembership { target, set_uid }).await
    }

    async fn count(&self, target: Target) -> Result<Machine, HardwareError> {
        self.inner.connection.call(Count { target }).await
    }

    async fn perform(&self, target: Target, operation: OperationRequest) -> Result<Machine, HardwareError> {
        self.inner.connection.call(Perform { target, operation }).await
    }

    async fn reimage(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
    ) -> Result<Machine, HardwareError> {
        let model_revision = model_revision.to_owned();
        self.inner.connection.call(Reimage { target, model_revision, model }).await
    }

    async fn replace_os_disk(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        wish: OsDiskWish,
    ) -> Result<Machine, HardwareError> {
        let model_revision = model_revision.to_owned();
        self.inner.connection.call(ReplaceOsDisk { target, model_revision, model, wish }).await
    }

    async fn drain(&self, target: Target, ahead: Option<Ahead>) -> Result<Machine, HardwareError> {
        self.inner.connection.call(Drain { target, ahead }).await
    }

    async fn undrain(&self, target: Target) -> Result<Machine, HardwareError> {
        self.inner.connection.call(Undrain { target }).await
    }

    async fn approve_event(&self, target: Target, event_id: Option<&str>) -> Result<Machine, HardwareError> {
        self.inner.connection.call(ApproveEvent { target, event_id: event_id.map(str::to_owned) }).await
    }

    async fn delete(&self, target: Target, shutdown: Shutdown) -> Result<Deletion, HardwareError> {
        self.inner.connection.call(Delete { target, shutdown }).await
    }

    async fn observe(&self, uid: &str) -> Result<Option<Machine>, HardwareError> {
        self.inner.connection.call(Observe { uid: uid.to_owned() }).await
    }

    async fn observe_all(&self) -> Result<Inventory, HardwareError> {
        let mut parts = self.inner.connection.follow::<Reply<InventoryPart>>(OBSERVE_ALL).await?;
        let mut inventory = Inventory::default();
        let mut models = Models::default();
        loop {
            match parts.next().await?? {
                InventoryPart::HighestInstanceNumbers(numbers) => inventory.highest_instance_numbers = numbers,
                InventoryPart::Machine(machine) => {
                    let mut machine = *machine;
                    models.share(&mut machine.model);
                    inventory.machines.insert(machine.uid.clone(), machine);
                }
                InventoryPart::End => return Ok(inventory),
            }
        }
    }

    async fn put_reservation_group(
        &self,
        target: Target,
        request: ReservationGroupRequest,
    ) -> Result<(), HardwareError> {
        self.inner.connection.call(PutReservationGroup { target, request }).await
    }

    async fn reserve(&self, group: Target, request: ReservationRequest) -> Result<(), HardwareError> {
        self.inner.connection.call(Reserve { group, request }).await
    }

    async fn release_reservation(&self, group: Target, name: &str) -> Result<Deletion, HardwareError> {
        self.inner.connection.call(ReleaseReservation { group, name: name.to_owned() }).await
    }

    async fn delete_reservation_group(&self, target: Target) -> Result<Deletion, HardwareError> {
        self.inner.connection.call(DeleteReservationGroup { target }).await
    }

    async fn observe_reservation_group(&self, uid: &str) -> Result<Option<ReservationGroup>, HardwareError> {
        self.inner.connection.call(ObserveReservationGroup { uid: uid.to_owned() }).await
    }

    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricSeries>, HardwareError> {
        self.inner.connection.call(GetMetrics { query: query.clone() }).await
    }

    /// Never ends: a connection that breaks is made anew, and tells first that anything may have changed.
    fn changes(&self) -> BoxStream<'static, Change> {
        changes::over(Arc::clone(&self.inner))
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, HardwareError> {
        self.inner.connection.call(GetCatalog {}).await.map(Arc::new)
    }

    async fn headroom(
        &self,
        location: &str,
        size: &str,
        priority: Priority,
    ) -> Result<Option<Headroom>, HardwareError> {
        let (location, size) = (location.to_owned(), size.to_owned());
        self.inner.connection.call(GetHeadroom { location, size, priority }).await
    }

    /// As the clock was told last, gone on since then by the clock of this process.
    fn now(&self) -> Timestamp {
        self.inner.clock.lock().unwrap_or_else(PoisonError::into_inner).show(Instant::now())
    }

    fn wall_duration(&self, scenario: Duration) -> Duration {
        self.inner.clock.lock().unwrap_or_else(PoisonError::into_inner).wall_duration(scenario)
    }
}

/// Models of machines that are read one after another, each of them once in memory.
#[derive(Default)]
struct Models {
    latest: Vec<Arc<VirtualMachineModel>>,
}

impl Models {
    fn share(&mut self, model: &mut Arc<VirtualMachineModel>) {
        if let Some(known) = self.latest.iter().rev().find(|known| *known == model) {
            *model = Arc::clone(known);
            return;
        }
        if self.latest.len() == MODELS_COMPARED {
            self.latest.remove(0);
        }
        self.latest.push(Arc::clone(model));
    }
}

#[cfg(test)]
mod tests;
