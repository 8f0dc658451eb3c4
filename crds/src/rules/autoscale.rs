//! Rules of `AutoscaleSetting`.
//!
//! Source: Azure's "Understand autoscale settings" and "Overview of autoscale with Azure Virtual Machine Scale Sets" for the
//! numbers of profiles and rules, the reference of `Microsoft.Insights/autoscalesettings` for ranges.

use kube::core::Rule;

use super::{Code, require};

/// Its records are about one set.
pub(crate) fn target_stays() -> Rule {
    require(
        "self.scaleTargetRef.name == oldSelf.scaleTargetRef.name",
        Code::PropertyChangeNotAllowed,
        ".scaleTargetRef",
        "scaleTargetRef cannot be changed after creation",
    )
}

/// How many profiles a setting has.
pub(crate) fn profile_count() -> Rule {
    require(
        "size(self.profiles) >= 1 && size(self.profiles) <= 20",
        Code::InvalidParameter,
        ".profiles",
        "there must be 1 to 20 profiles",
    )
}

/// Which one is in force when no other is must be clear.
pub(crate) fn one_default() -> Rule {
    require(
        "self.profiles.filter(profile, !has(profile.fixedDate) && !has(profile.recurrence)).size() <= 1",
        Code::InvalidParameter,
        ".profiles",
        "at most one profile must be without fixedDate and recurrence",
    )
}

/// A profile has one schedule, or none.
pub(crate) fn one_schedule() -> Rule {
    require(
        "!has(self.fixedDate) || !has(self.recurrence)",
        Code::InvalidParameter,
        ".recurrence",
        "recurrence must be absent where fixedDate is set",
    )
}

/// How many rules a profile has.
pub(crate) fn rule_count() -> Rule {
    require(
        "!has(self.rules) || size(self.rules) <= 10",
        Code::InvalidParameter,
        ".rules",
        "there must be at most 10 rules",
    )
}

/// The bounds are the right way round.
pub(crate) fn bounds_order() -> Rule {
    require("self.minimum <= self.maximum", Code::InvalidParameter, ".minimum", "minimum must be at most maximum")
}

/// The bounds hold the default; which of two crossed ones is meant, nobody knows.
pub(crate) fn default_between() -> Rule {
    require(
        "self.minimum > self.maximum || (self.minimum <= self.default && self.default <= self.maximum)",
        Code::InvalidParameter,
        ".default",
        "default must be from minimum to maximum",
    )
}

/// A year at most, and not backwards. What is no date is no instant either.
pub(crate) fn fixed_date_order() -> Rule {
    require(
        "timestamp(self.start + 'Z') < timestamp(self.end + 'Z') && \
         timestamp(self.end + 'Z') - timestamp(self.start + 'Z') <= duration('8760h')",
        Code::InvalidParameter,
        ".end",
        "end must be after start and at most 365 days after it",
    )
}

/// Hours as a clock shows them.
pub(crate) fn hours_of_the_clock() -> Rule {
    let message = "hours must be 0 to 23";
    require("self.hours.all(hour, hour >= 0 && hour <= 23)", Code::InvalidParameter, ".hours", message)
}

/// Minutes as a clock shows them.
pub(crate) fn minutes_of_the_clock() -> Rule {
    let message = "minutes must be 0 to 59";
    require("self.minutes.all(minute, minute >= 0 && minute <= 59)", Code::InvalidParameter, ".minutes", message)
}

/// A window without a whole grain has no value.
pub(crate) fn window_holds_a_grain() -> Rule {
    require(
        "self.timeWindowSeconds >= self.timeGrainSeconds",
        Code::InvalidParameter,
        ".timeWindowSeconds",
        "timeWindowSeconds must be at least timeGrainSeconds",
    )
}

/// A number that is compared exactly.
pub(crate) fn threshold_shape() -> Rule {
    require(
        r"self.threshold.matches('^-?(1000000000000|[0-9]{1,12}(\\.[0-9]{1,3})?)$')",
        Code::InvalidParameter,
        ".threshold",
        "threshold must be a decimal number with at most 3 digits after the point, -1000000000000 to 1000000000000",
    )
}

/// Nothing else tells VMs of a set apart.
pub(crate) fn dimension_name() -> Rule {
    require(
        "self.dimensionName == 'VMName'",
        Code::InvalidParameter,
        ".dimensionName",
        "dimensionName must be VMName, the only dimension that VMs of a set have",
    )
}

/// How many names a dimension compares with.
pub(crate) fn dimension_values() -> Rule {
    require(
        "size(self.values) >= 1 && size(self.values) <= 50",
        Code::InvalidParameter,
        ".values",
        "there must be 1 to 50 values",
    )
}

/// A number whose range is answered with a code.
pub(crate) fn range(field: &str, least: i32, most: i32) -> Rule {
    require(
        &format!("self.{field} >= {least} && self.{field} <= {most}"),
        Code::InvalidParameter,
        &format!(".{field}"),
        &format!("{field} must be {least} to {most}"),
    )
}
