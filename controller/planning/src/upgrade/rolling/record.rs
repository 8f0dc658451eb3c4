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

pub(super) fn new_record(input: &RollingInput<'_>) -> RollingUpgradeStatus {
    let recorded = input.record.map_or(0, |record| record.number);
    let marked = input.upgrade.members.iter().filter_map(|member| Some(member.roll.as_ref()?.number)).max();
    let now = time(input.now);
    RollingUpgradeStatus {
        // A pass that died before it wrote the record has left its marks: they are of this very upgrade.
        number: if input.record.is_none() { marked.unwrap_or(0).max(1) } else { recorded + 1 },
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
