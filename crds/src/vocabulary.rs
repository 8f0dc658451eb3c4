//! Leaf enums that several kinds share, spelled as Azure spells them.
//!
//! Variants and enums carry no doc comments: the schema generator would turn documented variants into `oneOf`
//! branches and let the enum's text replace that of the field. The fields that use them are documented.
#![expect(missing_docs, reason = "documented at the fields, see above")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// Chosen at creation, never changeable (Azure: orchestration modes for Virtual Machine Scale Sets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OrchestrationMode {
    Uniform,
    Flexible,
}

// How existing VMs catch up with a changed model (Azure: set the upgrade policy on Virtual Machine Scale Sets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeMode {
    #[default]
    Manual,
    Automatic,
    Rolling,
}

// State of a rolling upgrade (Azure: RollingUpgradeStatusCode; RollingBack is shown there within a roll).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RollingUpgradeCode {
    RollingForward,
    RollingBack,
    Completed,
    Cancelled,
    Faulted,
}

// What was asked last of a rolling upgrade (Azure: RollingUpgradeActionType).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RollingUpgradeAction {
    Start,
    Cancel,
}

// Who began an upgrade of the OS image (Azure: UpgradeOperationInvoker; its Unknown is not given).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OsUpgradeStarter {
    Platform,
    User,
}

// Which VMs scale-in takes first (Azure: use custom scale-in policies with Virtual Machine Scale Sets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ScaleInRule {
    #[default]
    Default,
    NewestVM,
    OldestVM,
}

// The power state that is wished for. Stopped keeps the hardware, Deallocated releases it (Azure: states and billing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PowerWish {
    #[default]
    Running,
    Stopped,
    Deallocated,
}

// The power state that the hardware reports (Azure: states and billing status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PowerState {
    Creating,
    Starting,
    Running,
    Stopping,
    Stopped,
    Deallocating,
    Deallocated,
    Unknown,
}

// The result of the last control-plane operation on a VM, independent of its power (Azure: states and billing status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ProvisioningState {
    Creating,
    Updating,
    Succeeded,
    Failed,
    Deleting,
    Unknown,
}

// What a changed field costs on an existing VM, in rising order; the order is the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Impact {
    None,
    NextReimage,
    Online,
    Restart,
    Reimage,
    Replace,
    Immutable,
}

// The most that an upgrade may cost an existing VM, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MaxDisruption {
    None,
    Online,
    Restart,
    Reimage,
    #[default]
    Replace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OsType {
    #[default]
    Linux,
    Windows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[expect(non_camel_case_types, reason = "Azure's spelling")]
pub enum StorageAccountType {
    #[default]
    Premium_LRS,
    Premium_ZRS,
    StandardSSD_LRS,
    StandardSSD_ZRS,
    Standard_LRS,
}

// What speaks to the application (Azure: Application Health extension, settings; in lower case there).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationProtocol {
    Http,
    Https,
    Tcp,
}

// What a load balancer's probe speaks (Azure: Load Balancer health probes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ProbeProtocol {
    Http,
    Https,
    Tcp,
}

// Where a Uniform instance stands in a scale-out that makes more VMs than were asked for (Azure: overprovisioning).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Surplus {
    Overprovisioned,
    Undecided,
}

// What a health source says of a VM (Azure: Application Health extension, health states).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HealthState {
    Initializing,
    Healthy,
    Unhealthy,
    Unknown,
}

// Severity of a status line in an instance view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum StatusLevel {
    Info,
    Warning,
    Error,
}

impl PowerState {
    /// The value in a code `PowerState/…`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deallocating => "deallocating",
            Self::Deallocated => "deallocated",
            Self::Unknown => "unknown",
        }
    }
}

impl ProvisioningState {
    /// The value in a code `ProvisioningState/…`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Updating => "updating",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Unknown => "unknown",
        }
    }
}

impl HealthState {
    /// The state of a code `HealthState/…`.
    pub fn from_code(code: &str) -> Option<Self> {
        let value = code.strip_prefix("HealthState/")?;
        [Self::Initializing, Self::Healthy, Self::Unhealthy, Self::Unknown]
            .into_iter()
            .find(|state| state.code() == value)
    }

    /// The value in a code `HealthState/…`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

impl Impact {
    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::NextReimage => "NextReimage",
            Self::Online => "Online",
            Self::Restart => "Restart",
            Self::Reimage => "Reimage",
            Self::Replace => "Replace",
            Self::Immutable => "Immutable",
        }
    }
}

impl MaxDisruption {
    /// Whether a difference of this impact may be applied. What waits for the next reimage costs nothing; what can never be
    /// applied is refused elsewhere, whatever the ceiling.
    pub const fn allows(self, impact: Impact) -> bool {
        match impact {
            Impact::None | Impact::NextReimage => true,
            Impact::Online => !matches!(self, Self::None),
            Impact::Restart => matches!(self, Self::Restart | Self::Reimage | Self::Replace),
            Impact::Reimage => matches!(self, Self::Reimage | Self::Replace),
            Impact::Replace | Impact::Immutable => matches!(self, Self::Replace),
        }
    }

    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Online => "Online",
            Self::Restart => "Restart",
            Self::Reimage => "Reimage",
            Self::Replace => "Replace",
        }
    }
}
