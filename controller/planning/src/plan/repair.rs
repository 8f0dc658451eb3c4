//! A member that is repaired where it is, or whose repair is over.

use std::fmt;

use crate::snapshot::{Member, MemberKind, RepairMark};

/// What is written on a member: the repair that it is to carry out, or that none is under way any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repairing {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// The mark; none takes off the one that is there.
    pub mark: Option<RepairMark>,
    /// Why, numbers included.
    pub reason: String,
}

impl Repairing {
    /// Of that member.
    pub(crate) fn of(member: &Member, mark: Option<RepairMark>, reason: String) -> Self {
        let Member { kind, name, uid, resource_version, .. } = member;
        let (name, uid, resource_version) = (name.clone(), uid.clone(), resource_version.clone());
        Self { kind: *kind, name, uid, resource_version, mark, reason }
    }
}

impl fmt::Display for Repairing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mark, reason, kind: _, uid: _, resource_version: _ } = self;
        match mark {
            Some(mark) => {
                write!(formatter, "repair {name} ({}, attempt {}): {reason}", mark.action.as_str(), mark.attempt)
            }
            None => write!(formatter, "end the repair of {name}: {reason}"),
        }
    }
}
