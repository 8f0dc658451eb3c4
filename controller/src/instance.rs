//! Reconciles a `ScaleSetVM` or a `FlexVM`.

use crate::cluster::ObjectKey;
use crate::context::{Context, Wake};
use crate::error::PassError;

/// Which of the two kinds of instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceKind {
    /// Uniform.
    ScaleSetVM,
    /// Flexible, or alone.
    FlexVM,
}

/// One pass over the instance named `key`.
pub async fn reconcile(_context: &Context, _kind: InstanceKind, _key: &ObjectKey) -> Result<Wake, PassError> {
    Ok(Wake::OnChange)
}
