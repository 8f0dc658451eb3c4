//! Codes of errors: constants of the program, also where they come from another process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer};

/// Azure's code of an error, or the name of its kind.
pub type Code = &'static str;

/// Most codes that are kept; there are about thirty.
const CODES_MAX: usize = 256;
/// What stands for a code beyond those.
const UNKNOWN: Code = "InternalExecutionError";

/// No host of the zone, or of the region where there is none, has room.
pub(crate) const fn of_allocation(zone: Option<&str>) -> Code {
    match zone {
        Some(_) => "ZonalAllocationFailed",
        None => "AllocationFailed",
    }
}

/// No host there could ever have room.
pub(crate) const fn of_constraints(zone: Option<&str>) -> Code {
    match zone {
        Some(_) => "OverconstrainedZonalAllocationRequest",
        None => "OverconstrainedAllocationRequest",
    }
}

/// Reads a code that another process has sent. Each is kept for ever once, as the constant that it is there.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
    static KNOWN: Mutex<BTreeSet<Code>> = Mutex::new(BTreeSet::new());
    let text = String::deserialize(deserializer)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = known.get(text.as_str()) {
        return Ok(code);
    }
    if known.len() == CODES_MAX {
        return Ok(UNKNOWN);
    }
    let code: Code = Box::leak(text.into_boxed_str());
    known.insert(code);
    Ok(code)
}

#[cfg(test)]
mod tests {
    use crate::HardwareError;

    #[test]
    fn an_error_is_the_same_after_a_journey() {
        let errors = [
            HardwareError::NoCapacity { code: "ZonalAllocationFailed", message: "zone 1 is full".to_owned() },
            HardwareError::Quota { family: "spot".to_owned(), limit: 10, usage: 8, required: 4 },
            HardwareError::Throttled { retry_after: std::time::Duration::from_millis(1_500) },
            HardwareError::StaleEpoch { epoch: 3, seen: 4 },
        ];
        for error in errors {
            let text = serde_json::to_string(&error).unwrap();
            assert_eq!(serde_json::from_str::<HardwareError>(&text).unwrap(), error, "{text}");
        }
    }
}
