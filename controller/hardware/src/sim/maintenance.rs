//! Maintenance of hosts: what is asked for, whose turn is still to come, and machines that were told.
//!
//! Sources: Azure's "Scheduled Events" (types and minimum notice) and "Maintenance for virtual machines" (update domain by
//! update domain, at least 30 minutes between two).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Simulation;
use super::fault::Outage;
use super::vm::{Operation, OperationKind, Record};
use super::world::ControlError;
use crate::machine::{Disruption, DisruptionCause, DisruptionNotice, NoticeStage};

/// Between the end of one group and the notice of the next.
pub(crate) const BETWEEN_GROUPS: SignedDuration = SignedDuration::from_mins(30);
/// For how long what somebody asks for may be done once its notice is over; then the machine is told anew.
pub(crate) const RELEASED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Maintenance of every host that all its places fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Maintenance {
    /// What is done to the machines.
    pub kind: MaintenanceKind,
    /// Region.
    pub location: String,
    /// Zone; the whole region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Fault domain, of the zone or of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_domain: Option<i32>,
    /// One host by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What maintenance does to machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaintenanceKind {
    /// They pause.
    Freeze,
    /// They restart.
    Reboot,
    /// They restart on another host.
    Redeploy,
    /// The hardware has failed: all of them restart at once, without a notice, on another host where one has room.
    HardwareFailure,
}

/// Maintenance that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ongoing {
    pub(crate) maintenance: Maintenance,
    /// What machines are told.
    pub(crate) disruption: Disruption,
    pub(crate) began_at: Timestamp,
    /// How far it is, by uid of a set, or of a machine that is in none.
    pub(crate) walks: BTreeMap<String, Walk>,
}

/// How far maintenance is in one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Walk {
    /// Groups whose turn is still to come, in order.
    pub(crate) groups: Vec<Group>,
    /// Event of the group that was told last, as long as somebody may still wait for it.
    pub(crate) event_id: Option<String>,
    /// When the last operation of that group ends, as far as it has begun.
    pub(crate) ends_at: Timestamp,
    /// When it is looked at next.
    pub(crate) next_at: Timestamp,
}

/// Machines of a set that are maintained together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) domain: GroupDomain,
    pub(crate) machines: BTreeSet<String>,
}

/// What the machines of a group share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum GroupDomain {
    /// Of a Uniform set.
    UpdateDomain(i32),
    /// Of a Flexible set, and of machines alone.
    FaultDomain { zone: Option<String>, fault_domain: i32 },
}

/// What a machine was told of that is about to be done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    pub(crate) event_id: String,
    pub(crate) disruption: Disruption,
    pub(crate) cause: DisruptionCause,
    pub(crate) not_before: Timestamp,
    /// Whether it has begun.
    pub(crate) progress: Progress,
    /// Name of the maintenance, where it is one that goes on.
    pub(crate) maintenance: Option<String>,
    /// Uid of the request that it was announced for.
    #[serde(default)]
    pub(crate) operation: Option<String>,
    /// Seconds for which the machine is expected to be interrupted.
    #[serde(default)]
    pub(crate) duration_seconds: Option<i32>,
}

/// How far an announced disruption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Pending,
    Begun,
}

/// Maintenance as it is told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OngoingView {
    #[serde(flatten)]
    maintenance: Maintenance,
    began_at: Timestamp,
    /// Sets, and machines in none, that are not through.
    walks: usize,
    /// Machines whose turn is still to come.
    waiting: usize,
    /// When the next group is told of it, unless one that was told has yet to be done.
    next_at: Option<Timestamp>,
}

impl MaintenanceKind {
    /// What a machine is told; `None` where it is told nothing before.
    pub(crate) const fn announced(self) -> Option<Disruption> {
        match self {
            Self::Freeze => Some(Disruption::Freeze),
            Self::Reboot => Some(Disruption::Reboot),
            Self::Redeploy => Some(Disruption::Redeploy),
            Self::HardwareFailure => None,
        }
    }
}

impl Maintenance {
    pub(crate) fn place(&self) -> Outage {
        let Self { kind: _, location, zone, fault_domain, host } = self.clone();
        Outage { location, zone, fault_domain, host }
    }
}

impl Ongoing {
    /// When the next of its walks is looked at.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.walks.values().map(|walk| walk.next_at).min()
    }

    pub(crate) fn view(&self) -> OngoingView {
        let Self { maintenance, disruption: _, began_at, walks } = self;
        let machines = |walk: &Walk| walk.groups.iter().map(|group| group.machines.len()).sum::<usize>();
        let next = walks.values().filter(|walk| walk.event_id.is_none()).map(|walk| walk.next_at);
        OngoingView {
            maintenance: maintenance.clone(),
            began_at: *began_at,
            walks: walks.len(),
            waiting: walks.values().map(machines).sum(),
            next_at: next.min(),
        }
    }
}

impl Announced {
    /// When it begins, unless it is approved before: not in the middle of another operation.
    pub(crate) fn begins_at(&self, operation: &Operation) -> Timestamp {
        self.not_before.max(operation.ends_at)
    }

    /// When it changes next by itself, after `now`; what is overdue stays due.
    pub(crate) fn next_change(&self, operation: &Operation, now: Timestamp) -> Option<Timestamp> {
        match (self.progress, self.cause) {
            (Progress::Begun, _) => None,
            (Progress::Pending, DisruptionCause::OsImage | DisruptionCause::Operation) if self.not_before > now => {
                Some(self.not_before)
            }
            (Progress::Pending, DisruptionCause::OsImage | DisruptionCause::Operation) => {
                Some(self.not_before + RELEASED_FOR)
            }
            (Progress::Pending, DisruptionCause::Maintenance | DisruptionCause::HardwareFailure) => {
                Some(self.begins_at(operation))
            }
        }
    }

    /// Whether a machine leaves its backend pools for it: not where the guest stays up, nothing was announced in time, or
    /// whoever asked for it sees to that himself.
    pub(crate) const fn drains(&self) -> bool {
        match (self.progress, self.cause, self.disruption) {
            (Progress::Pending, DisruptionCause::Maintenance, Disruption::Reboot | Disruption::Redeploy) => true,
            (Progress::Begun, _, _)
            | (_, DisruptionCause::OsImage | DisruptionCause::Operation | DisruptionCause::HardwareFailure, _)
            | (_, _, Disruption::Freeze) => false,
        }
    }

    /// Whether it waits for an approval, or for its time.
    pub(crate) fn awaits(&self, now: Timestamp) -> bool {
        self.progress == Progress::Pending && self.not_before > now
    }

    /// Whether what was announced is over, or the machine has gone down that was told of a restart.
    pub(crate) fn is_over(&self, record: &Record, now: Timestamp) -> bool {
        let at_it = match record.operation.mark.kind {
            OperationKind::Freeze | OperationKind::Restart | OperationKind::Redeploy | OperationKind::Reimage => {
                !record.is_idle(now)
            }
            OperationKind::Create | OperationKind::Update(_) | OperationKind::Power(_) | OperationKind::Delete => false,
        };
        match (self.progress, self.cause) {
            (Progress::Begun, _) => !at_it,
            (Progress::Pending, DisruptionCause::Operation) => !at_it && record.runs_from.is_none(),
            (
                Progress::Pending,
                DisruptionCause::Maintenance | DisruptionCause::HardwareFailure | DisruptionCause::OsImage,
            ) => false,
        }
    }

    /// As it is told; `approved` is the event that was approved last.
    pub(crate) fn view(&self, now: Timestamp, approved: Option<&str>) -> DisruptionNotice {
        let Self { event_id, disruption, cause, not_before, progress, maintenance: _, operation, duration_seconds } =
            self;
        let stage = match progress {
            Progress::Begun => NoticeStage::Started,
            Progress::Pending if *not_before <= now || approved == Some(event_id) => NoticeStage::Approved,
            Progress::Pending => NoticeStage::Scheduled,
        };
        DisruptionNotice {
            event_id: event_id.clone(),
            disruption: *disruption,
            cause: *cause,
            not_before: *not_before,
            stage,
            operation: operation.clone(),
            duration_seconds: *duration_seconds,
        }
    }
}

impl Disruption {
    /// Azure's minimum between the notice and the disruption.
    pub(crate) const fn minimum_notice_seconds(self) -> i32 {
        match self {
            Self::Freeze | Self::Reboot => 900,
            Self::Redeploy => 600,
        }
    }
}

impl Simulation {
    /// Begins maintenance of hosts under a name: machines are told, and have it done to them, one update domain or fault
    /// domain of each set after the other. A failure of hardware comes at once, and nothing of it is left to list.
    pub async fn begin_maintenance(&self, name: &str, maintenance: Maintenance) -> Result<(), ControlError> {
        let detail = format!("begin maintenance {name}: {:?} {:?}", maintenance.kind, maintenance.place());
        self.control("", detail, |world, now| world.begin_maintenance(name, maintenance, now)).await
    }

    /// Ends maintenance: who was told and has not begun is told that it is off.
    pub async fn end_maintenance(&self, name: &str) -> Result<(), ControlError> {
        self.control("", format!("end maintenance {name}"), |world, now| world.end_maintenance(name, now)).await
    }

    pub(crate) fn maintenance_views(&self) -> BTreeMap<String, OngoingView> {
        let (world, _) = self.inner.settled();
        world.maintenances().iter().map(|(name, ongoing)| (name.clone(), ongoing.view())).collect()
    }
}
