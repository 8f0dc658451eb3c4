//! Where a member stands with its repair, by its mark and by facts.

use jiff::Timestamp;
use scaleset_crds::vocabulary::{PowerState, ProvisioningState};

use super::grace;
use crate::snapshot::{Availability, Looked, Member, Observation, RepairPolicy, RepairUptake};

/// Where a member stands with its repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It bears no mark.
    Untouched,
    /// It is being repaired, or coming up, or nobody can tell.
    UnderWay,
    /// It is healthy, and its grace is not over.
    OnTrial,
    /// It is healthy, and its grace is over.
    Mended,
    /// It is unhealthy, and its grace is over.
    Failed,
    /// It did not come up, and its own pass tries again; or it has waited for room or quota for longer than its grace.
    Stuck,
    /// A person has stopped it, or its health source is silent.
    Resting,
}

pub(super) fn standing(member: &Member, policy: &RepairPolicy, now: Timestamp) -> Standing {
    let report = &member.report;
    if member.repair.is_none() {
        return Standing::Untouched;
    }
    if member.is_stopped_by_wish() {
        return Standing::Resting;
    }
    let unseen = report.observation == Observation::Unseen || report.looked == Looked::BeforeStart;
    if unseen || report.repair == RepairUptake::Awaited {
        return Standing::UnderWay;
    }
    if member.has_failed() || is_tried_again(member, policy, now) {
        return if awaits_hardware(member, policy, now) { Standing::UnderWay } else { Standing::Stuck };
    }
    let is_over = grace::end(member, policy).is_some_and(|end| end <= now);
    match (member.availability(), is_over) {
        (Availability::Available, false) => Standing::OnTrial,
        (Availability::Available, true) => Standing::Mended,
        (Availability::Unavailable | Availability::Unknown, false) => Standing::UnderWay,
        (Availability::Unavailable | Availability::Unknown, true) if is_unwell(member) => Standing::Failed,
        (Availability::Unavailable, true) if is_changing(member) => Standing::UnderWay,
        (Availability::Unavailable | Availability::Unknown, true) => Standing::Resting,
    }
}

/// Whether its own pass tries once more to boot what a restart or a reimage has not brought up in its grace: that is no repair any more.
fn is_tried_again(member: &Member, policy: &RepairPolicy, now: Timestamp) -> bool {
    let in_place = member.repair.as_ref().is_some_and(|mark| mark.replaces.is_none());
    in_place && grace::is_over_of_repair(member, policy, now) && is_changing(member)
}

/// Whether it was made in the place of another and waits for hardware: its repair is not done, and takes its place in the batch until
/// its grace is over.
fn awaits_hardware(member: &Member, policy: &RepairPolicy, now: Timestamp) -> bool {
    grace::end_unseen(member, policy).is_some_and(|end| now < end)
}

/// Whether it is to run and runs, nothing is being done to it, and its health source says that its application is not well.
/// What no source has said yet, or says no longer, is no bad news; nor is what its hardware did not tell.
pub(super) fn is_unwell(member: &Member) -> bool {
    let report = &member.report;
    report.observation == Observation::Current
        && report.provisioning == ProvisioningState::Succeeded
        && report.power == PowerState::Running
        && !member.is_stopped_by_wish()
        && report.health.is_unhealthy()
}

/// Whether its hardware is in the middle of something.
pub(super) fn is_changing(member: &Member) -> bool {
    let report = &member.report;
    matches!(report.provisioning, ProvisioningState::Creating | ProvisioningState::Updating)
        || matches!(report.power, PowerState::Creating | PowerState::Starting | PowerState::Stopping)
}
