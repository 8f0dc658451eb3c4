//! What one VM should be.

use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;

/// What one VM should be: a model at a revision, under a computer name, at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelView {
    /// Name of the revision that `model` is.
    pub revision: String,
    /// The model.
    pub model: Arc<VirtualMachineModel>,
}
