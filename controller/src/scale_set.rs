//! Reconciles a `ScaleSet`.

use crate::cluster::ObjectKey;
use crate::context::{Context, Wake};
use crate::error::PassError;

/// One pass over the set named `key`.
pub async fn reconcile(_context: &Context, _key: &ObjectKey) -> Result<Wake, PassError> {
    Ok(Wake::OnChange)
}
