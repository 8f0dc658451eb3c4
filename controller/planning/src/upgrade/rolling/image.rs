//! What a rolling upgrade brings members to: the newest model, or a version of that model's image.
//!
//! An upgrade to a version of the image differs in three things: members keep their model and get another OS disk; a member
//! that is not well gets its former disk back at once, whatever the thresholds say (Azure: automatic OS image upgrades); and
//! a version that was stopped by a threshold is not begun again, while the set itself is not at fault and stays ready.

use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::{FailedImageVersion, OsUpgradeTarget};
use scaleset_crds::profile::ImageReference;
use scaleset_crds::rolling_upgrade::{RollingUpgradeError, RollingUpgradeStatus};
use scaleset_crds::vocabulary::{OsUpgradeStarter, RollingUpgradeCode};

use super::standing::Census;
use super::{OUTDATED as OUTDATED_MODEL, RollRequest, RollingDecision, RollingInput, hold};
use crate::plan::{Action, OsDiskAssignment};
use crate::snapshot::{Member, OsDiskReport, OsDiskWish, RollMark, RollbackRule, UpgradeSwitch};
use crate::upgrade::{Outdated, os_image, outdated};

/// How holds call members that a newer version of the image waits for.
pub(super) const OUTDATED: &str = "on an older OS image";

/// What a rolling upgrade brings members to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'pass> {
    /// The newest model.
    Model,
    /// A version of the newest model's image.
    Image(&'pass ImageTarget),
}

/// The version of an image that members are brought to.
#[derive(Clone, Debug)]
pub struct ImageTarget {
    /// The image, with the exact version.
    pub image: ImageReference,
    /// Who begins an upgrade now.
    pub started_by: OsUpgradeStarter,
    /// Who may be begun with.
    pub scope: Scope,
    /// What follows when a member is not well, in an upgrade that nobody has asked for.
    pub on_failure: RollbackRule,
    /// Versions that are not started again.
    pub failed: Vec<FailedImageVersion>,
}

/// Whom an upgrade of the image may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody who has an older version.
    Everybody,
    /// Nobody: what has begun is brought to its end.
    Nobody,
}

impl ImageTarget {
    /// The exact version.
    pub fn version(&self) -> &str {
        self.image.requested_version()
    }

    /// Whether members that are not well go back. Of an upgrade that a person has started they do not (Azure).
    pub(super) fn restores(&self, record: &RollingUpgradeStatus) -> bool {
        begins_by_itself(record) && self.on_failure == RollbackRule::Restore
    }

    pub(super) fn failed(&self, record: &RollingUpgradeStatus, error: &RollingUpgradeError) -> FailedImageVersion {
        FailedImageVersion {
            version: self.version().to_owned(),
            revision: record.target_revision.clone(),
            code: error.code.clone(),
        }
    }
}

impl Target<'_> {
    pub(super) const fn is_image(self) -> bool {
        match self {
            Self::Model => false,
            Self::Image(_) => true,
        }
    }

    /// Whether nobody may be begun with yet.
    pub(super) fn waits(self) -> bool {
        match self {
            Self::Model => false,
            Self::Image(target) => target.scope == Scope::Nobody,
        }
    }

    /// Whether a record is of an upgrade of this sort.
    pub(super) const fn owns(self, record: &RollingUpgradeStatus) -> bool {
        self.is_image() == record.os_upgrade.is_some()
    }

    pub(super) const fn outdated_text(self) -> &'static str {
        if self.is_image() { OUTDATED } else { OUTDATED_MODEL }
    }

    pub(super) const fn going_back_text(self) -> &'static str {
        match self {
            Self::Model => "going back to the model on which they were well",
            Self::Image(_) => "going back to their former OS disk",
        }
    }

    /// Why members that an upgrade has tried in vain are not tried again.
    pub(super) fn why_not_again(self) -> (Reason, String) {
        match self {
            Self::Model => (
                Reason::RollingUpgradeInProgressWithFailedUpgradedVMs,
                "outdated, the new VMs in their places were not healthy; change the model".to_owned(),
            ),
            Self::Image(target) => {
                (Reason::OSImageFailed, format!("{OUTDATED}: {} was not healthy on them", target.version()))
            }
        }
    }
}

impl<'pass> RollingInput<'pass> {
    /// Members that are to be brought to the target.
    pub(super) fn outdated(&self) -> Vec<Outdated<'pass>> {
        match self.target {
            Target::Model => outdated(&self.upgrade),
            Target::Image(target) => match target.scope {
                Scope::Everybody => os_image::outdated(&self.upgrade, target.version()),
                Scope::Nobody => Vec::new(),
            },
        }
    }

    /// Whether an upgrade has this very target.
    pub(super) fn is_target(&self, record: &RollingUpgradeStatus) -> bool {
        let version = record.os_upgrade.as_ref().map(|target| target.target_image_reference.requested_version());
        let wanted = match self.target {
            Target::Model => None,
            Target::Image(target) => Some(target.version()),
        };
        record.target_revision == self.upgrade.newest.name && version == wanted
    }

    /// Whether what a running upgrade of the image is for has gone: the policy, or members on the newest model.
    pub(super) fn is_withdrawn(&self, record: &RollingUpgradeStatus, waiting: &[Outdated<'_>]) -> bool {
        match self.target {
            Target::Model => false,
            Target::Image(target) => target.scope == Scope::Nobody || (waiting.is_empty() && !self.is_target(record)),
        }
    }

    /// Why the target is not started again. A person may start a version of the image again.
    pub(super) fn failed_before(&self) -> Option<(Reason, String)> {
        let newest = &self.upgrade.newest.name;
        match self.target {
            Target::Model => {
                let failed = self.failed.iter().find(|failed| failed.name == *newest)?;
                let message = format!("an upgrade to {newest} failed ({}); change the model", failed.code);
                Some((Reason::RevisionFailed, message))
            }
            Target::Image(_) if matches!(self.request, Some(RollRequest::Start { .. })) => None,
            Target::Image(target) => {
                let failed = target.failed.iter().find(|failed| failed.version == target.version())?;
                Some((Reason::OSImageFailed, format!("an upgrade to {} failed ({})", failed.version, failed.code)))
            }
        }
    }

    /// Whether a member that is not well is not for the reason that it has the image that it has: a version that was proved
    /// bad, or one that the latest upgrade has just given it. Such a member has nothing to lose.
    pub(super) fn has_bad_image(&self, member: &Member) -> bool {
        let Target::Image(target) = self.target else { return false };
        let bad = |disk: &OsDiskReport| target.failed.iter().any(|failed| failed.version == disk.version);
        let given = self.record.filter(|record| record.os_upgrade.is_some() && !self.is_target(record));
        let given = given.is_some_and(|record| member.roll.as_ref().is_some_and(|mark| mark.number == record.number));
        member.report.os_disk.as_ref().is_some_and(|disk| bad(disk) || (given && disk.version != target.version()))
    }
}

/// Whether nobody has asked for the upgrade: it is one of the image that was begun by the policy.
pub(super) fn begins_by_itself(record: &RollingUpgradeStatus) -> bool {
    record.os_upgrade.as_ref().is_some_and(|target| target.started_by == OsUpgradeStarter::Platform)
}

pub(super) fn why_stopped(
    record: &RollingUpgradeStatus,
    target: &OsUpgradeTarget,
    cancelled: impl FnOnce() -> String,
) -> (Reason, String) {
    let version = target.target_image_reference.requested_version();
    let error = record.error.as_ref().map_or_else(String::new, |error| format!(" with {}", error.message));
    match record.running_status.code {
        RollingUpgradeCode::Faulted => (Reason::OSImageFailed, format!("an upgrade to {version} stopped{error}")),
        RollingUpgradeCode::Cancelled
        | RollingUpgradeCode::RollingForward
        | RollingUpgradeCode::RollingBack
        | RollingUpgradeCode::Completed => (Reason::OSUpgradeWaits, cancelled()),
    }
}

/// Members were told to go back when they failed; from now on nothing but that is waited for.
pub(super) fn wait_for_return(input: &RollingInput<'_>, record: RollingUpgradeStatus, decision: &mut RollingDecision) {
    let failed = usize::try_from(record.progress.failed_instance_count).unwrap_or(0);
    hold(decision, Reason::RollingBack, failed, input.target.going_back_text());
    decision.wake_after = Some(input.policy.health_timeout);
    decision.record = Some(record);
}

/// Gives members that are not well on the new image their former OS disk back. How many are on their way back.
pub(super) fn restore(
    input: &RollingInput<'_>,
    census: &Census<'_>,
    record: &RollingUpgradeStatus,
    decision: &mut RollingDecision,
) -> usize {
    let Target::Image(target) = input.target else { return 0 };
    let mut going = census.going_back();
    let failed = if target.restores(record) { census.to_restore() } else { Vec::new() };
    if input.upgrade.switch == UpgradeSwitch::Paused {
        hold(decision, Reason::Paused, failed.len(), "to get their former OS disk back, upgradePolicy.paused is true");
        return going + failed.len();
    }
    for (member, disk) in failed {
        let Member { kind, name, uid, resource_version, .. } = member.clone();
        let roll = RollMark { number: record.number, since: input.now, replaces: None };
        let reason = format!("it is not well on {}", target.version());
        let wish = OsDiskWish::Former { disk: disk.to_owned() };
        let assignment = OsDiskAssignment { kind, name, uid, resource_version, wish, roll, reason };
        decision.decision.actions.push(Action::ReplaceOsDisk(assignment));
        going += 1;
    }
    going
}
