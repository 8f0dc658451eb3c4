//! Where a VM's health comes from: the application-health extension in its guest, or the probe of a load balancer in
//! front of it. A model has at most one source.
//!
//! Source: Azure's "Using Application Health extension with Virtual Machine Scale Sets" and "Load Balancer health
//! probes".

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::profile::{Extension, VirtualMachineModel};
use crate::rules::health as refuse;
use crate::vocabulary::{ApplicationProtocol, ProbeProtocol};

/// Types of the application-health extension, one for each kind of operating system.
pub const HEALTH_EXTENSION_TYPES: [&str; 2] = ["ApplicationHealthLinux", "ApplicationHealthWindows"];

/// The probe of a load balancer: it asks from outside, so that a guest that hangs is found out too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::probe_port_range(),
    validation = refuse::probe_interval_range(),
    validation = refuse::probe_count_range(),
    validation = refuse::probe_path_for_http(),
    validation = refuse::probe_path_not_for_tcp(),
    validation = refuse::probe_port_of_http()
)]
pub struct HealthProbe {
    /// Load balancer of the region that asks. Required.
    #[schemars(length(min = 1, max = 80))]
    pub load_balancer: String,
    /// Http and Https want the answer 200, Tcp a connection. Required.
    pub protocol: ProbeProtocol,
    /// Port, 1 to 65535; Http not on 19, 21, 25, 70, 110, 119, 143, 220 and 993. Required.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub port: i32,
    /// Path that is asked for; required for Http and Https, not for Tcp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub request_path: Option<String>,
    /// Seconds of scenario time between two probes, 5 (default) to 300.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub interval_seconds: i32,
    /// Failures in a row that make a VM unhealthy, 1 to 24, default 2; one success makes it healthy.
    #[serde(default = "default_number_of_probes")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub number_of_probes: i32,
}

const fn default_interval_seconds() -> i32 {
    5
}

const fn default_number_of_probes() -> i32 {
    2
}

/// How an application-health extension judges, by the version of its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStates {
    /// Handler 1.0: healthy or unhealthy.
    Binary,
    /// Handler 2.0: initializing and unknown as well.
    Rich,
}

/// Where a VM's health comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSource<'model> {
    /// The application-health extension.
    Extension(ApplicationHealth<'model>),
    /// A load balancer's probe.
    Probe(&'model HealthProbe),
}

/// The settings of an application-health extension, with the defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplicationHealth<'model> {
    /// Name of the extension.
    pub name: &'model str,
    /// Protocol.
    pub protocol: ApplicationProtocol,
    /// States that it knows.
    pub states: HealthStates,
    /// Seconds between two probes.
    pub interval_seconds: i32,
    /// Equal results in a row that change the state.
    pub number_of_probes: i32,
    /// Seconds after its start within which it may be initializing.
    pub grace_period_seconds: i32,
}

impl Extension {
    /// Whether it is an application-health extension.
    pub fn is_health(&self) -> bool {
        HEALTH_EXTENSION_TYPES.contains(&self.extension_type.as_str())
    }

    /// Its settings, if it is an application-health extension.
    pub fn application_health(&self) -> Option<ApplicationHealth<'_>> {
        if !self.is_health() {
            return None;
        }
        let interval_seconds = self.settings.interval_in_seconds.unwrap_or(5);
        let number_of_probes = self.settings.number_of_probes.unwrap_or(1);
        Some(ApplicationHealth {
            name: &self.name,
            protocol: self.settings.protocol?,
            states: if self.type_handler_version.starts_with("1.") { HealthStates::Binary } else { HealthStates::Rich },
            interval_seconds,
            number_of_probes,
            grace_period_seconds: self.settings.grace_period.unwrap_or(interval_seconds * number_of_probes),
        })
    }
}

impl VirtualMachineModel {
    /// Where its health comes from; `None` where nobody asks.
    pub fn health_source(&self) -> Option<HealthSource<'_>> {
        let extension = self.extensions.iter().find_map(Extension::application_health).map(HealthSource::Extension);
        extension.or_else(|| self.network_profile.health_probe.as_ref().map(HealthSource::Probe))
    }
}
