//! The record of a rolling upgrade, as it begins and as the status spells its parts.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::os_upgrade::OsUpgradeTarget;
use scaleset_crds::rolling_upgrade::{
    RollingUpgradePolicy, RollingUpgradeProgress, RollingUpgradeRunningStatus, RollingUpgradeStatus,
};
use scaleset_crds::vocabulary::{RollingUpgradeAction, RollingUpgradeCode};

use super::{RollingInput, Target};
use crate::snapshot::{Member, OsDiskWish};

pub(super) fn new_record(input: &RollingInput<'_>) -> RollingUpgradeStatus {
    let now = time(input.now);
    RollingUpgradeStatus {
        number: next_number(input),
        target_revision: input.upgrade.newest.name.clone(),
        os_upgrade: match input.target {
            Target::Model => None,
            Target::Image(target) => {
                Some(OsUpgradeTarget { target_image_reference: target.image.clone(), started_by: target.started_by })
            }
        },
        running_status: RollingUpgradeRunningStatus {
            code: RollingUpgradeCode::RollingForward,
            start_time: now.clone(),
            last_action: RollingUpgradeAction::Start,
            last_action_time: now,
        },
        progress: RollingUpgradeProgress::default(),
        batch: None,
        policy: RollingUpgradePolicy::from(input.policy),
        error: None,
    }
}

/// A pass that died before it wrote the record has left its marks: where all of them are of this very upgrade it goes on
/// under its number, otherwise the number is spent.
fn next_number(input: &RollingInput<'_>) -> i64 {
    let recorded = input.record.map_or(0, |record| record.number);
    let marks = || input.upgrade.members.iter().filter_map(|member| Some((member, member.roll.as_ref()?.number)));
    let number = marks().map(|(_, number)| number).max().unwrap_or(0).max(recorded + 1);
    let others = marks().filter(|(member, marked)| *marked == number && !is_wished(input, member));
    number + i64::from(others.count() > 0)
}

/// Whether a member was told to take the target.
fn is_wished(input: &RollingInput<'_>, member: &Member) -> bool {
    let follows = member.assigned_revision.as_deref() == Some(input.upgrade.newest.name.as_str());
    match (input.target, &member.os_disk_wish) {
        (Target::Model, _) => follows,
        (Target::Image(target), Some(OsDiskWish::Fresh { version, after: _ })) => {
            follows && version == target.version()
        }
        (Target::Image(_), Some(OsDiskWish::Former { disk: _ }) | None) => false,
    }
}

pub(super) fn between(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// The API keeps whole seconds.
pub(super) fn time(instant: Timestamp) -> Time {
    Time(Timestamp::from_second(instant.as_second()).expect("a timestamp's second is a timestamp"))
}

pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
