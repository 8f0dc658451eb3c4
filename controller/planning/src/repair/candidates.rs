//! Who is unhealthy, and whose turn it is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use scaleset_crds::repairs::RepairAction;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{HealthState, RollingUpgradeCode};

use super::grace;
use super::standing::{Standing, is_unwell};
use crate::plan::ScaleSetPlan;
use crate::snapshot::{Looked, Member, Origin, Protection, RepairUptake, ScaleSetSnapshot};
use crate::view::Health;

/// An unhealthy member, and what would be done to it.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'pass> {
    pub(super) member: &'pass Member,
    pub(super) action: RepairAction,
    /// Which repair of its slot in a row.
    pub(super) attempt: u32,
}

/// Whether it may be repaired now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Due,
    Grace,
    Unseen,
    InOtherHands,
    Protected,
}

/// An unhealthy member and its turn; `None` for others, and for one made by hand that could only be thrown away. Failures
/// from before `since` do not count.
pub(super) fn turn<'pass>(
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    busy: &BTreeSet<String>,
    (member, standing): (&'pass Member, Standing),
    since: Timestamp,
) -> Option<(Candidate<'pass>, Turn)> {
    let policy = &snapshot.set.repairs;
    let is_ours = match (member.origin, policy.action) {
        (Origin::Set, _) | (Origin::Hand, RepairAction::Restart) => true,
        (Origin::Hand, RepairAction::Replace | RepairAction::Reimage) => false,
    };
    // Whose repair has begun waits for nothing that could be told.
    if !is_unwell(member) || !is_ours || member.report.repair == RepairUptake::Awaited {
        return None;
    }
    let failed = member.repair.as_ref().filter(|mark| standing == Standing::Failed && mark.since >= since);
    let attempt = failed.map_or(1, |mark| mark.attempt + 1);
    let candidate = Candidate { member, action: policy.action, attempt };
    let is_over = grace::end(member, policy).is_some_and(|end| end <= snapshot.now);
    let turn = if member.protection != Protection::None {
        Turn::Protected
    } else if member.report.looked == Looked::BeforeStart {
        Turn::Unseen
    } else if !is_over || standing == Standing::UnderWay {
        Turn::Grace
    } else if busy.contains(&member.name) || is_being_upgraded(snapshot, plan.rolling_upgrade.as_ref(), member) {
        Turn::InOtherHands
    } else {
        Turn::Due
    };
    Some((candidate, turn))
}

/// Whether an upgrade has it: it has yet to take the model that it follows, the running rolling upgrade has touched it and
/// judges it, or a new member is to replace it.
fn is_being_upgraded(snapshot: &ScaleSetSnapshot, rolling: Option<&RollingUpgradeStatus>, member: &Member) -> bool {
    let takes_model = member.is_made() && member.report.running_revision != member.assigned_revision;
    let running = rolling.filter(|record| match record.running_status.code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => true,
        RollingUpgradeCode::Completed | RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => false,
    });
    let Some(record) = running else { return takes_model };
    let marked = |other: &Member| other.roll.as_ref().as_ref().is_some_and(|mark| mark.number == record.number);
    let replaces = |other: &&Member| {
        other.roll.as_ref().is_some_and(|mark| marked(other) && mark.replaces.as_ref() == Some(&member.name))
    };
    takes_model
        || marked(member)
        || snapshot.members.iter().filter(|other| other.is_live()).any(|other| replaces(&other))
}

impl Candidate<'_> {
    /// Among equals: zone, update domain, fault domain, number, name.
    pub(super) fn order(&self) -> (Option<String>, Option<i32>, Option<i32>, Option<i64>, String) {
        let Member { zone, update_domain, fault_domain, number, name, .. } = self.member;
        (zone.clone(), *update_domain, *fault_domain, *number, name.clone())
    }

    /// What its health source says, and which try it is.
    pub(super) fn why(&self) -> String {
        let said = match self.member.report.health {
            Health::Known(HealthState::Unknown) => "its application does not answer",
            Health::Known(HealthState::Unhealthy | HealthState::Healthy | HealthState::Initializing)
            | Health::Missing
            | Health::NoSource => "unhealthy",
        };
        match self.attempt {
            1 => said.to_owned(),
            attempt => format!("{said} after repair {}", attempt - 1),
        }
    }
}
