//! What is about to be done to a VM, announced before it is done.
//!
//! Source: Azure's "Scheduled Events". Events that are over vanish.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// No doc comments on variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    Preempt,
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

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    /// Its id.
    #[schemars(length(max = 64))]
    pub event_id: String,
    /// Preempt: the Spot VM is evicted.
    pub event_type: EventType,
    /// Scheduled, or Started.
    pub event_status: EventStatus,
    /// When it begins at the earliest, scenario time; absent once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Platform: the region does it by itself; User: somebody asked for it.
    pub event_source: EventSource,
}
