//! Rules of backend pools.

use kube::core::Rule;

use super::{Code, require};

/// How long a VM drains.
pub(crate) fn drain_timeout_range() -> Rule {
    require(
        "self.drainTimeoutSeconds >= 0 && self.drainTimeoutSeconds <= 3600",
        Code::InvalidParameter,
        ".drainTimeoutSeconds",
        "drainTimeoutSeconds must be 0 to 3600",
    )
}
