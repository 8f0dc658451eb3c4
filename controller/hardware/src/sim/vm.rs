//! One machine: its record, and what it looks like at an instant.
//!
//! The record holds the last operation with its whole course: at which instant the power changes to what, when the
//! operation ends and how. State is computed from that course and an instant, so nothing is written when time passes,
//! and a record that is read after a crash goes on as if nothing had happened.
//!
//! ```text
//! power         create ──► creating ──► starting ──► running
//!                                          ▲  ▲         │ restart, reimage, stop, deallocate
//!                             restart, reimage│         ▼
//!                                          │  └───── stopping ──► stopped ──┐
//!                                          └──────────── start ◄────────────┤
//!                                          │                                ▼ deallocate (also from running)
//!                                          └── start ◄── deallocated ◄── deallocating
//!
//! provisioning  create ──► Creating ──► Succeeded ◄──► Updating (update, power, reimage)
//!                             │              ▲            │
//!                             └──► Failed ───┴────────────┴──► Failed      reimage, update and start try again
//!               any ──► Deleting ──► gone
//! ```
//!
//! A boot that times out as `OSProvisioningTimedOut` leaves the machine running with a guest that nobody knows, one
//! that times out as `VMStartTimedOut` leaves it stopped. While its host is down, or it was made to hang, a machine's
//! power is unknown; what it was doing goes on underneath.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::HealthSource;
use scaleset_crds::profile::{Credentials, ImageReference, OsDisk};
use scaleset_crds::vocabulary::{OsType, PowerState, PowerWish};
use serde::{Deserialize, Serialize};

use crate::UpdateMethod;
use crate::machine::{Drain, Eviction, Health, Machine, Owner, Placement, PreemptNotice, Provisioning, QuotaRule};
use crate::sim::application::{self, Answer, ApplicationRule};
use crate::sim::extension::{EXTENSION_FAILURE, ExtensionRun, RunResult};
use crate::sim::fault::Subject;
use crate::sim::health::Watch;
use crate::sim::maintenance::Announced;
use crate::sim::model::ModelKey;
use crate::sim::pool::PoolWatch;
use crate::sim::reservation::Association;
use crate::sim::spot::{Evicted, Preemption};
use crate::sim::termination::Termination;

/// What is kept of a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) uid: String,
    pub(crate) vm_id: String,
    pub(crate) owner: Owner,
    pub(crate) generation: i64,
    pub(crate) computer_name: String,
    /// Placement as it was asked for.
    pub(crate) placement: Placement,
    /// Whether it counts against the quotas.
    #[serde(default, skip_serializing_if = "QuotaRule::is_counted")]
    pub(crate) quota: QuotaRule,
    /// Host that it holds room on; none while deallocated.
    pub(crate) host: Option<String>,
    pub(crate) model_revision: String,
    pub(crate) model: ModelKey,
    pub(crate) image: Image,
    pub(crate) created_at: Timestamp,
    /// Addresses of the interfaces, in the order of the model.
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) os_disk: String,
    /// The OS disk that it had before, where it is kept.
    #[serde(default)]
    pub(crate) former_os_disk: Option<Box<FormerOsDisk>>,
    /// Data disks by lun.
    pub(crate) data_disks: BTreeMap<i32, String>,
    pub(crate) extensions: BTreeMap<String, ExtensionRun>,
    /// From when on the guest of this OS disk reports; none as long as it has never booted.
    pub(crate) guest_known_from: Option<Timestamp>,
    pub(crate) operation: Operation,
    /// Operations so far: what latencies and faults are drawn by.
    pub(crate) operations: u32,
    /// Uid of the request that a person made last.
    pub(crate) last_operation: Option<String>,
    /// Failed attempts in a row before the last operation.
    pub(crate) failed_before: u32,
    /// From when on the machine runs without a break; none while it is down.
    pub(crate) runs_from: Option<Timestamp>,
    /// When it went over to the set that it is of, where it was not made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined_at: Option<Timestamp>,
    /// What its application was made to answer; none leaves that to the script.
    pub(crate) answer: Option<Health>,
    /// What the model's health source hears; none as long as it does not ask.
    pub(crate) watch: Option<Box<Watch>>,
    /// What the load balancers of its backend pools hear.
    #[serde(default)]
    pub(crate) pools: BTreeMap<String, PoolWatch>,
    /// That it has left them.
    #[serde(default)]
    pub(crate) drain: Option<Drain>,
    /// When it was made to hang, if it was.
    pub(crate) hangs_since: Option<Timestamp>,
    /// When it could be reached again after it had hung.
    #[serde(default)]
    pub(crate) reached_again_at: Option<Timestamp>,
    /// When it goes, if it has been told to.
    #[serde(default)]
    pub(crate) preemption: Option<Box<Preemption>>,
    /// The eviction that has left it without hardware.
    #[serde(default)]
    pub(crate) evicted: Option<Evicted>,
    /// The notice of its deletion.
    #[serde(default)]
    pub(crate) termination: Option<Box<Termination>>,
    /// What it was told of that is about to be done to it.
    #[serde(default)]
    pub(crate) announced: Option<Box<Announced>>,
    /// Id of the event that was approved last, unless that was a deletion.
    #[serde(default)]
    pub(crate) approved_event: Option<String>,
    /// The reservation that it is associated with.
    #[serde(default)]
    pub(crate) reservation: Option<Association>,
    /// Number of the journal entry that wrote it last.
    #[serde(skip)]
    pub(crate) sequence: u64,
}

/// What the OS disk was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) version: String,
    pub(crate) os_name: String,
    pub(crate) os_version: String,
}

/// An OS disk that is kept, with what only a fresh disk would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormerOsDisk {
    pub(crate) name: String,
    pub(crate) image: Image,
    pub(crate) credentials: Credentials,
    pub(crate) image_reference: ImageReference,
    pub(crate) os_disk: OsDisk,
}

/// Addresses of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) subnet: String,
    pub(crate) private: Ipv4Addr,
    pub(crate) public: Option<Ipv4Addr>,
}

/// The last operation on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) mark: Mark,
    pub(crate) started_at: Timestamp,
    /// From when on the power is what, in order; the first at the operation's start.
    pub(crate) power: Vec<PowerStep>,
    pub(crate) ends_at: Timestamp,
    pub(crate) failure: Option<Failure>,
}

/// What was asked for: two calls with equal marks are the same call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) kind: OperationKind,
    pub(crate) generation: i64,
    /// Revision that was wanted, where the call names one.
    pub(crate) model_revision: String,
    /// Digest of the model that was wanted, where the call names one.
    pub(crate) wanted: u64,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationKind {
    Create,
    Update(UpdateMethod),
    Power(PowerWish),
    Reimage,
    Restart,
    Redeploy,
    Freeze,
    Delete,
}

/// A change of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PowerStep {
    pub(crate) at: Timestamp,
    pub(crate) power: PowerState,
}

/// How an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What a machine's looks depend on besides its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) model: &'a Arc<VirtualMachineModel>,
    pub(crate) host: HostState,
    /// What applications are made to answer.
    pub(crate) script: &'a [ApplicationRule],
}

/// The state of a machine's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostState {
    /// It works, and when it last came back if it was ever down.
    Up(Option<Timestamp>),
    /// It is down since then.
    Down(Timestamp),
}

impl OperationKind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Create => "being created",
            Self::Update(UpdateMethod::Online) => "being updated",
            Self::Update(UpdateMethod::Restart) => "being updated with a restart",
            Self::Power(PowerWish::Running) => "starting",
            Self::Power(PowerWish::Stopped) => "stopping",
            Self::Power(PowerWish::Deallocated) => "being deallocated",
            Self::Reimage => "being reimaged",
            Self::Restart => "restarting",
            Self::Redeploy => "being redeployed",
            Self::Freeze => "pausing for maintenance of its host",
            Self::Delete => "being deleted",
        }
    }
}

impl Record {
    /// Whether the last operation is over.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.operation.ends_at <= now
    }

    /// Whether its deletion is over, and nobody has to hear of it any more.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.is_deleted(now) && self.evicted.is_none()
    }

    /// Whether its deletion is over.
    pub(crate) fn is_deleted(&self, now: Timestamp) -> bool {
        self.operation.mark.kind == OperationKind::Delete && self.is_idle(now)
    }

    /// Whether its hardware is given back although the record still names a host.
    pub(crate) fn has_released_host(&self, now: Timestamp) -> bool {
        self.operation.mark.kind == OperationKind::Power(PowerWish::Deallocated) && self.is_idle(now)
    }

    /// Power of the machine, leaving aside whether anybody can see it.
    pub(crate) fn power(&self, now: Timestamp) -> PowerState {
        let reached = self.operation.power.iter().rev().find(|step| step.at <= now);
        reached.map_or(PowerState::Unknown, |step| step.power)
    }

    /// State of the last operation.
    pub(crate) fn provisioning(&self, now: Timestamp) -> Provisioning {
        let Operation { mark, started_at: _, power: _, ends_at: _, failure } = &self.operation;
        match (mark.kind, failure) {
            (OperationKind::Delete, _) => Provisioning::Deleting,
            (OperationKind::Create, _) if !self.is_idle(now) => Provisioning::Creating,
            (
                OperationKind::Update(_)
                | OperationKind::Power(_)
                | OperationKind::Reimage
                | OperationKind::Restart
                | OperationKind::Redeploy
                | OperationKind::Freeze,
                _,
            ) if !self.is_idle(now) => Provisioning::Updating,
            (_, Some(Failure { code, message })) => {
                Provisioning::Failed { code: code.clone(), message: message.clone() }
            }
            (_, None) => Provisioning::Succeeded,
        }
    }

    /// Failed attempts in a row, the last operation included once it is over.
    pub(crate) fn failed_attempts(&self, now: Timestamp) -> u32 {
        match (&self.operation.failure, self.is_idle(now)) {
            (_, false) => self.failed_before,
            (Some(_), true) => self.failed_before.saturating_add(1),
            (None, true) => 0,
        }
    }

    /// Whether the guest of this OS disk has booted.
    pub(crate) fn guest_is_known(&self, now: Timestamp) -> bool {
        self.guest_known_from.is_some_and(|from| from <= now)
    }

    /// The next instant after `now` at which something about it, or what its health source says, changes by itself.
    pub(crate) fn next_transition(&self, now: Timestamp, model: &VirtualMachineModel) -> Option<Timestamp> {
        let watched = self.watch.as_ref().zip(model.health_source());
        let said = watched.and_then(|(watch, source)| watch.next_change(source, now));
        let evicted = self.preemption.as_ref().map(|preemption| preemption.at);
        let terminated = self.termination.as_ref().filter(|termination| termination.is_pending());
        let goes = terminated.map(|termination| termination.not_before);
        let told = self.announced.as_ref().and_then(|announced| announced.next_change(&self.operation, now));
        let in_pools = self.next_change_in_pools(now).into_iter().chain(self.leaves_pools_at(model));
        let by_itself = self.instants().filter(|instant| *instant > now);
        by_itself.chain(said).chain(evicted).chain(goes).chain(told).chain(in_pools).min()
    }

    /// What fault selectors are held against.
    pub(crate) fn subject<'a>(&'a self, model: &'a VirtualMachineModel) -> Subject<'a> {
        Subject {
            uid: &self.uid,
            name: &self.owner.name,
            namespace: &self.owner.namespace,
            location: &self.placement.location,
            zone: self.placement.zone.as_deref().unwrap_or_default(),
            vm_size: &model.vm_size,
        }
    }

    /// The machine as it is seen at `now`.
    pub(crate) fn view(
        &self,
        now: Timestamp,
        surroundings: Surroundings<'_>,
        sizes_after_deallocation: Vec<String>,
    ) -> Machine {
        let Surroundings { model, host, script: _ } = surroundings;
        let watched = self.watch.as_ref().zip(model.health_source());
        let known = self.guest_is_known(now);
        let primary = self.primary_interface(model);
        let mut placement = self.placement.clone();
        if self.host.is_none() {
            placement.placement_group = None;
        }
        Machine {
            uid: self.uid.clone(),
            vm_id: self.vm_id.clone(),
            owner: self.owner.clone(),
            generation: self.generation,
            computer_name: self.computer_name.clone(),
            placement,
            quota: self.quota,
            host: self.host.clone(),
            sizes_after_deallocation,
            model_revision: self.model_revision.clone(),
            model: Arc::clone(model),
            image_version: self.image.version.clone(),
            provisioning: self.provisioning(now),
            power: self.visible_power(now, host),
            last_operation: self.last_operation.clone(),
            failed_attempts: self.failed_attempts(now),
            changed_at: self.changed_at(now, host),
            created_at: self.created_at,
            private_ip_address: primary.map(|interface| interface.private.to_string()),
            public_ip_address: primary.and_then(|interface| interface.public).map(|address| address.to_string()),
            os_name: known.then(|| self.image.os_name.clone()),
            os_version: known.then(|| self.image.os_version.clone()),
            vm_agent_version: known.then(|| agent_version(model).to_owned()),
            disks: std::iter::once(&self.os_disk).chain(self.data_disks.values()).cloned().collect(),
            former_os_disk: self.former_os_disk.as_ref().map(|former| former.name.clone()),
            extensions: self.extensions.iter().map(|(name, run)| (name.clone(), run.state(now))).collect(),
            health: self.visible_health(now, surroundings),
            application_health: watched.and_then(|(watch, source)| watch.report(source, now)),
            capacity_reservation: None,
            backend_pools: self.pool_members(model, now),
            drain: self.drain,
            preempt_notice: self.preemption.as_ref().map(|preemption| {
                let Preemption { event_id, reason, at } = &**preemption;
                PreemptNotice { event_id: event_id.clone(), not_before: *at, reason: *reason }
            }),
            disruption_notice: self.announced.as_ref().map(|told| told.view(now, self.approved_event.as_deref())),
            terminate_notice: self.termination.as_ref().map(|termination| termination.view()),
            eviction: self.evicted.map(|Evicted { at, reason }| Eviction { time: at, reason }),
        }
    }

    /// The interface that carries the machine's address: the primary one, else the first.
    pub(crate) fn primary_interface(&self, model: &VirtualMachineModel) -> Option<&Interface> {
        let wanted = model.network_profile.network_interfaces.iter().find(|interface| interface.primary);
        let primary = wanted.and_then(|wanted| self.interfaces.iter().find(|interface| interface.name == wanted.name));
        primary.or_else(|| self.interfaces.first())
    }

    /// What a probe of the guest hears.
    pub(crate) fn visible_health(&self, now: Timestamp, surroundings: Surroundings<'_>) -> Health {
        let answers = self.visible_power(now, surroundings.host) == PowerState::Running && self.guest_is_known(now);
        self.answer_at(now, surroundings).filter(|_| answers).unwrap_or(Health::Unknown)
    }

    /// Whether its guest runs with an application that answers anything but well.
    pub(crate) fn answers_badly(&self, now: Timestamp, surroundings: Surroundings<'_>) -> bool {
        self.answer_at(now, surroundings).is_some_and(|answer| answer != Health::Healthy)
    }

    /// What a health source hears of the machine from the start of its guest on; nothing while the machine is down.
    pub(crate) fn heard(&self, surroundings: Surroundings<'_>) -> Vec<Answer> {
        let out_of_reach = self.hangs_since.is_some() || matches!(surroundings.host, HostState::Down(_));
        match self.runs_from {
            Some(at) if out_of_reach || self.guest_known_from.is_none() => vec![Answer { at, health: Health::Hangs }],
            Some(_) => self.answers(surroundings),
            None => Vec::new(),
        }
    }

    /// From when on a health source asks; none where it does not: the machine is down, or the extension has not
    /// succeeded.
    pub(crate) fn asked_from(&self, source: HealthSource<'_>) -> Option<Timestamp> {
        let runs_from = self.runs_from?;
        match source {
            HealthSource::Probe(_) => Some(runs_from),
            HealthSource::Extension(extension) => match self.extensions.get(extension.name)? {
                ExtensionRun::Until { until, result: RunResult::Succeeded } => Some(runs_from.max(*until)),
                ExtensionRun::Until { until: _, result: RunResult::Failed } | ExtensionRun::Waiting => None,
            },
        }
    }

    /// What the application answers, leaving aside whether anybody can hear it; none while the machine is down.
    fn answer_at(&self, now: Timestamp, surroundings: Surroundings<'_>) -> Option<Health> {
        let answers = self.answers(surroundings);
        answers.iter().rev().find(|answer| answer.at <= now).map(|answer| answer.health)
    }

    fn answers(&self, surroundings: Surroundings<'_>) -> Vec<Answer> {
        let Surroundings { model, host: _, script } = surroundings;
        match (self.runs_from, self.answer) {
            (Some(at), Some(health)) => vec![Answer { at, health }],
            (Some(at), None) => application::scripted(script, model, &self.image.version, at),
            (None, _) => Vec::new(),
        }
    }

    fn visible_power(&self, now: Timestamp, host: HostState) -> PowerState {
        let hidden = self.hangs_since.is_some() || matches!(host, HostState::Down(_));
        if hidden { PowerState::Unknown } else { self.power(now) }
    }

    /// When its state or its power changed last, as it is seen: what its application answers, and what it drifts to, are neither.
    fn changed_at(&self, now: Timestamp, host: HostState) -> Timestamp {
        let out_of_reach = [self.reached_again_at, self.hangs_since, host.since()].into_iter().flatten();
        let reached = self.instants().filter(|instant| *instant <= now);
        reached.chain(out_of_reach).max().unwrap_or(self.operation.started_at)
    }

    /// Every instant of the last operation at which something changes.
    fn instants(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let power = self.operation.power.iter().map(|step| step.at);
        let extensions = self.extensions.values().filter_map(ExtensionRun::ends_at);
        power.chain(extensions).chain([self.operation.started_at, self.operation.ends_at])
    }
}

impl Failure {
    /// Whether an extension has failed, rather than the machine's start.
    pub(crate) fn is_of_extension(&self) -> bool {
        self.code == EXTENSION_FAILURE
    }
}

impl HostState {
    fn since(self) -> Option<Timestamp> {
        match self {
            Self::Up(since) => since,
            Self::Down(since) => Some(since),
        }
    }
}

fn agent_version(model: &VirtualMachineModel) -> &'static str {
    match model.storage_profile.os_disk.os_type {
        OsType::Linux => "2.15.1.3",
        OsType::Windows => "2.7.41491.1183",
    }
}
