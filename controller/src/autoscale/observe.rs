//! Reads the setting, its set, who else scales it, the hardware's metrics and the clocks, once.

use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::{AutoscaleSetting, ScaleSet};
use scaleset_hardware::{HardwareError, MetricSeries, MetricsQuery, SeriesQuery};
use scaleset_planning::autoscale::among::Among;
use scaleset_planning::autoscale::profile::in_force;
use scaleset_planning::autoscale::rule::MetricWish;

use super::validate::{Checked, checked};
use crate::cluster::{ClusterError, Kind, ObjectId, ObjectKey};
use crate::context::Context;

/// What one pass over a setting has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) setting: Arc<AutoscaleSetting>,
    /// Its profiles, and what of them makes no sense: which metrics are asked for depends on the one in force.
    pub(super) checked: Checked,
    pub(super) set: Option<Arc<ScaleSet>>,
    /// Every setting on that set.
    pub(super) settings: Vec<Arc<AutoscaleSetting>>,
    /// Whether a `HorizontalPodAutoscaler` scales the set.
    pub(super) autoscaler: Result<bool, ClusterError>,
    /// By rule of the profile in force. The hardware's failure to answer is an observation like any other.
    pub(super) metrics: Result<Vec<(String, MetricSeries)>, HardwareError>,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
}

pub(super) async fn observe(context: &Context, setting: Arc<AutoscaleSetting>) -> Observed {
    let metadata = &setting.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let id = ObjectId {
        kind: Kind::AutoscaleSetting,
        key: ObjectKey { namespace: namespace.clone(), name: metadata.name.clone().unwrap_or_default() },
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    };
    let target = ObjectKey { namespace, name: setting.spec.scale_target_ref.name.clone() };
    let set = context.cluster.scale_set(&target);
    let now = context.hardware.now();
    let checked = checked(&setting.spec);
    // Nobody is asked for a set that is not there, or that is left alone.
    let asked = set.as_ref().filter(|_| setting.spec.enabled);
    let autoscaler = match asked {
        Some(_) => context.cluster.has_autoscaler(&target),
        None => Ok(false),
    };
    let metrics = match asked {
        Some(set) => metrics(context, set, &checked, now).await,
        None => Ok(Vec::new()),
    };
    Observed {
        settings: context.cluster.autoscale_settings(&target),
        id,
        checked,
        set,
        autoscaler,
        metrics,
        now,
        wall_now: Timestamp::now(),
        setting,
    }
}

/// One call for everything that the rules of the profile in force compare.
async fn metrics(
    context: &Context,
    set: &ScaleSet,
    checked: &Checked,
    now: Timestamp,
) -> Result<Vec<(String, MetricSeries)>, HardwareError> {
    let rules = in_force(&checked.profiles, now).map(|profile| profile.rules.as_slice()).unwrap_or_default();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let series = |wish: &MetricWish| {
        let MetricWish { namespace, name, among, grain_seconds, window_seconds } = wish.clone();
        let among = match among {
            Among::All => scaleset_hardware::Among::All,
            Among::Named(names) => scaleset_hardware::Among::Named(names),
            Among::NotNamed(names) => scaleset_hardware::Among::NotNamed(names),
        };
        SeriesQuery { namespace, name, among, grain_seconds, window_seconds }
    };
    let query = MetricsQuery {
        set_uid: set.metadata.uid.clone().unwrap_or_default(),
        series: rules.iter().map(|rule| series(&rule.metric)).collect(),
    };
    let answers = context.hardware.metrics(&query).await?;
    Ok(rules.iter().map(|rule| rule.name.clone()).zip(answers).collect())
}
