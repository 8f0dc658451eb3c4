//! What is about to be done to a VM, announced before it is done, and what a profile says of such notices.
//!
//! Sources: Azure's "Scheduled Events", "Terminate notification for Azure Virtual Machine Scale Set instances" and its REST
//! reference (`osImageNotificationProfile`, `scheduledEventsPolicy`). Events that are over vanish.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::scheduled_event as refuse;

/// Seconds between the wish to delete a VM and its deletion, where the profile does not say.
const NOT_BEFORE_TIMEOUT_SECONDS: i32 = 300;
/// Seconds between the wish to replace the OS disk of a VM and its replacement: Azure knows no other.
const IMAGE_NOT_BEFORE_TIMEOUT_SECONDS: i32 = 900;

/// Which events VMs are told of before they come about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEventsProfile {
    /// Notice of a deletion; none by default. Not for Spot VMs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate_notification_profile: Option<TerminateNotificationProfile>,
    /// Notice before the OS disk is replaced, by a reimage or an upgrade of the OS image; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image_notification_profile: Option<OsImageNotificationProfile>,
}

/// Whether a VM is told before its OS disk is replaced, and for how long that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::image_not_before_timeout_range())]
pub struct OsImageNotificationProfile {
    /// Whether the replacement of the OS disk of a VM that runs is announced by an event `Reboot` and waits until the event
    /// is approved or its time is over, default false.
    #[serde(default)]
    pub enable: bool,
    /// Seconds of scenario time that it waits for an approval: 900 (default), nothing else.
    #[serde(default = "image_not_before_timeout_seconds")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub not_before_timeout_seconds: i32,
}

/// What a VM with OS image notification has agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OsImageNotification {
    /// Seconds of scenario time between the notice and the replacement.
    pub not_before_timeout_seconds: i32,
}

/// Whether a VM is told before it is deleted, and for how long its deletion waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::not_before_timeout_range())]
pub struct TerminateNotificationProfile {
    /// Whether every deletion of a VM that runs is announced by an event `Terminate` and waits until the event is approved
    /// or its time is over, default false.
    #[serde(default)]
    pub enable: bool,
    /// Seconds of scenario time that a deletion waits for an approval, 300 (default) to 900. A notice that is out keeps the
    /// time that it was given.
    #[serde(default = "not_before_timeout_seconds")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub not_before_timeout_seconds: i32,
}

/// What a VM with terminate notification has agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminateNotification {
    /// Seconds of scenario time between the notice and the deletion.
    pub not_before_timeout_seconds: i32,
}

impl ScheduledEventsProfile {
    /// What it says of deletions; none where they are not announced.
    pub fn terminate_notification(&self) -> Option<TerminateNotification> {
        let Self { terminate_notification_profile, os_image_notification_profile: _ } = self;
        let profile = terminate_notification_profile.as_ref()?;
        let TerminateNotificationProfile { enable, not_before_timeout_seconds } = *profile;
        enable.then_some(TerminateNotification { not_before_timeout_seconds })
    }

    /// What it says of replacements of the OS disk; none where they are not announced.
    pub fn os_image_notification(&self) -> Option<OsImageNotification> {
        let Self { terminate_notification_profile: _, os_image_notification_profile } = self;
        let profile = os_image_notification_profile.as_ref()?;
        let OsImageNotificationProfile { enable, not_before_timeout_seconds } = *profile;
        enable.then_some(OsImageNotification { not_before_timeout_seconds })
    }
}

/// Whether restarts and redeployments that an operation asks for begin by themselves. Who has no such policy waits for nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEventsPolicy {
    /// The operation Restart, event `Reboot`; approved automatically by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_initiated_reboot: Option<UserInitiatedEvent>,
    /// The operation Redeploy, event `Redeploy`; approved automatically by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_initiated_redeploy: Option<UserInitiatedEvent>,
}

/// What becomes of one sort of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInitiatedEvent {
    /// Whether the operation begins at once on a VM that runs, default true. False: the VM is told by an event, and the
    /// operation begins when the event is approved or its time is over, 15 minutes for a restart and 10 for a redeployment,
    /// to the next full minute of scenario time.
    #[serde(default = "automatically")]
    pub automatically_approve: bool,
}

/// Who lets begin what an operation asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventApproval {
    /// Nobody has to.
    #[default]
    Automatic,
    /// Whoever approves the event, or its time.
    Awaited,
}

impl ScheduledEventsPolicy {
    /// Who lets a restart begin.
    pub fn reboot(&self) -> EventApproval {
        let Self { user_initiated_reboot, user_initiated_redeploy: _ } = self;
        user_initiated_reboot.map(UserInitiatedEvent::approval).unwrap_or_default()
    }

    /// Who lets a redeployment begin.
    pub fn redeploy(&self) -> EventApproval {
        let Self { user_initiated_reboot: _, user_initiated_redeploy } = self;
        user_initiated_redeploy.map(UserInitiatedEvent::approval).unwrap_or_default()
    }
}

impl UserInitiatedEvent {
    const fn approval(self) -> EventApproval {
        let Self { automatically_approve } = self;
        if automatically_approve { EventApproval::Automatic } else { EventApproval::Awaited }
    }
}

const fn automatically() -> bool {
    true
}

const fn image_not_before_timeout_seconds() -> i32 {
    IMAGE_NOT_BEFORE_TIMEOUT_SECONDS
}

const fn not_before_timeout_seconds() -> i32 {
    NOT_BEFORE_TIMEOUT_SECONDS
}

// No doc comments on variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    Freeze,
    Preempt,
    Reboot,
    Redeploy,
    Terminate,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventStatus {
    Scheduled,
    Started,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventSource {
    Platform,
    User,
}

// Whatever has events, as Azure's document names it.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ResourceType {
    #[default]
    VirtualMachine,
}

/// How long an event interrupts a VM, where nobody can say.
pub const UNKNOWN_DURATION_SECONDS: i32 = -1;

const fn unknown_duration_seconds() -> i32 {
    UNKNOWN_DURATION_SECONDS
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    /// Its id; VMs that are concerned together have the same, and one approval is for all of them.
    #[schemars(length(max = 64))]
    pub event_id: String,
    /// Freeze: the VM pauses for some seconds. Preempt: the Spot VM is evicted. Reboot: the VM restarts. Redeploy: it restarts
    /// on another host. Terminate: the VM is deleted.
    pub event_type: EventType,
    /// `VirtualMachine`: nothing else has events.
    #[serde(default)]
    pub resource_type: ResourceType,
    /// Scheduled, or Started.
    pub event_status: EventStatus,
    /// When it begins at the earliest, scenario time; absent once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Platform: the region does it by itself; User: somebody asked for it.
    pub event_source: EventSource,
    /// Seconds of scenario time that the VM is expected to be interrupted, -1 where that is not known, and of a VM that goes.
    #[serde(default = "unknown_duration_seconds")]
    #[schemars(range(min = -1, max = 86_400))]
    pub duration_in_seconds: i32,
    /// Why, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Whether it was approved and waits for VMs of the same set whose notice ends no later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
}

impl ScheduledEvent {
    /// Whether the host of the VM is being maintained, or the VM restarts: it does not do its work meanwhile.
    pub fn disturbs_now(&self) -> bool {
        let Self {
            event_id: _,
            event_type,
            resource_type: _,
            event_status,
            not_before: _,
            event_source: _,
            duration_in_seconds: _,
            description: _,
            approved: _,
        } = self;
        match (event_type, event_status) {
            (EventType::Freeze | EventType::Reboot | EventType::Redeploy, EventStatus::Started) => true,
            (EventType::Preempt | EventType::Terminate, EventStatus::Started) | (_, EventStatus::Scheduled) => false,
        }
    }
}

/// The events of all members of a set, as Azure's document of scheduled events has them for a placement group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEventsSummary {
    /// Rises by one whenever an event comes, is approved, begins or is over.
    pub document_incarnation: i64,
    /// Events that are not over; one that concerns several VMs counts once.
    pub count: i32,
    /// Digest of these events, by which a change is noticed.
    #[schemars(length(max = 64))]
    pub digest: String,
}
