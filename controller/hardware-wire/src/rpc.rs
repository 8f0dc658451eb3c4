//! The calls that travel: one for each method of [`Hardware`] that asks once and is answered once, and three streams.
//!
//! Each line below is a call: its name, what travels, what is answered, and which method it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::{
    Ahead, Catalog, CreateRequest, Deletion, Hardware, HardwareError, Headroom, Machine, MetricSeries, MetricsQuery,
    OperationRequest, OsDiskWish, ReservationGroup, ReservationGroupRequest, ReservationRequest, Seat, Shutdown,
    Target, UpdateMethod,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::server::Exchange;

/// A call that is answered once.
#[async_trait]
pub trait Rpc: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name, the last part of its path.
    const NAME: &'static str;
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Makes the call.
    async fn make(self, hardware: &dyn Hardware) -> Result<Self::Answer, HardwareError>;
}

/// What a server sends for a call: an answer, or why the hardware refused it.
pub type Reply<T> = Result<T, HardwareError>;

macro_rules! rpcs {
    ($hardware:ident, $($name:ident { $($field:ident: $kind:ty),* } -> $answer:ty = $call:expr;)*) => {
        $(
            /// The call of that name of [`Hardware`].
            #[derive(Debug, Serialize, Deserialize)]
            pub struct $name {
                $(pub(crate) $field: $kind,)*
            }

            #[async_trait]
            impl Rpc for $name {
                const NAME: &'static str = stringify!($name);
                type Answer = $answer;

                async fn make(self, $hardware: &dyn Hardware) -> Result<$answer, HardwareError> {
                    let Self { $($field),* } = self;
                    $call.await
                }
            }
        )*

        /// Answers the call of that name; none where there is no such call.
        pub(crate) async fn answer(name: &str, exchange: Exchange) -> Option<http::Response<tonic::body::Body>> {
            match name {
                $(stringify!($name) => Some(exchange.unary::<$name>().await),)*
                _ => None,
            }
        }
    };
}

rpcs! {
    hardware,
    Create { request: CreateRequest } -> Machine = hardware.create(request);
    Update { target: Target, model_revision: String, model: Arc<VirtualMachineModel>, method: UpdateMethod } -> Machine
        = hardware.update(target, &model_revision, model, method);
    SetPower { target: Target, wish: PowerWish, shutdown: Shutdown } -> Machine
        = hardware.set_power(target, wish, shutdown);
    StartAt { target: Target, seat: Seat } -> Machine = hardware.start_at(target, seat);
    SetMembership { target: Target, set_uid: Option<String> } -> Machine
        = hardware.set_membership(target, set_uid.as_deref());
    Count { target: Target } -> Machine = hardware.count(target);
    Perform { target: Target, operation: OperationRequest } -> Machine = hardware.perform(target, operation);
    Reimage { target: Target, model_revision: String, model: Arc<VirtualMachineModel> } -> Machine
        = hardware.reimage(target, &model_revision, model);
    ReplaceOsDisk { target: Target, model_revision: String, model: Arc<VirtualMachineModel>, wish: OsDiskWish } -> Machine
        = hardware.replace_os_disk(target, &model_revision, model, wish);
    Drain { target: Target, ahead: Option<Ahead> } -> Machine = hardware.drain(target, ahead);
    Undrain { target: Target } -> Machine = hardware.undrain(target);
    ApproveEvent { target: Target, event_id: Option<String> } -> Machine
        = hardware.approve_event(target, event_id.as_deref());
    Delete { target: Target, shutdown: Shutdown } -> Deletion = hardware.delete(target, shutdown);
    Observe { uid: String } -> Option<Machine> = hardware.observe(&uid);
    PutReservationGroup { target: Target, request: ReservationGroupRequest } -> ()
        = hardware.put_reservation_group(target, request);
    Reserve { group: Target, request: ReservationRequest } -> () = hardware.reserve(group, request);
    ReleaseReservation { group: Target, name: String } -> Deletion = hardware.release_reservation(group, &name);
    DeleteReservationGroup { target: Target } -> Deletion = hardware.delete_reservation_group(target);
    ObserveReservationGroup { uid: String } -> Option<ReservationGroup> = hardware.observe_reservation_group(&uid);
    GetMetrics { query: MetricsQuery } -> Vec<MetricSeries> = hardware.metrics(&query);
    GetCatalog {} -> Catalog = async { hardware.catalog().await.map(Arc::unwrap_or_clone) };
    GetHeadroom { location: String, size: String, priority: Priority } -> Option<Headroom>
        = hardware.headroom(&location, &size, priority);
}

/// The stream of everything there is, one part a message: so many machines fit no single one.
pub(crate) const OBSERVE_ALL: &str = "ObserveAll";
/// The stream of what changes.
pub(crate) const CHANGES: &str = "Changes";
/// The stream of what the scenario clock shows.
pub(crate) const CLOCK: &str = "Clock";

/// Asks for a stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listen {}

/// A part of what [`Hardware::observe_all`] answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum InventoryPart {
    /// Numbers of instances; comes first.
    HighestInstanceNumbers(BTreeMap<String, i64>),
    /// A machine.
    Machine(Box<Machine>),
    /// That was all: a stream that ends without it has been cut.
    End,
}
