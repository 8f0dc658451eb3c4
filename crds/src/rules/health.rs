//! Rules of the two health sources.
//!
//! Source: Azure's "Using Application Health extension with Virtual Machine Scale Sets" (settings and ranges), "Load
//! Balancer health probes" (ports).

use kube::core::{Reason, Rule};

use super::{Code, require};

/// Whether an extension is an application-health extension.
const IS_HEALTH: &str = "self.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows']";

fn of_health(expression: &str, field: &str, message: &str) -> Rule {
    let expression = format!("!({IS_HEALTH}) || ({expression})");
    require(&expression, Code::InvalidParameter, &format!(".settings.{field}"), message)
}

fn range(field: &str, low: i32, high: i32) -> Rule {
    let expression =
        format!("!has(self.settings.{field}) || (self.settings.{field} >= {low} && self.settings.{field} <= {high})");
    let message = format!("{field} must be {low} to {high}");
    require(&expression, Code::InvalidParameter, &format!(".settings.{field}"), &message)
}

/// The extension has to know what to ask.
pub(crate) fn protocol_required() -> Rule {
    of_health(
        "has(self.settings.protocol)",
        "protocol",
        "protocol must be set for the application-health extension: http, https or tcp",
    )
    .reason(Reason::FieldValueRequired)
}

/// No other extension reads these settings.
pub(crate) fn health_settings_of_health_only() -> Rule {
    require(
        &format!(
            "{IS_HEALTH} || !(has(self.settings.protocol) || has(self.settings.port) || \
             has(self.settings.requestPath) || has(self.settings.intervalInSeconds) || \
             has(self.settings.numberOfProbes) || has(self.settings.gracePeriod))"
        ),
        Code::InvalidParameter,
        ".settings",
        "protocol, port, requestPath, intervalInSeconds, numberOfProbes and gracePeriod must only be set for the types \
         ApplicationHealthLinux and ApplicationHealthWindows; put settings of other extensions under values",
    )
}

/// A connection needs a port; http and https have one by default.
pub(crate) fn tcp_needs_port() -> Rule {
    of_health(
        "!has(self.settings.protocol) || self.settings.protocol != 'tcp' || has(self.settings.port)",
        "port",
        "port must be set where protocol is tcp",
    )
    .reason(Reason::FieldValueRequired)
}

/// A request needs a path.
pub(crate) fn http_needs_path() -> Rule {
    of_health(
        "!has(self.settings.protocol) || self.settings.protocol == 'tcp' || has(self.settings.requestPath)",
        "requestPath",
        "requestPath must be set where protocol is http or https",
    )
    .reason(Reason::FieldValueRequired)
}

/// A connection has no path.
pub(crate) fn tcp_has_no_path() -> Rule {
    of_health(
        "!has(self.settings.protocol) || self.settings.protocol != 'tcp' || !has(self.settings.requestPath)",
        "requestPath",
        "requestPath must not be set where protocol is tcp",
    )
}

/// Ports.
pub(crate) fn port_range() -> Rule {
    range("port", 1, 65_535)
}

/// How often it asks.
pub(crate) fn interval_range() -> Rule {
    range("intervalInSeconds", 5, 60)
}

/// How many answers decide.
pub(crate) fn probes_range() -> Rule {
    range("numberOfProbes", 1, 24)
}

/// How long an application may take to come up.
pub(crate) fn grace_period_range() -> Rule {
    range("gracePeriod", 5, 14_400)
}

/// Binary health knows no initializing state.
pub(crate) fn grace_period_needs_rich_states() -> Rule {
    of_health(
        "!has(self.settings.gracePeriod) || !self.typeHandlerVersion.startsWith('1.')",
        "gracePeriod",
        "gracePeriod must only be set where typeHandlerVersion is 2.0: version 1.0 has no initializing state",
    )
}

/// Handlers that there are.
pub(crate) fn handler_version() -> Rule {
    require(
        &format!("!({IS_HEALTH}) || self.typeHandlerVersion in ['1.0', '2.0']"),
        Code::InvalidParameter,
        ".typeHandlerVersion",
        "typeHandlerVersion must be 1.0 (binary health states) or 2.0 (rich health states) for the \
         application-health extension",
    )
}

/// Two extensions would contradict each other.
pub(crate) fn one_health_extension() -> Rule {
    require(
        "!has(self.extensions) || self.extensions.filter(extension, \
         extension.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows']).size() <= 1",
        Code::InvalidParameter,
        ".extensions",
        "at most one application-health extension may be set",
    )
}

/// The extension runs in the guest.
pub(crate) fn health_extension_of_os() -> Rule {
    require(
        "!has(self.extensions) || self.extensions.all(extension, \
         extension.type != (self.storageProfile.osDisk.osType == 'Windows' ? 'ApplicationHealthLinux' : \
         'ApplicationHealthWindows'))",
        Code::InvalidParameter,
        ".extensions",
        "the application-health extension must be ApplicationHealthLinux where osType is Linux, and \
         ApplicationHealthWindows where it is Windows",
    )
}

/// A set has one source of health.
pub(crate) fn one_health_source() -> Rule {
    require(
        "!has(self.networkProfile.healthProbe) || !has(self.extensions) || !self.extensions.exists(extension, \
         extension.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows'])",
        Code::InvalidParameter,
        ".networkProfile.healthProbe",
        "either healthProbe or an application-health extension may be set, not both; remove one of them",
    )
}

/// Probes are Uniform's.
pub(crate) fn probe_of_uniform() -> Rule {
    require(
        "self.orchestrationMode == 'Uniform' || !has(self.virtualMachineProfile) || \
         !has(self.virtualMachineProfile.networkProfile.healthProbe)",
        Code::InvalidParameter,
        ".virtualMachineProfile.networkProfile.healthProbe",
        "healthProbe must only be set where orchestrationMode is Uniform; use the application-health extension",
    )
}

fn probe_range(field: &str, low: i32, high: i32) -> Rule {
    let expression = format!("self.{field} >= {low} && self.{field} <= {high}");
    require(&expression, Code::InvalidParameter, &format!(".{field}"), &format!("{field} must be {low} to {high}"))
}

/// Ports.
pub(crate) fn probe_port_range() -> Rule {
    probe_range("port", 1, 65_535)
}

/// How often it asks.
pub(crate) fn probe_interval_range() -> Rule {
    probe_range("intervalSeconds", 5, 300)
}

/// How many failures decide.
pub(crate) fn probe_count_range() -> Rule {
    probe_range("numberOfProbes", 1, 24)
}

/// A request needs a path.
pub(crate) fn probe_path_for_http() -> Rule {
    require(
        "self.protocol == 'Tcp' || has(self.requestPath)",
        Code::InvalidParameter,
        ".requestPath",
        "requestPath must be set where protocol is Http or Https",
    )
    .reason(Reason::FieldValueRequired)
}

/// A connection has no path.
pub(crate) fn probe_path_not_for_tcp() -> Rule {
    require(
        "self.protocol != 'Tcp' || !has(self.requestPath)",
        Code::InvalidParameter,
        ".requestPath",
        "requestPath must not be set where protocol is Tcp",
    )
}

/// Ports that belong to other protocols.
pub(crate) fn probe_port_of_http() -> Rule {
    require(
        "self.protocol != 'Http' || !(self.port in [19, 21, 25, 70, 110, 119, 143, 220, 993])",
        Code::InvalidParameter,
        ".port",
        "port must not be 19, 21, 25, 70, 110, 119, 143, 220 or 993 where protocol is Http",
    )
}
