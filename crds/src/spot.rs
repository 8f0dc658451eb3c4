//! Spot VMs: VMs on spare capacity, which are evicted when the capacity is needed or its price rises above theirs.
//!
//! Source: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets", "Use Spot Priority Mix" and the REST
//! reference (`billingProfile`, `spotRestorePolicy`, `priorityMixPolicy`).

use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::spot as refuse;

/// Decimals of a price in US dollars.
const PRICE_DECIMALS: usize = 5;
/// Digits before the point of a price.
const PRICE_DIGITS_MAX: usize = 5;
/// What a price may be spelled like, as the rules of the schema have it.
pub(crate) const PRICE_PATTERN: &str = "^[0-9]{1,5}([.][0-9]{1,5})?$";
/// How a price without limit is spelled.
const UNLIMITED: &str = "-1";

// No doc comments on variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the fields")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    #[default]
    Regular,
    Spot,
}

#[expect(missing_docs, reason = "documented at the fields")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EvictionPolicy {
    #[default]
    Deallocate,
    Delete,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum EvictionReason {
    Capacity,
    Price,
    Simulated,
}

/// Priority of a VM, and what a Spot VM agrees to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::priority_stays(),
    validation = refuse::eviction_policy_stays(),
    validation = refuse::eviction_policy_of_spot(),
    validation = refuse::max_price_of_spot(),
    validation = refuse::max_price_value()
)]
pub struct SpotProfile {
    /// Regular (default), or Spot: spare capacity that can be taken away with 30 seconds' notice.
    #[serde(default, skip_serializing_if = "Priority::is_regular")]
    #[schemars(extend("default" = "Regular"))]
    pub priority: Priority,
    /// What an eviction does to a Spot VM. Deallocate (default): it stays, without hardware, until somebody starts it.
    /// Delete: it goes with its disks, and its set is to have one VM fewer. Spot only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction_policy: Option<EvictionPolicy>,
    /// The most that an hour of a Spot VM may cost, in US dollars with up to five decimals, above 0; `-1` (default): it is
    /// never evicted for its price. Spot only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max_price: Option<String>,
}

/// What a Spot VM agrees to, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotTerms {
    /// What an eviction does.
    pub eviction_policy: EvictionPolicy,
    /// The most that it may cost.
    pub max_price: MaxPrice,
}

/// The most that an hour may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MaxPrice {
    /// Whatever it costs.
    Unlimited,
    /// So much.
    AtMost(Price),
}

/// A price of an hour, not negative, in hundred-thousandths of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price(i64);

/// A text that is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no price: give US dollars with up to five decimals, for example 0.02")]
pub struct PriceError {
    text: String,
}

/// Whether Spot VMs that were evicted for capacity are started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::restore_timeout_range())]
pub struct SpotRestorePolicy {
    /// Whether to try it, default false.
    #[serde(default)]
    pub enabled: bool,
    /// Seconds of scenario time since its eviction after which a VM is left as it is, 60 to 86400, default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub restore_timeout_seconds: Option<i32>,
}

/// How many VMs that a set makes from a Spot profile are of regular priority all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::base_count_range(), validation = refuse::percentage_range())]
pub struct PriorityMixPolicy {
    /// So many VMs come first and are regular, 0 (default) to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub base_regular_priority_count: Option<i32>,
    /// So many in a hundred of the others are regular, rounded down, 0 (default) to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub regular_priority_percentage_above_base: Option<i32>,
}

/// An eviction that has left a VM without hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictionStatus {
    /// When, scenario time.
    pub time: Time,
    /// Capacity: it was needed; Price: it rose above maxPrice; Simulated: somebody asked for it.
    pub reason: EvictionReason,
    /// When its set tried last to get it back and was refused, scenario time. Absent: it was not tried, or not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_refused_at: Option<Time>,
    /// Why it was refused then: Azure's code, and what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub restore_refusal: Option<String>,
}

/// A member that was evicted with policy Delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictedMember {
    /// Uid of the member.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// `spec.replicas` when it was evicted: while it is the same, the target in force is lower by one. Absent: the target
    /// was lowered once, or another count has been wished for since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// `spec.replicas` when it was evicted, where that was a sudden drop that waited for a confirmation: the target in force
    /// was lowered once, and the drop is judged as if it had not been. Absent: it did not wait, or waits no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_replicas: Option<i32>,
}

impl Priority {
    /// Whether it is the ordinary one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
    fn is_regular(&self) -> bool {
        match self {
            Self::Regular => true,
            Self::Spot => false,
        }
    }
}

impl SpotProfile {
    /// What a VM of this profile agrees to; `None` for one of regular priority.
    pub fn terms(&self) -> Option<SpotTerms> {
        let Self { priority, eviction_policy, max_price } = self;
        match priority {
            Priority::Regular => None,
            Priority::Spot => Some(SpotTerms {
                eviction_policy: eviction_policy.unwrap_or_default(),
                // The schema lets nothing else through.
                max_price: max_price.as_deref().and_then(|text| text.parse().ok()).unwrap_or(MaxPrice::Unlimited),
            }),
        }
    }
}

impl MaxPrice {
    /// Whether a VM that agrees to it may run at `price`.
    pub fn allows(self, price: Price) -> bool {
        match self {
            Self::Unlimited => true,
            Self::AtMost(most) => price <= most,
        }
    }
}

impl FromStr for MaxPrice {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        if text == UNLIMITED { Ok(Self::Unlimited) } else { text.parse().map(Self::AtMost) }
    }
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let refused = || PriceError { text: text.to_owned() };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, PRICE_DIGITS_MAX) || !digits(decimals, PRICE_DECIMALS) {
            return Err(refused());
        }
        format!("{whole}{decimals:0<PRICE_DECIMALS$}").parse().map(Self).map_err(|_| refused())
    }
}

impl fmt::Display for Price {
    /// Dollars, without zeros at the end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_i64.pow(u32::try_from(PRICE_DECIMALS).expect("it is 5"));
        let text = format!("{}.{:0PRICE_DECIMALS$}", self.0 / unit, self.0 % unit);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for MaxPrice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => formatter.write_str(UNLIMITED),
            Self::AtMost(price) => price.fmt(formatter),
        }
    }
}

impl TryFrom<String> for Price {
    type Error = PriceError;

    fn try_from(text: String) -> Result<Self, PriceError> {
        text.parse()
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

impl TryFrom<String> for MaxPrice {
    type Error = PriceError;

    fn try_from(text: String) -> Result<Self, PriceError> {
        text.parse()
    }
}

impl From<MaxPrice> for String {
    fn from(price: MaxPrice) -> Self {
        price.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_to_five_decimals() {
        let table =
            [("0.01920", "0.0192"), ("1", "1"), ("00.5", "0.5"), ("12345.00001", "12345.00001"), ("10.0", "10")];
        for (text, shown) in table {
            assert_eq!(text.parse::<Price>().map(|price| price.to_string()).as_deref(), Ok(shown));
        }
        for text in ["", "-1", ".5", "1.", "0.000001", "123456", "1,5", "1e3", "+1"] {
            assert!(text.parse::<Price>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_vm_may_cost_exactly_its_maximum() {
        let price = |text: &str| text.parse::<Price>().expect("a price");
        let most = |text: &str| text.parse::<MaxPrice>().expect("a price");
        assert!(most("0.5").allows(price("0.50000")) && most("-1").allows(price("99999")));
        assert!(!most("0.5").allows(price("0.50001")));
    }

    #[test]
    fn terms_are_those_of_a_spot_vm_with_their_defaults() {
        assert_eq!(SpotProfile::default().terms(), None);
        let spot = SpotProfile { priority: Priority::Spot, ..SpotProfile::default() };
        let terms = SpotTerms { eviction_policy: EvictionPolicy::Deallocate, max_price: MaxPrice::Unlimited };
        assert_eq!(spot.terms(), Some(terms));
    }
}
