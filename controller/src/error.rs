//! Why a pass ended early.

use scaleset_hardware::HardwareError;
use thiserror::Error;

use crate::cluster::ClusterError;

/// Why a pass ended early; it is tried again with backoff.
#[derive(Debug, Error)]
pub enum PassError {
    /// The hardware could not be asked.
    #[error("hardware: {0}")]
    Hardware(#[from] HardwareError),
    /// The API could not be asked or written.
    #[error("cluster: {0}")]
    Cluster(#[from] ClusterError),
    /// An object in the cluster is not what it says it is.
    #[error("malformed object {object}: {message}")]
    Malformed {
        /// Kind, namespace and name.
        object: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A failure in words that stay the same from call to call: a status that changes with them would be written for nothing.
pub(crate) fn told(error: &HardwareError) -> String {
    match error {
        HardwareError::Throttled { .. } => "the hardware throttles calls".to_owned(),
        HardwareError::NotFound { .. }
        | HardwareError::NoCapacity { .. }
        | HardwareError::Quota { .. }
        | HardwareError::NotOffered { .. }
        | HardwareError::Stale { .. }
        | HardwareError::StaleEpoch { .. }
        | HardwareError::Busy { .. }
        | HardwareError::Transient { .. } => {
            let text = error.to_string();
            // The code stands beside it wherever it is told.
            text.strip_prefix(&format!("{}: ", error.code())).map_or_else(|| text.clone(), str::to_owned)
        }
    }
}
