//! Rules of overprovisioning.
//!
//! Source: Azure's "Design considerations for Virtual Machine Scale Sets" (overprovisioning) and "Migrate to Flexible
//! Virtual Machine Scale Sets": a Flexible set makes exactly what is asked for, and to ask it for more is an error.

use kube::core::Rule;

use super::{Code, require};

/// A Flexible set makes no more VMs than it keeps.
pub(crate) fn of_uniform() -> Rule {
    uniform_only("overprovision")
}

/// So it has no VMs to keep extensions from.
pub(crate) fn extensions_of_uniform() -> Rule {
    uniform_only("doNotRunExtensionsOnOverprovisionedVMs")
}

fn uniform_only(field: &str) -> Rule {
    require(
        &format!("!has(self.{field}) || self.orchestrationMode == 'Uniform'"),
        Code::OperationNotAllowed,
        &format!(".{field}"),
        &format!("{field} must be absent where orchestrationMode is not Uniform"),
    )
}
