//! Status of an `AutoscaleSetting`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::{NextProfile, RuleStatus, SCALE_ACTIONS_MAX};
use scaleset_crds::condition::{AutoscaleCondition, Reason, keep_transition_times};

use super::{Truth, Verdict, cut, whole_seconds};
use crate::autoscale::rule::Finding;
use crate::autoscale::{AutoscalePlan, is_uncounted};
use crate::remedy::needs_a_person;
use crate::snapshot::{AutoscaleSnapshot, Failure, Switch};

/// How long found values are not written while no decision changes, scenario time.
const VALUES_EVERY: Duration = Duration::from_mins(5);

/// The whole status after a pass, with the decision on record that the pass is about to carry out.
pub fn autoscale_status(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> AutoscaleSettingStatus {
    let before = &snapshot.status;
    // What was found stands while the set has yet to look at its newest spec: that takes a moment, and is no news.
    if is_uncounted(snapshot) && before.observed_generation == Some(snapshot.generation) {
        return waiting(snapshot, plan);
    }
    let mut scale_actions = before.scale_actions.clone();
    if let Some(ended) = &plan.ended {
        scale_actions.insert(0, ended.clone());
        scale_actions.truncate(SCALE_ACTIONS_MAX);
    }
    let decision = plan.decision.as_ref();
    let cooldown = decision.and_then(|decision| decision.cooldown_until).map(Time);
    let kept = before.cooldown_until.clone().filter(|until| snapshot.now < until.0);
    let mut status = AutoscaleSettingStatus {
        observed_generation: Some(snapshot.generation),
        evaluated_at: Some(Time(whole_seconds(snapshot.now))),
        current_replicas: plan.current,
        profile: plan.profile.map(|profile| profile.name.clone()),
        next_profile: plan.next_profile.clone().map(|(name, at)| NextProfile { name, time: Time(whole_seconds(at)) }),
        rules: plan.findings.iter().map(|finding| rule_status(finding, plan.current)).collect(),
        blocker: plan.blocker.clone().map(|mut blocker| {
            blocker.message = cut(&blocker.message);
            blocker
        }),
        cooldown_until: cooldown.or(kept),
        last_scale_action: decision.map(|decision| decision.record.clone()).or(before.last_scale_action.clone()),
        scale_actions,
        conditions: Vec::new(),
    };
    status.conditions = AutoscaleCondition::ALL
        .iter()
        .map(|condition| {
            verdict(*condition, snapshot, plan).into_condition(
                condition.as_str(),
                snapshot.generation,
                snapshot.wall_now,
            )
        })
        .collect();
    keep_transition_times(&mut status.conditions, &before.conditions);
    status
}

/// The status before, but for what it waits for.
fn waiting(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> AutoscaleSettingStatus {
    let mut status = snapshot.status.clone();
    let name = AutoscaleCondition::Reconciling.as_str();
    if snapshot.switch == Switch::On {
        let verdict = reconciling(plan).into_condition(name, snapshot.generation, snapshot.wall_now);
        status.conditions.iter_mut().filter(|condition| condition.type_ == name).for_each(|one| *one = verdict.clone());
        keep_transition_times(&mut status.conditions, &snapshot.status.conditions);
    }
    status
}

fn rule_status(finding: &Finding<'_>, current: Option<i32>) -> RuleStatus {
    let rule = finding.rule;
    RuleStatus {
        name: rule.name.clone(),
        value: finding.value.map(|value| value.to_string()),
        threshold: format!("{} {}", rule.operator.sign(), rule.threshold),
        fires: finding.fires(),
        proposed: current.and_then(|current| finding.proposed(current)),
    }
}

/// Whether a status is worth a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// A decision has changed, or the values that people read are old.
    Now,
    /// Nothing but values has changed, and those that people read are young.
    NotYet,
    /// Nothing has changed but the time.
    Never,
}

/// Whether `status` is worth a write where `before` is what people read.
pub fn worth(status: &AutoscaleSettingStatus, before: &AutoscaleSettingStatus, now: Timestamp) -> Worth {
    if decisions(status) != decisions(before) {
        return Worth::Now;
    }
    if timeless(status) == timeless(before) {
        return Worth::Never;
    }
    let young = before.evaluated_at.as_ref().is_some_and(|at| now.duration_since(at.0).unsigned_abs() < VALUES_EVERY);
    if young { Worth::NotYet } else { Worth::Now }
}

/// A status without what changes with every evaluation.
fn decisions(status: &AutoscaleSettingStatus) -> AutoscaleSettingStatus {
    let mut status = timeless(status);
    for rule in &mut status.rules {
        rule.value = rule.value.take().map(|_| String::new());
    }
    if let Some(blocker) = &mut status.blocker {
        blocker.message = String::new();
    }
    status
}

fn timeless(status: &AutoscaleSettingStatus) -> AutoscaleSettingStatus {
    AutoscaleSettingStatus { evaluated_at: None, ..status.clone() }
}

fn verdict(condition: AutoscaleCondition, snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> Verdict {
    match condition {
        AutoscaleCondition::Ready => ready(snapshot, plan),
        AutoscaleCondition::Active => active(snapshot, plan),
        AutoscaleCondition::Reconciling => reconciling(plan),
        AutoscaleCondition::Stalled => stalled(snapshot, plan),
    }
}

fn ready(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> Verdict {
    if let Some(Failure { reason, message }) = plan.refusal.clone().or_else(|| defect(snapshot)) {
        return Verdict::new(Truth::False, reason, message);
    }
    match (snapshot.switch, &plan.lost) {
        (Switch::Off, _) => Verdict::new(Truth::True, Reason::Disabled, "the setting is not enabled"),
        (Switch::On, Some(lost)) => Verdict::new(Truth::False, Reason::MetricsLost, lost.clone()),
        (Switch::On, None) => {
            let bounds = plan.bounds().unwrap_or_else(|| "no profile is in force".to_owned());
            Verdict::new(Truth::True, Reason::Ready, bounds)
        }
    }
}

fn active(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> Verdict {
    if snapshot.switch == Switch::Off {
        return Verdict::new(Truth::False, Reason::Disabled, "the setting is not enabled");
    }
    match (&plan.refusal, &plan.lost, plan.bounds()) {
        (Some(Failure { reason, message }), _, _) => Verdict::new(Truth::False, *reason, message.clone()),
        (None, Some(lost), _) => Verdict::new(Truth::False, Reason::MetricsLost, lost.clone()),
        (None, None, None) => Verdict::new(Truth::False, Reason::Waiting, "no profile is in force"),
        (None, None, Some(bounds)) => Verdict::new(Truth::True, Reason::Active, bounds),
    }
}

fn reconciling(plan: &AutoscalePlan<'_>) -> Verdict {
    if let Some((from, to)) = plan.current.zip(plan.told) {
        let reason = if to > from { Reason::ScalingOut } else { Reason::ScalingIn };
        return Verdict::new(Truth::True, reason, format!("from {from} to {to} VMs"));
    }
    match (&plan.refusal, &plan.lost) {
        (Some(Failure { reason, message }), _) if !needs_a_person(*reason) => {
            Verdict::new(Truth::True, *reason, message.clone())
        }
        (None, Some(lost)) => Verdict::new(Truth::True, Reason::MetricsLost, lost.clone()),
        (Some(_), _) | (None, None) => Verdict::new(Truth::False, Reason::Converged, "nothing to do"),
    }
}

fn stalled(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>) -> Verdict {
    let refused = plan.refusal.clone().filter(|refusal| needs_a_person(refusal.reason));
    match refused.or_else(|| defect(snapshot)) {
        Some(Failure { reason, message }) => Verdict::new(Truth::True, reason, message),
        None => Verdict::new(Truth::False, Reason::Converged, "nothing is known to wait for a person"),
    }
}

/// What of the spec makes no sense.
fn defect(snapshot: &AutoscaleSnapshot) -> Option<Failure> {
    let first = snapshot.defects.first()?;
    let more = snapshot.defects.len() - 1;
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some(Failure { reason: Reason::InvalidParameter, message: format!("{first}{more}") })
}
