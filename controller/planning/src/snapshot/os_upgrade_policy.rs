//! Whether and how members follow newer versions of their image, with nothing left open.
//!
//! Source: Azure's REST reference of `AutomaticOSUpgradePolicy` for the defaults.

use super::RollingPolicy;

/// `spec.upgradePolicy.automaticOSUpgradePolicy` with Azure's defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsUpgradePolicy {
    /// What a newer version of the image does.
    pub new_images: NewImages,
    /// What follows when a member is not well after its upgrade.
    pub on_failure: RollbackRule,
    /// How batches go. Without a surge: OS disks are always replaced in place.
    pub rolling: RollingPolicy,
}

/// What a newer version of the image does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewImages {
    /// Nothing to members that run.
    #[default]
    Wait,
    /// They are upgraded to it.
    Roll,
}

/// What follows when a member is not well after its upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RollbackRule {
    /// It gets its former OS disk back.
    #[default]
    Restore,
    /// It keeps the new one.
    Keep,
}
