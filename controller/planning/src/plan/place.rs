//! Actions about the place of a member: that it has it for good, or that it gets another.

use std::fmt;

use crate::snapshot::MemberKind;

/// A member of a scale-out that stays: it is marked no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// Why it stays.
    pub reason: String,
}

/// Another place in its zone for a member without hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seating {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// Fault domain; none where the hardware spreads.
    pub fault_domain: Option<i32>,
    /// Placement group.
    pub placement_group: Option<String>,
    /// Update domain.
    pub update_domain: Option<i32>,
    /// Why, numbers included.
    pub reason: String,
}

impl fmt::Display for Keeping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason, kind: _, uid: _, resource_version: _ } = self;
        write!(formatter, "keep {name}: {reason}")
    }
}

impl fmt::Display for Seating {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, fault_domain, placement_group, update_domain, reason, kind: _, uid: _, resource_version: _ } =
            self;
        write!(formatter, "seat {name}")?;
        if let Some(domain) = fault_domain {
            write!(formatter, " fd {domain}")?;
        }
        if let (Some(group), Some(domain)) = (placement_group, update_domain) {
            write!(formatter, " group {group} ud {domain}")?;
        }
        write!(formatter, ": {reason}")
    }
}
