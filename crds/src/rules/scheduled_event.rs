//! Rules of scheduled events.
//!
//! Source: Azure's "Terminate notification for Azure Virtual Machine Scale Set instances": 5 to 15 minutes, and not for Spot
//! VMs, which have a notice of their own; the REST reference: an OS image notification knows 15 minutes alone.

use kube::core::Rule;

use super::{Code, require};

/// How long a deletion can wait.
pub(crate) fn not_before_timeout_range() -> Rule {
    require(
        "self.notBeforeTimeoutSeconds >= 300 && self.notBeforeTimeoutSeconds <= 900",
        Code::InvalidParameter,
        ".notBeforeTimeoutSeconds",
        "notBeforeTimeoutSeconds must be 300 to 900",
    )
}

/// How long the replacement of an OS disk can wait.
pub(crate) fn image_not_before_timeout_range() -> Rule {
    require(
        "self.notBeforeTimeoutSeconds == 900",
        Code::InvalidParameter,
        ".notBeforeTimeoutSeconds",
        "notBeforeTimeoutSeconds must be 900",
    )
}

/// Who can be evicted within 30 seconds is promised no minutes.
pub(crate) fn no_terminate_notification_of_spot() -> Rule {
    require(
        "!has(self.priority) || self.priority != 'Spot' || !has(self.scheduledEventsProfile) || \
         !has(self.scheduledEventsProfile.terminateNotificationProfile) || \
         !self.scheduledEventsProfile.terminateNotificationProfile.enable",
        Code::OperationNotAllowed,
        ".scheduledEventsProfile",
        "terminateNotificationProfile.enable must not be true where priority is Spot",
    )
}
