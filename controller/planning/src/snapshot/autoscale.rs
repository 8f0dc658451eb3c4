//! What a pass over an `AutoscaleSetting` is planned from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::ScaleActionState;

use crate::autoscale::profile::Profile;

/// What one pass has seen, checked and sorted.
#[derive(Clone, Debug)]
pub struct AutoscaleSnapshot {
    /// Scenario time, which windows, cooldowns and calendars follow.
    pub now: Timestamp,
    /// Wall time, which conditions are stamped with.
    pub wall_now: Timestamp,
    /// `metadata.generation`.
    pub generation: i64,
    /// `spec.enabled`.
    pub switch: Switch,
    /// In the order of the spec.
    pub profiles: Vec<Profile>,
    /// What of the spec makes no sense, by field; the profile that it stands in is never in force.
    pub defects: Vec<String>,
    /// The set that the setting is about.
    pub target: ScaleTarget,
    /// Who else decides on the set's count.
    pub rival: Rival,
    /// What the rules of the profile in force compare.
    pub metrics: MetricsView,
    /// The status before the pass; its records are read back.
    pub status: AutoscaleSettingStatus,
}

/// Whether a setting acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It does.
    On,
    /// It leaves the count as it is.
    Off,
}

/// The set that a setting is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleTarget {
    /// There is none of that name.
    Missing {
        /// The name.
        name: String,
    },
    /// It is being deleted.
    Going {
        /// The name.
        name: String,
    },
    /// It makes no VMs.
    WithoutProfile {
        /// The name.
        name: String,
    },
    /// It has not looked at its newest spec yet, or nothing tells its count: how many VMs it is to make shows once it has.
    Uncounted {
        /// The name.
        name: String,
        /// Of the set, `metadata.generation`.
        generation: i64,
        /// The generation that its status is about, 0 for none.
        observed: i64,
    },
    /// It is there.
    Found(SetCount),
}

/// How many VMs a set is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetCount {
    /// `spec.replicas`.
    pub wished: Option<i32>,
    /// `status.targetReplicas`: more than what is wished while a sudden drop waits to be confirmed, less where members were evicted
    /// for good since it was wished. None only of a set that was never looked at and whose wish tells the count: any other without it,
    /// or with a status that lags behind the spec, is [`ScaleTarget::Uncounted`].
    pub in_force: Option<i32>,
}

impl SetCount {
    /// What an evaluation takes for the count: the members that are wanted, never those of a surge. A drop that waits for a
    /// person counts as not made: whoever decides meanwhile must not confirm it by accident. Who was evicted for good counts no more.
    pub fn current(self) -> i32 {
        self.in_force.or(self.wished).unwrap_or(0)
    }

    /// What is wished and what is left of it in force, where members were evicted for good since.
    pub fn lowered(self) -> Option<(i32, i32)> {
        self.wished.zip(self.in_force).filter(|(wished, in_force)| in_force < wished)
    }
}

/// The last scale action that a setting has put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedScaling {
    /// Whether the setting acts.
    pub switch: Switch,
    /// The count that it was decided from.
    pub from: i32,
    /// The count that was decided.
    pub to: i32,
    /// How it ended; none while it is under way.
    pub ended: Option<ScaleActionState>,
}

impl RecordedScaling {
    /// What a setting has on record.
    pub fn of(switch: Switch, status: &AutoscaleSettingStatus) -> Option<Self> {
        let record = status.last_scale_action.as_ref()?;
        let key = (record.from, record.to, record.time.0);
        let ended = status.scale_actions.iter().find(|done| (done.from, done.to, done.time.0) == key);
        Some(Self { switch, from: record.from, to: record.to, ended: ended.map(|done| done.state) })
    }

    /// Whether one of that second, between the same counts, is on record, ended or not: a second one could not be told from it.
    pub(crate) fn is_known(status: &AutoscaleSettingStatus, from: i32, to: i32, time: Timestamp) -> bool {
        let key = (from, to, time);
        let last = status.last_scale_action.as_ref().map(|record| (record.from, record.to, record.time.0));
        last == Some(key) || status.scale_actions.iter().any(|done| (done.from, done.to, done.time.0) == key)
    }
}

/// Who else decides on a set's count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Nobody.
    None,
    /// A setting that is older.
    OlderSetting {
        /// Its name.
        name: String,
    },
    /// A `HorizontalPodAutoscaler`.
    HorizontalPodAutoscaler,
    /// It could not be found out.
    Unknown {
        /// Why.
        message: String,
    },
}

/// What the hardware says of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsView {
    /// By rule of the profile in force, the earliest grain first; a rule whose metric nobody reports has none.
    Read(BTreeMap<String, Vec<MetricPoint>>),
    /// It does not answer.
    Lost {
        /// In words.
        message: String,
    },
}

/// One grain of a metric, over all VMs that reported in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricPoint {
    /// When the grain began.
    pub start: Timestamp,
    /// Values in it.
    pub count: i64,
    /// Their sum, in thousandths.
    pub total: i64,
    /// The least, in thousandths.
    pub minimum: i64,
    /// The largest, in thousandths.
    pub maximum: i64,
}
