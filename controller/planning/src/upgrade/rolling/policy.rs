//! The policy in force, as the record of an upgrade tells it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use scaleset_crds::rolling_upgrade::RollingUpgradePolicy;

use super::count;
use crate::snapshot::{BreachRule, MaxSurge, RollingPolicy, UnhealthyRule, ZoneRule};

impl From<&RollingPolicy> for RollingUpgradePolicy {
    fn from(policy: &RollingPolicy) -> Self {
        let RollingPolicy {
            max_batch_percent,
            max_unhealthy_percent,
            max_unhealthy_upgraded_percent,
            pause,
            zones,
            unhealthy,
            on_breach,
            max_surge,
            health_timeout,
        } = policy;
        let seconds = |duration: &Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
        Self {
            max_batch_instance_percent: Some(*max_batch_percent),
            max_unhealthy_instance_percent: Some(*max_unhealthy_percent),
            max_unhealthy_upgraded_instance_percent: Some(*max_unhealthy_upgraded_percent),
            pause_time_between_batches_seconds: Some(seconds(pause)),
            enable_cross_zone_upgrade: Some(*zones == ZoneRule::Mixed),
            prioritize_unhealthy_instances: Some(*unhealthy == UnhealthyRule::First),
            rollback_failed_instances_on_policy_breach: Some(*on_breach == BreachRule::RollBack),
            max_surge: Some(match max_surge {
                MaxSurge::Count(surge) => IntOrString::Int(count(*surge)),
                MaxSurge::Percent(percent) => IntOrString::String(format!("{percent}%")),
            }),
            health_timeout_seconds: Some(seconds(health_timeout)),
        }
    }
}
