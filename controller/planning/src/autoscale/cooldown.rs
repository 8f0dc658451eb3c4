//! The time after a rule's action in which no rule acts (Azure: "Understand autoscale settings").
//!
//! It is that of the rule that fired last, and it holds back both directions. Bringing the count within the bounds of a
//! profile is no rule's action: it waits for no cooldown and begins none.

use jiff::Timestamp;
use scaleset_crds::AutoscaleSettingStatus;

/// Until when the one that runs lasts.
pub(super) fn running(status: &AutoscaleSettingStatus, now: Timestamp) -> Option<Timestamp> {
    status.cooldown_until.as_ref().map(|until| until.0).filter(|until| now < *until)
}
