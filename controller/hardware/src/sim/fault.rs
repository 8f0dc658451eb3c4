//! What goes wrong on request: scripted faults of boots, extensions and calls, and outages of places.
//!
//! Faults and outages have names, so that setting one twice sets it once and each can be taken away. Whether a fault
//! strikes is drawn from the seed: for boots and extensions by machine and operation, for calls by their number.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::error::Code;
use crate::sim::journal::Call;
use crate::sim::placement::Domain;

/// Which machines something is about; an absent field means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Uid of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Beginning of the owner's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// Namespace of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Zone that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
}

/// What a selector is held against; empty where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) uid: &'a str,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) location: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) vm_size: &'a str,
}

/// A scripted fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Machines that it strikes.
    #[serde(default)]
    pub selector: Selector,
    /// What it does.
    pub effect: FaultEffect,
    /// In how many of 100 cases, 0 to 100.
    #[serde(default = "always")]
    pub rate_percent: f64,
    /// How often it strikes before it is over; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u32>,
}

/// What a scripted fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FaultEffect {
    /// Boots take so many times as long.
    SlowBoot {
        /// From 1 to 1000.
        factor: f64,
    },
    /// Boots fail.
    FailBoot {
        /// How.
        code: BootFailure,
    },
    /// An extension fails.
    FailExtension {
        /// Its name.
        extension: String,
    },
    /// Calls are refused as too many, and change nothing.
    ThrottleCalls {
        /// Which; all when empty.
        #[serde(default)]
        calls: Vec<Call>,
        /// Wall time to wait, in seconds.
        retry_after_seconds: f64,
    },
    /// Calls fail and change nothing.
    FailCalls {
        /// Which; all when empty.
        #[serde(default)]
        calls: Vec<Call>,
    },
    /// Calls take effect, but their answer is lost.
    LoseAnswers {
        /// Which; all when empty.
        #[serde(default)]
        calls: Vec<Call>,
    },
    /// Calls that only read answer that there is nothing; others work as ever.
    EmptyAnswers {
        /// Which; all when empty.
        #[serde(default)]
        calls: Vec<Call>,
    },
}

/// How a boot fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootFailure {
    /// The machine runs, but its guest never reports.
    OSProvisioningTimedOut,
    /// The machine does not start.
    VMStartTimedOut,
}

impl BootFailure {
    /// Azure's code of the machine's failure.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::OSProvisioningTimedOut => "OSProvisioningTimedOut",
            Self::VMStartTimedOut => "VMStartTimedOut",
        }
    }
}

/// A place that is down: every host that all its fields fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outage {
    /// Region.
    pub location: String,
    /// Zone; the whole region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Fault domain, of the zone or of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_domain: Option<i32>,
    /// One host by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What the faults do to one operation on one machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Disturbance {
    pub(crate) slow_factor: Option<f64>,
    pub(crate) boot_failure: Option<BootFailure>,
    pub(crate) failing_extensions: Vec<String>,
}

/// What the faults do to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Throttle(SignedDuration),
    Fail,
    LoseAnswer,
    Empty,
}

impl Selector {
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let Self { uid, name_prefix, namespace, location, zone, vm_size } = self;
        let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        same(uid, subject.uid)
            && name_prefix.as_ref().is_none_or(|prefix| subject.name.starts_with(prefix.as_str()))
            && same(namespace, subject.namespace)
            && same(location, subject.location)
            && same(zone, subject.zone)
            && same(vm_size, subject.vm_size)
    }
}

impl FaultEffect {
    /// Whether it concerns calls rather than boots, and this one in particular.
    pub(crate) fn verdict(&self, call: Call) -> Verdict {
        let among = |calls: &Vec<Call>| calls.is_empty() || calls.contains(&call);
        match self {
            Self::SlowBoot { factor: _ } | Self::FailBoot { code: _ } | Self::FailExtension { extension: _ } => {
                Verdict::Pass
            }
            Self::ThrottleCalls { calls, retry_after_seconds } if among(calls) => {
                Verdict::Throttle(crate::sim::latency::in_milliseconds(*retry_after_seconds))
            }
            Self::FailCalls { calls } if among(calls) => Verdict::Fail,
            Self::LoseAnswers { calls } if among(calls) => Verdict::LoseAnswer,
            Self::EmptyAnswers { calls } if among(calls) => Verdict::Empty,
            Self::ThrottleCalls { .. }
            | Self::FailCalls { .. }
            | Self::LoseAnswers { .. }
            | Self::EmptyAnswers { .. } => Verdict::Pass,
        }
    }
}

impl Fault {
    /// Counts one strike; the fault is over when none remains.
    pub(crate) fn strike(&mut self) {
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(1);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.remaining == Some(0)
    }
}

impl Outage {
    pub(crate) fn covers(&self, location: &str, domain: &Domain, host: &str) -> bool {
        let Self { location: of_region, zone, fault_domain, host: of_host } = self;
        of_region == location
            && (zone.is_none() || *zone == domain.zone)
            && fault_domain.is_none_or(|fault_domain| fault_domain == domain.fault_domain)
            && of_host.as_ref().is_none_or(|name| name == host)
    }
}

fn always() -> f64 {
    100.0
}
