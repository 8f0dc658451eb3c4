//! The hardware with a clock at its door: every call is measured, and is a span of the pass that made it.

use std::sync::Arc;
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
use tracing::{Instrument, debug_span};

use crate::metrics::{Ending, Metrics};

/// See the module.
pub struct Metered {
    hardware: Arc<dyn Hardware>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// What `hardware` answers, measured into `metrics`.
    pub const fn new(hardware: Arc<dyn Hardware>, metrics: Arc<Metrics>) -> Self {
        Self { hardware, metrics }
    }

    async fn measured<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, HardwareError>>,
    ) -> Result<T, HardwareError> {
        let begun = Instant::now();
        let answer = answer.instrument(debug_span!("hardware", call)).await;
        let ending = if answer.is_ok() { Ending::Success } else { Ending::Failure };
        self.metrics.count_call(call, ending, begun.elapsed());
        answer
    }
}

#[async_trait]
impl Hardware for Metered {
    async fn create(&self, request: CreateRequest) -> Result<Machine, HardwareError> {
        self.measured("create", self.hardware.create(request)).await
    }

    async fn update(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        method: UpdateMethod,
    ) -> Result<Machine, HardwareError> {
        self.measured("update", self.hardware.update(target, model_revision, model, method)).await
    }

    async fn set_power(&self, target: Target, wish: PowerWish, shutdown: Shutdown) -> Result<Machine, HardwareError> {
        self.measured("set_power", self.hardware.set_power(target, wish, shutdown)).await
    }

    async fn start_at(&self, target: Target, seat: Seat) -> Result<Machine, HardwareError> {
        self.measured("start_at", self.hardware.start_at(target, seat)).await
    }

    async fn set_membership(&self, target: Target, set_uid: Option<&str>) -> Result<Machine, HardwareError> {
        self.measured("set_membership", self.hardware.set_membership(target, set_uid)).await
    }

    async fn count(&self, target: Target) -> Result<Machine, HardwareError> {
        self.measured("count", self.hardware.count(target)).await
    }

    async fn perform(&self, target: Target, operation: OperationRequest) -> Result<Machine, HardwareError> {
        self.measured("perform", self.hardware.perform(target, operation)).await
    }

    async fn reimage(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
    ) -> Result<Machine, HardwareError> {
        self.measured("reimage", self.hardware.reimage(target, model_revision, model)).await
    }

    async fn replace_os_disk(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        wish: OsDiskWish,
    ) -> Result<Machine, HardwareError> {
        self.measured("replace_os_disk", self.hardware.replace_os_disk(target, model_revision, model, wish)).await
    }

    async fn drain(&self, target: Target, ahead: Option<Ahead>) -> Result<Machine, HardwareError> {
        self.measured("drain", self.hardware.drain(target, ahead)).await
    }

    async fn undrain(&self, target: Target) -> Result<Machine, HardwareError> {
        self.measured("undrain", self.hardware.undrain(target)).await
    }

    async fn approve_event(&self, target: Target, event_id: Option<&str>) -> Result<Machine, HardwareError> {
        self.measured("approve_event", self.hardware.approve_event(target, event_id)).await
    }

    async fn delete(&self, target: Target, shutdown: Shutdown) -> Result<Deletion, HardwareError> {
        self.measured("delete", self.hardware.delete(target, shutdown)).await
    }

    async fn observe(&self, uid: &str) -> Result<Option<Machine>, HardwareError> {
        self.measured("observe", self.hardware.observe(uid)).await
    }

    async fn observe_all(&self) -> Result<Inventory, HardwareError> {
        self.measured("observe_all", self.hardware.observe_all()).await
    }

    async fn put_reservation_group(
        &self,
        target: Target,
        request: ReservationGroupRequest,
    ) -> Result<(), HardwareError> {
        self.measured("put_reservation_group", self.hardware.put_reservation_group(target, request)).await
    }

    async fn reserve(&self, group: Target, request: ReservationRequest) -> Result<(), HardwareError> {
        self.measured("reserve", self.hardware.reserve(group, request)).await
    }

    async fn release_reservation(&self, group: Target, name: &str) -> Result<Deletion, HardwareError> {
        self.measured("release_reservation", self.hardware.release_reservation(group, name)).await
    }

    async fn delete_reservation_group(&self, target: Target) -> Result<Deletion, HardwareError> {
        self.measured("delete_reservation_group", self.hardware.delete_reservation_group(target)).await
    }

    async fn observe_reservation_group(&self, uid: &str) -> Result<Option<ReservationGroup>, HardwareError> {
        self.measured("observe_reservation_group", self.hardware.observe_reservation_group(uid)).await
    }

    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricSeries>, HardwareError> {
        self.measured("metrics", self.hardware.metrics(query)).await
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.hardware.changes()
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, HardwareError> {
        self.measured("catalog", self.hardware.catalog()).await
    }

    async fn headroom(
        &self,
        location: &str,
        size: &str,
        priority: Priority,
    ) -> Result<Option<Headroom>, HardwareError> {
        self.measured("headroom", self.hardware.headroom(location, size, priority)).await
    }

    fn now(&self) -> Timestamp {
        self.hardware.now()
    }

    fn wall_duration(&self, scenario: Duration) -> Duration {
        self.hardware.wall_duration(scenario)
    }
}
