//! Why a call to the hardware failed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) mod code;

pub use code::Code;

/// Why a call to the hardware failed; nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum HardwareError {
    /// The machine does not exist.
    #[error("no machine {uid}")]
    NotFound {
        /// The uid that was asked for.
        uid: String,
    },
    /// No host has room, or a Spot machine would cost too much. `code` is Azure's `AllocationFailed`,
    /// `ZonalAllocationFailed`,
    /// `OverconstrainedZonalAllocationRequest`, `OverconstrainedAllocationRequest` or
    /// `SpotPriceGreaterThanProvidedMaxPrice`.
    #[error("{code}: {message}")]
    NoCapacity {
        /// Azure's code.
        #[serde(deserialize_with = "code::read")]
        code: Code,
        /// Which place, how much was needed and how much is free.
        message: String,
    },
    /// A vCPU quota would be exceeded (Azure: `QuotaExceeded`).
    #[error("QuotaExceeded: {family} vcpu quota: limit {limit}, usage {usage}, additional required {required}, minimum new limit {}", usage + required)]
    Quota {
        /// The quota's name: a family, `regional total`, or `spot`.
        family: String,
        /// vCPUs allowed.
        limit: i64,
        /// vCPUs in use.
        usage: i64,
        /// vCPUs that the call needs on top.
        required: i64,
    },
    /// What the call names is not offered here: `SkuNotAvailable`, `ImageNotFound`, `SubnetNotFound`, `InvalidParameter`, of
    /// reservations `NotSupported`, `ResourceNotFound` and `PropertyChangeNotAllowed`; or it is not allowed now:
    /// `OperationNotAllowed`.
    #[error("{code}: {message}")]
    NotOffered {
        /// Azure's code.
        #[serde(deserialize_with = "code::read")]
        code: Code,
        /// What was asked for, and what there is.
        message: String,
    },
    /// Too many calls.
    #[error("throttled, try again in {} ms", retry_after.as_millis())]
    Throttled {
        /// Wall time to wait.
        retry_after: Duration,
    },
    /// The call was planned from an older generation than the machine has seen.
    #[error("stale call for {uid}: generation {generation}, it has seen {seen}")]
    Stale {
        /// The machine.
        uid: String,
        /// Generation of the call.
        generation: i64,
        /// Highest generation seen.
        seen: i64,
    },
    /// Another controller leads by now ([`crate::epoch`]).
    #[error("stale epoch {epoch} < {seen}: another controller leads")]
    StaleEpoch {
        /// Epoch of the call; 0 of a caller that no election has made leader.
        epoch: u64,
        /// Highest epoch seen.
        seen: u64,
    },
    /// The machine is in the middle of another operation.
    #[error("machine {uid} is busy: {operation}")]
    Busy {
        /// The machine.
        uid: String,
        /// What it is doing.
        operation: String,
    },
    /// The hardware did not answer, or answered nonsense; the same call may succeed later.
    #[error("hardware unavailable: {message}")]
    Transient {
        /// What happened.
        message: String,
    },
}

impl HardwareError {
    /// Azure's code where there is one, else the name of the kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::NoCapacity { code, .. } | Self::NotOffered { code, .. } => code,
            Self::Quota { .. } => "QuotaExceeded",
            Self::Throttled { .. } => "TooManyRequests",
            Self::Stale { .. } => "Stale",
            Self::StaleEpoch { .. } => "StaleEpoch",
            Self::Busy { .. } => "Busy",
            Self::Transient { .. } => "InternalExecutionError",
        }
    }
}
