//! Where each member stands in a rolling upgrade, and what follows from the numbers.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::load_balancing::longest_drain_seconds;
use scaleset_crds::os_upgrade::RollbackInfo;
use scaleset_crds::rolling_upgrade::{
    RollingUpgradeBatch, RollingUpgradeError, RollingUpgradeProgress, RollingUpgradeStatus,
};
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState};

use super::record::time;
use super::surge::{Pair, Surge, lacks_room};
use super::{RollingInput, Target, between, count};
use crate::budget::was_healthy;
use crate::snapshot::{Availability, Looked, Member, Observation, OsDiskWish, Protection, RollMark};
use crate::upgrade::os_image;
use crate::view::Health;
use crate::wording::some_names;

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not upgraded yet.
    Pending,
    /// It is being upgraded, and is waited for until then.
    InProgress {
        /// When it counts as failed.
        until: Timestamp,
    },
    /// Upgraded and well.
    Successful,
    /// Upgraded, and not well.
    Failed,
    /// Brought back, or on its way back.
    BroughtBack,
}

/// Everybody whom an upgrade is about.
pub(super) struct Census<'pass> {
    input: &'pass RollingInput<'pass>,
    target: String,
    surge: Surge<'pass>,
    standings: Vec<(&'pass Member, Standing)>,
    /// Members of this upgrade that are gone, and whose successors are yet to be made.
    missing: usize,
}

impl<'pass> Census<'pass> {
    pub(super) fn of(input: &'pass RollingInput<'pass>, record: &RollingUpgradeStatus) -> Self {
        let surge = Surge::of(input.upgrade.members, input.surge, Some(record));
        let made = input.upgrade.members.iter().filter(|member| member.is_made() && member.is_live());
        let counted = made.filter(|member| !surge.hides(member));
        let standings: Vec<(&Member, Standing)> =
            counted.filter_map(|member| Some((member, standing(input, record, member)?))).collect();
        let missing = missing(input, record, &surge, standings.len());
        Self { input, target: record.target_revision.clone(), surge, standings, missing }
    }

    fn standing(&self, is: fn(&Standing) -> bool) -> Vec<&'pass Member> {
        self.standings.iter().filter(|(_, standing)| is(standing)).map(|(member, _)| *member).collect()
    }

    fn failed(&self) -> Vec<&'pass Member> {
        self.standing(|standing| matches!(standing, Standing::Failed | Standing::BroughtBack))
    }

    fn successful(&self) -> Vec<&'pass Member> {
        self.standing(|standing| *standing == Standing::Successful)
    }

    /// Members that are being upgraded.
    pub(super) fn in_progress(&self) -> Vec<&'pass Member> {
        self.standing(|standing| matches!(standing, Standing::InProgress { .. }))
    }

    pub(super) fn progress(&self) -> RollingUpgradeProgress {
        RollingUpgradeProgress {
            successful_instance_count: count(self.successful().len()),
            failed_instance_count: count(self.failed().len()),
            in_progress_instance_count: count(self.in_progress().len() + self.missing),
            pending_instance_count: count(self.standing(|standing| *standing == Standing::Pending).len()),
        }
    }

    /// Whether somebody is being upgraded.
    pub(super) fn is_waiting(&self) -> bool {
        !self.in_progress().is_empty() || self.missing > 0
    }

    /// The batch of those that are being upgraded, where a pass that died before it was recorded had begun it.
    pub(super) fn batch_begun(&self) -> RollingUpgradeBatch {
        let marks = self.in_progress().into_iter().filter_map(|member| Some(member.roll.as_ref()?.since));
        RollingUpgradeBatch {
            number: 1,
            size: self.progress().in_progress_instance_count,
            start_time: time(marks.min().unwrap_or(self.input.now)),
            end_time: None,
            surge_unavailable: None,
        }
    }

    /// How many successors are yet to be made.
    pub(super) const fn missing(&self) -> usize {
        self.missing
    }

    /// Members that are being upgraded, with when they count as failed.
    fn timeouts(&self) -> impl Iterator<Item = (&'pass Member, Timestamp)> {
        self.standings.iter().filter_map(|(member, standing)| match standing {
            Standing::InProgress { until } => Some((*member, *until)),
            Standing::Pending | Standing::Successful | Standing::Failed | Standing::BroughtBack => None,
        })
    }

    /// How long until the next of them counts as failed; what has no time left is waited for until its hardware answers.
    pub(super) fn wake_after(&self) -> Option<Duration> {
        let now = self.input.now;
        let next = |(member, until): (&Member, Timestamp)| {
            if until > now { Some(until) } else { member.report.looked.again_after().map(|after| now + after) }
        };
        self.timeouts().filter_map(next).min().map(|until| between(now, until))
    }

    pub(super) fn waited_for(&self) -> String {
        let names: Vec<&str> = self.in_progress().iter().map(|member| member.name.as_str()).collect();
        let overdue = self.timeouts().filter(|(_, until)| *until <= self.input.now).count();
        let silent = if overdue > 0 { format!(", the hardware of {overdue} does not answer") } else { String::new() };
        let to_come = if self.missing > 0 { format!("{} to be made", self.missing) } else { String::new() };
        let both = if names.is_empty() || to_come.is_empty() { "" } else { ", " };
        format!("{}{silent}{both}{to_come}", some_names(&names))
    }

    /// Pairs whose new member is well.
    pub(super) fn replaced(&self) -> Vec<Pair<'pass>> {
        self.successful().into_iter().filter_map(|member| self.surge.pair_of(member).copied()).collect()
    }

    /// Pairs whose new member has failed.
    pub(super) fn not_replaced(&self) -> Vec<Pair<'pass>> {
        self.failed().into_iter().filter_map(|member| self.surge.pair_of(member).copied()).collect()
    }

    /// Live members whose hardware did not answer, and that are wished to run.
    pub(super) fn unseen(&self) -> usize {
        let all = self.input.upgrade.members.iter().filter(|member| member.is_live() && !member.is_stopped_by_wish());
        all.filter(|member| member.report.observation == Observation::Unseen).count()
    }

    /// Azure compares strictly: 20 % of 10 allows 2 and stops at 3.
    pub(super) fn too_many_unhealthy(&self, reason: Reason) -> Option<RollingUpgradeError> {
        let live: Vec<&Member> = self.input.upgrade.members.iter().filter(|member| member.is_live()).collect();
        let unhealthy: Vec<&str> =
            live.iter().filter(|member| self.is_unhealthy(member)).map(|member| member.name.as_str()).collect();
        let percent = self.input.policy.max_unhealthy_percent;
        exceeds(unhealthy.len(), live.len(), percent).then(|| RollingUpgradeError {
            code: reason.as_str().to_owned(),
            message: format!(
                "{} of {} unhealthy, more than maxUnhealthyInstancePercent ({percent} %): {}",
                unhealthy.len(),
                live.len(),
                some_names(&unhealthy)
            ),
        })
    }

    /// Of those that have been upgraded so far.
    pub(super) fn too_many_upgraded_unhealthy(&self) -> Option<RollingUpgradeError> {
        let (failed, successful) = (self.failed(), self.successful().len());
        let upgraded = failed.len() + successful;
        let percent = self.input.policy.max_unhealthy_upgraded_percent;
        let names: Vec<&str> = failed.iter().map(|member| member.name.as_str()).collect();
        exceeds(failed.len(), upgraded, percent).then(|| RollingUpgradeError {
            code: Reason::MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade.as_str().to_owned(),
            message: format!(
                "{} of {upgraded} upgraded unhealthy, more than maxUnhealthyUpgradedInstancePercent ({percent} %): {}",
                failed.len(),
                some_names(&names)
            ),
        })
    }

    /// Failures that the thresholds allow, while so many wait for their turn.
    pub(super) fn failures_so_far(&self, waiting: usize) -> Option<RollingUpgradeError> {
        let how = if waiting == 0 { "is complete" } else { "goes on" };
        let names: Vec<&str> = self.failed().iter().map(|member| member.name.as_str()).collect();
        (!names.is_empty()).then(|| RollingUpgradeError {
            code: Reason::RollingUpgradeInProgressWithFailedUpgradedVMs.as_str().to_owned(),
            message: format!("{} failed within the thresholds, the upgrade {how}: {}", names.len(), some_names(&names)),
        })
    }

    /// Failed members with the revision on which they were well.
    pub(super) fn to_bring_back(&self) -> Vec<(&'pass Member, &'pass str)> {
        let failed = self.standing(|standing| *standing == Standing::Failed).into_iter();
        failed.filter_map(|member| Some((member, self.well_on(member)?))).collect()
    }

    fn well_on(&self, member: &'pass Member) -> Option<&'pass str> {
        let own = member.report.healthy_on_revision.as_deref();
        let candidates = [own, self.input.last_healthy];
        let exists = |name: &&str| self.input.upgrade.revisions.iter().any(|revision| revision.name == **name);
        candidates.into_iter().flatten().find(|name| *name != self.target && exists(name))
    }

    /// Members that are on their way back and are still waited for.
    pub(super) fn going_back(&self) -> usize {
        let brought_back = self.standing(|standing| *standing == Standing::BroughtBack);
        brought_back.into_iter().filter(|member| self.is_going_back(member)).count()
    }

    fn is_going_back(&self, member: &Member) -> bool {
        let timeout = patience(self.input);
        let in_time = member.roll.as_ref().is_some_and(|mark| begun(mark, member) + timeout > self.input.now);
        let under_way = self.awaits_disk(member) || (!member.is_settled() && !member.has_failed());
        in_time && under_way && !member.is_stopped_by_wish()
    }

    fn awaits_disk(&self, member: &Member) -> bool {
        self.input.target.is_image() && os_image::is_awaited(member)
    }

    /// Members that are not well on a fresh OS disk, with the name of the one before.
    pub(super) fn to_restore(&self) -> Vec<(&'pass Member, &'pass str)> {
        let former = |member: &'pass Member| match &member.os_disk_wish {
            Some(OsDiskWish::Fresh { version: _, after }) => Some((member, after.as_str())),
            Some(OsDiskWish::Former { disk: _ }) | None => None,
        };
        self.standing(|standing| *standing == Standing::Failed).into_iter().filter_map(former).collect()
    }

    /// How members stand that were given their former OS disk back.
    pub(super) fn rollback_info(&self) -> RollbackInfo {
        let brought_back = self.standing(|standing| *standing == Standing::BroughtBack);
        let ended: Vec<&Member> = brought_back.into_iter().filter(|member| !self.is_going_back(member)).collect();
        let is_well =
            |member: &&&Member| !self.awaits_disk(member) && (member.is_settled() || member.is_stopped_by_wish());
        let well = ended.iter().filter(is_well).count();
        RollbackInfo {
            successfully_rolledback_instance_count: count(well),
            failed_rolledback_instance_count: count(ended.len() - well),
        }
    }

    /// Known to be unwell and not on its way: what a person stopped, and what was never well on its outdated model, does
    /// not count.
    fn is_unhealthy(&self, member: &Member) -> bool {
        let never_well = !was_healthy(member) || self.input.has_bad_image(member);
        let outdated = member.is_made() && !is_at_target(self.input, &self.target, member);
        if member.is_stopped_by_wish() || (outdated && never_well) || is_on_its_way(member) {
            return false;
        }
        member.availability() == Availability::Unavailable
    }
}

/// A member that was deleted, so that another takes its place, is known only from the record: those that it counted and
/// that are no longer there, as far as the target misses them. Whoever dies in between finds them again.
fn missing(input: &RollingInput<'_>, record: &RollingUpgradeStatus, surge: &Surge<'_>, counted: usize) -> usize {
    let Some(recorded) = input.record.filter(|recorded| recorded.number == record.number) else { return 0 };
    let RollingUpgradeProgress {
        successful_instance_count,
        failed_instance_count,
        in_progress_instance_count,
        pending_instance_count,
    } = recorded.progress;
    let sum = successful_instance_count + failed_instance_count + in_progress_instance_count + pending_instance_count;
    let live = input.upgrade.members.iter().filter(|member| member.is_made() && member.is_live()).count();
    let short = (input.surge.target + surge.pairs.len()).saturating_sub(live);
    usize::try_from(sum).unwrap_or(0).saturating_sub(counted).min(short)
}

fn exceeds(part: usize, whole: usize, percent: i32) -> bool {
    part * 100 > whole * usize::try_from(percent).unwrap_or(0)
}

/// Something is being done to it, or its application is coming up.
fn is_on_its_way(member: &Member) -> bool {
    let report = &member.report;
    matches!(
        report.provisioning,
        ProvisioningState::Creating | ProvisioningState::Updating | ProvisioningState::Deleting
    ) || matches!(report.power, PowerState::Creating | PowerState::Starting | PowerState::Stopping)
        || report.health == Health::Known(HealthState::Initializing)
        || member.is_draining()
}

/// Whether nothing of the target is missing on a member.
fn is_at_target(input: &RollingInput<'_>, revision: &str, member: &Member) -> bool {
    let follows = member.assigned_revision.as_deref() == Some(revision);
    match input.target {
        Target::Model => follows,
        Target::Image(target) => {
            follows && member.report.os_disk.as_ref().is_none_or(|disk| disk.version == target.version())
        }
    }
}

/// `None` for a member that the upgrade is not about.
fn standing(input: &RollingInput<'_>, record: &RollingUpgradeStatus, member: &Member) -> Option<Standing> {
    match &record.os_upgrade {
        None => standing_of_model(input, record, member),
        Some(target) => standing_of_image(input, record, target.target_image_reference.requested_version(), member),
    }
}

fn standing_of_model(input: &RollingInput<'_>, record: &RollingUpgradeStatus, member: &Member) -> Option<Standing> {
    let mark = member.roll.as_ref().filter(|mark| mark.number == record.number);
    let at_target = member.assigned_revision.as_deref() == Some(record.target_revision.as_str());
    match (mark, at_target) {
        (None, true) => None,
        (None, false) if member.protection == Protection::FromSetActions => None,
        (None, false) => Some(Standing::Pending),
        // A person has changed it since: it has its turn to come.
        (Some(_), false) if member.assigned_revision.is_none() => Some(Standing::Pending),
        (Some(_), false) => Some(Standing::BroughtBack),
        (Some(mark), true) => {
            let uptake = if member.report.running_revision.as_deref() == Some(record.target_revision.as_str()) {
                Uptake::Taken
            } else if mark.replaces.is_some() && lacks_room(member) {
                Uptake::Waits
            } else {
                Uptake::UnderWay
            };
            Some(touched(input, mark, member, uptake))
        }
    }
}

/// Members on other models than the newest are not what it is about.
fn standing_of_image(
    input: &RollingInput<'_>,
    record: &RollingUpgradeStatus,
    version: &str,
    member: &Member,
) -> Option<Standing> {
    let Some(mark) = member.roll.as_ref().filter(|mark| mark.number == record.number) else {
        let follows = member.assigned_revision.as_deref() == Some(record.target_revision.as_str());
        let older = member.report.os_disk.as_ref().is_some_and(|disk| disk.version != version);
        let left_alone = member.protection == Protection::FromSetActions;
        return (follows && older && !left_alone).then_some(Standing::Pending);
    };
    if let Some(OsDiskWish::Former { disk: _ }) = &member.os_disk_wish {
        return Some(Standing::BroughtBack);
    }
    let uptake = if os_image::is_awaited(member) {
        Uptake::Waits
    } else if member.report.os_disk.as_ref().is_some_and(|disk| disk.version == version) {
        Uptake::Taken
    } else {
        Uptake::UnderWay
    };
    Some(touched(input, mark, member, uptake))
}

/// How far a member has taken what it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uptake {
    /// Its hardware has it.
    Taken,
    /// It waits for its turn or for room: a failure of its hardware is another matter.
    Waits,
    /// Its hardware is at it.
    UnderWay,
}

/// How long a member may take: requests under way end first, and that is none of its fault.
fn patience(input: &RollingInput<'_>) -> Duration {
    let profiles = input.upgrade.revisions.iter().map(|revision| &revision.profile.network_profile);
    let longest = profiles.filter_map(|profile| longest_drain_seconds(&profile.network_interfaces)).max();
    let longest = longest.and_then(|seconds| u64::try_from(seconds).ok());
    input.policy.health_timeout + Duration::from_secs(longest.unwrap_or_default())
}

/// Where a member stands that the upgrade has touched.
fn touched(input: &RollingInput<'_>, mark: &RollMark, member: &Member, uptake: Uptake) -> Standing {
    let until = begun(mark, member) + patience(input) + input.notice();
    // Nobody is late for the time in which nobody looked.
    let unseen = member.report.observation == Observation::Unseen || member.report.looked == Looked::BeforeStart;
    if member.is_stopped_by_wish() || (uptake == Uptake::Taken && member.is_settled()) {
        Standing::Successful
    } else if unseen || (input.now < until && (!member.has_failed() || uptake == Uptake::Waits)) {
        Standing::InProgress { until }
    } else if uptake == Uptake::Taken && was_well_on_target(input, member) && is_on_its_way(member) {
        // Somebody restarts or changes it later: that is no failure of the upgrade.
        Standing::Successful
    } else {
        Standing::Failed
    }
}

/// From when the time of a member counts: its mark, or the first look of this process at it. Where one died between the two its hardware
/// may not have been asked yet, and however long nobody was there, that is none of its fault.
fn begun(mark: &RollMark, member: &Member) -> Timestamp {
    match member.report.looked {
        Looked::SinceStart(first) => mark.since.max(first),
        Looked::BeforeStart => mark.since,
    }
}

impl RollingInput<'_> {
    /// How long a VM may wait for an approval before its OS disk is replaced, as the models of the set say.
    fn notice(&self) -> Duration {
        let profiles = self.upgrade.revisions.iter().chain([self.upgrade.newest]).map(|revision| &revision.profile);
        let notices = profiles.filter_map(|profile| profile.scheduled_events_profile.as_ref()?.os_image_notification());
        let longest = notices.map(|notice| notice.not_before_timeout_seconds).max().unwrap_or(0);
        Duration::from_secs(u64::try_from(longest).unwrap_or(0))
    }
}

/// Whether it was well after it took the model, or the fresh disk.
fn was_well_on_target(input: &RollingInput<'_>, member: &Member) -> bool {
    let report = &member.report;
    match input.target {
        Target::Model => was_healthy(member),
        Target::Image(_) => {
            let disk = report.os_disk.as_ref().map(|disk| &disk.name);
            disk.is_some() && report.healthy_on_os_disk.as_ref() == disk
        }
    }
}
