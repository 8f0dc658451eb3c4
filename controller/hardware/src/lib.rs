//! What a VM host can do: [`Hardware`], the door through which the controller reaches machines, and
//! [`sim`], a simulated region behind it.
//!
//! The door speaks the vocabulary of the API types (`scaleset-crds`) and knows nothing of Kubernetes objects beyond
//! the reference that it is given and gives back. It decides nothing about sets.
//!
//! Guarantees of every implementation:
//! - calls are idempotent by the machine's uid: the same call twice has the effect of one;
//! - calls are fenced by the generation of the object they were planned from: a call with a smaller generation than
//!   the machine has seen answers [`HardwareError::Stale`] and changes nothing;
//! - calls are fenced by the epoch of the leader that makes them ([`epoch`]): once a later leader has called, an earlier
//!   one is answered [`HardwareError::StaleEpoch`], and nothing is changed;
//! - a call either takes effect as a whole or not at all, and a machine is durable once the call has returned;
//! - a call returns when the operation is accepted; its progress is seen by [`Hardware::observe`] and announced by
//!   [`Hardware::changes`].

pub mod catalog;
pub mod epoch;
pub mod error;
pub mod headroom;
pub mod machine;
pub mod metrics;
pub mod reservation;
pub mod sim;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerWish;
use serde::{Deserialize, Serialize};

pub use catalog::Catalog;
pub use error::HardwareError;
pub use headroom::Headroom;
pub use machine::{
    ApplicationHealthReport, Change, Disruption, DisruptionCause, DisruptionNotice, Drain, Eviction, ExtensionState,
    Health, Inventory, Machine, NoticeStage, Owner, Placement, PoolMember, PreemptNotice, Provisioning, QuotaRule,
    Seat, TerminateNotice,
};
pub use metrics::{Among, Grain, MetricSeries, MetricsQuery, SeriesQuery};
pub use reservation::{
    AssociatedMachine, MachineReservation, Reservation, ReservationGroup, ReservationGroupRequest,
    ReservationProvisioning, ReservationRequest,
};

/// What to create. The same `uid` again returns the machine that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateRequest {
    /// Which object asks, and at which generation.
    pub target: Target,
    /// The object that the machine belongs to.
    pub owner: Owner,
    /// Name that the guest calls itself.
    pub computer_name: String,
    /// Where the machine goes.
    pub placement: Placement,
    /// Whether it counts against the quotas.
    pub quota: QuotaRule,
    /// Name of the model revision that `model` is.
    pub model_revision: String,
    /// What the machine is to be.
    pub model: Arc<VirtualMachineModel>,
}

/// The machine that a call is about, fenced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Uid of the Kubernetes object, which is the machine's key.
    pub uid: String,
    /// `metadata.generation` of that object when the call was planned.
    pub generation: i64,
}

/// How far [`Hardware::update`] may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateMethod {
    /// The running machine is not disturbed: network, extensions, data disks (add, remove, grow) and tags are applied.
    Online,
    /// The machine is restarted: the size too is applied.
    Restart,
}

/// How a guest is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// It is asked to shut down.
    Graceful,
    /// Its power is cut.
    Skip,
}

/// What a person asked for once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationRequest {
    /// Uid of the request: under it, the operation is done once on a machine.
    pub uid: String,
    /// What is to be done.
    pub action: OperationAction,
}

/// What an operation does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum OperationAction {
    /// Restart the guest of a running machine, on the same host.
    Restart(EventApproval),
    /// Move a machine that holds hardware to another host of its place. A stopped one stays stopped.
    Redeploy(EventApproval),
    /// Evict a Spot machine as if its capacity were needed: it is told, and goes after the notice.
    SimulateEviction,
    /// Replace disks by fresh ones and apply the whole model. Id and addresses stay.
    Reimage {
        /// Which disks.
        disks: ReimagedDisks,
        /// Name of the model revision that `model` is.
        model_revision: String,
        /// What the machine is to be.
        model: Arc<VirtualMachineModel>,
    },
}

/// Which disks a reimage replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReimagedDisks {
    /// The OS disk.
    Os,
    /// The OS disk and the data disks.
    All,
}

/// Which OS disk a machine is to have. Disks are named, so that the same call again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OsDiskWish {
    /// A fresh one of exactly this version of the model's image, in the place of the disk `after`. A machine whose OS disk
    /// is another one is left as it is. The disk that goes is kept as the former one: at most one for each machine, until
    /// its OS disk is replaced the next time or the machine is deleted.
    Fresh {
        /// Version of the image.
        version: String,
        /// Name of the disk that it replaces.
        after: String,
    },
    /// The former one of that name again, as it was, its image and its credentials included. The disk that it replaces is
    /// gone. A machine that has it is left as it is.
    Former {
        /// Name of the disk.
        disk: String,
    },
}

/// What a machine is drained for ([`Hardware::drain`]), where that can be refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ahead {
    /// [`Hardware::update`] with a restart.
    Update {
        /// What the machine is to be.
        model: Arc<VirtualMachineModel>,
    },
    /// [`Hardware::reimage`], or the same at the request of a person.
    Reimage {
        /// What the machine is to be.
        model: Arc<VirtualMachineModel>,
    },
    /// [`Hardware::replace_os_disk`].
    ReplaceOsDisk {
        /// What the machine is to be.
        model: Arc<VirtualMachineModel>,
        /// The disk that it is to have.
        wish: OsDiskWish,
    },
    /// [`OperationAction::Redeploy`].
    Redeploy,
}

/// What became of [`Hardware::delete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deletion {
    /// Accepted, or announced to the machine; it still holds its place.
    InProgress,
    /// There is no such machine (any more).
    Gone,
}

/// A VM host, or a region of them.
#[async_trait]
pub trait Hardware: Send + Sync {
    /// Allocates a place and creates the machine there; it then starts by itself.
    async fn create(&self, request: CreateRequest) -> Result<Machine, HardwareError>;

    /// Applies what `method` allows of `model` to an existing machine and records `model_revision` as its revision.
    /// What needs a reimage (image, OS disk, credentials) stays as it was.
    async fn update(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        method: UpdateMethod,
    ) -> Result<Machine, HardwareError>;

    /// Starts, stops (hardware kept) or deallocates (hardware released) the machine. `shutdown` says how a running guest
    /// is stopped.
    async fn set_power(&self, target: Target, wish: PowerWish, shutdown: Shutdown) -> Result<Machine, HardwareError>;

    /// Starts the machine, as [`Hardware::set_power`] does. One that is deallocated gets its hardware on `seat` of its zone,
    /// in the same call: it is never seen at its old place. One that holds hardware starts where it is.
    async fn start_at(&self, target: Target, seat: Seat) -> Result<Machine, HardwareError>;

    /// Counts a machine that was created exempt against the quotas from now on, also where that is more than a limit: what
    /// runs is not refused, what comes after it is. A machine that counts already is left as it is.
    async fn count(&self, target: Target) -> Result<Machine, HardwareError>;

    /// Says of which set, by uid, the machine is a member from now on, or that it is of none, whatever else it is doing,
    /// until a notice of its deletion is out. The machine itself is not touched. From now on it is measured with that set's
    /// machines ([`Hardware::metrics`]), maintained and spread with them, and its deletion is coupled with theirs; what it
    /// measured before stays with the set that it was of. A machine that leaves a set has no instance number any more. One
    /// of that set already is left as it is.
    async fn set_membership(&self, target: Target, set_uid: Option<&str>) -> Result<Machine, HardwareError>;

    /// Does what a person asked for, once for each uid of a request: the same request again changes nothing, whether the
    /// operation is under way, has succeeded or has failed. [`Machine::last_operation`] tells which was the last. A restart or
    /// a redeployment that awaits an approval is announced first, where the guest runs and can hear of it: the machine stays as
    /// it is, and the same request has its effect once the event is approved or its time is over
    /// ([`Machine::disruption_notice`]). Machines that are told in the same minute for one request have one event.
    async fn perform(&self, target: Target, operation: OperationRequest) -> Result<Machine, HardwareError>;

    /// Replaces the OS disk by a fresh one of the model's image and applies the whole model. Id, data disks and
    /// addresses stay. A machine that runs and whose applied model has an OS image notification is told first, here and where
    /// else a fresh OS disk comes: it stays as it is, and the same call after the notice has its effect
    /// ([`Machine::disruption_notice`]).
    async fn reimage(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
    ) -> Result<Machine, HardwareError>;

    /// Gives the machine the OS disk that is wished for and applies the whole model; extensions run again. Id, data disks
    /// and addresses stay.
    async fn replace_os_disk(
        &self,
        target: Target,
        model_revision: &str,
        model: Arc<VirtualMachineModel>,
        wish: OsDiskWish,
    ) -> Result<Machine, HardwareError>;

    /// Takes the machine out of the backend pools that its model names: it gets no new requests, and those under way have the
    /// longest of the pools' drain times to end ([`Machine::drain`]); none where nobody could reach it anyway. It is changed
    /// by any other call just the same: whoever wants to lose nothing waits. It comes back when an operation has taken it
    /// down and its probes have heard it anew, or with [`Hardware::undrain`]. One that is out, or in none, is left as it is.
    ///
    /// `ahead` is the call that it is drained for. Where that would be refused now, for lack of room or quota or for what is not
    /// offered, this call is, in the same way: the machine goes on getting requests. None where nothing can be refused: a stop, a
    /// restart, a deletion.
    async fn drain(&self, target: Target, ahead: Option<Ahead>) -> Result<Machine, HardwareError>;

    /// Puts the machine back into its backend pools, as if it had never left. One that has not, or that is about to be
    /// evicted, is left as it is.
    async fn undrain(&self, target: Target) -> Result<Machine, HardwareError>;

    /// Approves the scheduled event of that id, or with `None` every one that the machine has: what was announced begins at
    /// once, on every machine that has the event, a deletion after those of its set whose notice ends no later. What was approved before is left as it is; an
    /// event that the machine does not have is refused.
    async fn approve_event(&self, target: Target, event_id: Option<&str>) -> Result<Machine, HardwareError>;

    /// Deletes the machine with its disks and addresses. `shutdown` says how a running guest is stopped: where its power
    /// is cut, the machine is gone and its place is free when the call returns. One whose applied model has a notice of
    /// deletion, and whose guest can hear of it, is told first, however it is to be stopped: it runs on and holds
    /// everything until the notice is approved or its time is over ([`Machine::terminate_notice`]); until then it is
    /// changed by no other call, and the same call again changes nothing.
    async fn delete(&self, target: Target, shutdown: Shutdown) -> Result<Deletion, HardwareError>;

    /// The machine as it is now; `None` only where it is sure that there is none.
    async fn observe(&self, uid: &str) -> Result<Option<Machine>, HardwareError>;

    /// Every machine, and the highest instance number ever allocated for each set uid.
    async fn observe_all(&self) -> Result<Inventory, HardwareError>;

    /// Creates a capacity reservation group, or changes with whom it is shared; anything else of it never changes
    /// (`PropertyChangeNotAllowed`). It reserves nothing yet. `target` is the group, not a machine. A revoked namespace
    /// gets no new associations; machines that are associated stay so.
    async fn put_reservation_group(
        &self,
        target: Target,
        request: ReservationGroupRequest,
    ) -> Result<(), HardwareError>;

    /// Creates a reservation in a group, the whole capacity or nothing, or changes the capacity of one. A smaller capacity
    /// is always taken. A raise that fails answers with the cause and leaves the reservation
    /// [`Failed`](ReservationProvisioning::Failed): nobody is allocated from it any more, until a capacity is asked for
    /// that it has, or that can be had; machines that run are left alone. A size that cannot be reserved is `NotSupported`,
    /// a group that does not exist `ResourceNotFound`.
    async fn reserve(&self, group: Target, request: ReservationRequest) -> Result<(), HardwareError>;

    /// Gives a reservation up: refused with `OperationNotAllowed` while machines are associated with it. Those of
    /// namespaces that the group is not shared with any more do not count: they are let go, and keep what they run on
    /// as general capacity.
    async fn release_reservation(&self, group: Target, name: &str) -> Result<Deletion, HardwareError>;

    /// Deletes a group: refused with `OperationNotAllowed` while it has reservations.
    async fn delete_reservation_group(&self, target: Target) -> Result<Deletion, HardwareError>;

    /// The group as it is now; `None` only where it is sure that there is none.
    async fn observe_reservation_group(&self, uid: &str) -> Result<Option<ReservationGroup>, HardwareError>;

    /// Announcements that a machine, a group, or what is offered, has changed. May repeat and may miss: whoever listens observes again.
    fn changes(&self) -> BoxStream<'static, Change>;

    /// What the region offers: sizes, images, zones, fault domains.
    async fn catalog(&self) -> Result<Arc<Catalog>, HardwareError>;

    /// What is left for more machines of a size and a priority in a location; `None` where it is not offered. It is a forecast: nothing
    /// is reserved, and a call that follows may find less.
    async fn headroom(&self, location: &str, size: &str, priority: Priority)
    -> Result<Option<Headroom>, HardwareError>;

    /// What the machines of a set have measured, a series for each that is asked for, in the same order: one call for a set and
    /// a pass, however many machines it has. A metric that nobody reports has an empty series.
    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricSeries>, HardwareError>;

    /// The scenario clock, which every policy duration follows.
    fn now(&self) -> Timestamp;

    /// How long, in wall time, until the scenario clock has moved on by `scenario`.
    fn wall_duration(&self, scenario: Duration) -> Duration;
}
