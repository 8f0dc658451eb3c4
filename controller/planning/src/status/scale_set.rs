//! Status of a `ScaleSet`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::ScaleSetStatus;
use scaleset_crds::condition::{ScaleSetCondition, keep_transition_times};
use scaleset_crds::instance::InstanceViewStatus;
use scaleset_crds::labels;
use scaleset_crds::repairs::{OrchestrationService, OrchestrationServiceSummary};
use scaleset_crds::scale_set::{
    Blocker, ExtensionSummary, RevisionsStatus, ScaleInCandidate, ScaleInPreview, ScaleSetInstanceView, StatusCount,
    ZoneCount,
};
use scaleset_crds::vocabulary::StatusLevel;

use super::{Truth, cut, whole_seconds};
use crate::limits;
use crate::overprovision;
use crate::plan::ScaleSetPlan;
use crate::snapshot::{Failure, Member, ScaleSetSnapshot};
use crate::view::Health;
use place_holders::place_holders;
use verdicts::Verdicts;

mod place_holders;
mod pools;
mod scheduled_events;
mod verdicts;

const BLOCKERS_MAX: usize = 32;

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct ScaleSetOutcome {
    /// Actions that failed, for a reason worth telling.
    pub failures: Vec<Failure>,
}

/// The whole status after a pass.
pub fn scale_set_status(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, outcome: &ScaleSetOutcome) -> ScaleSetStatus {
    // Extras of a scale-out count nowhere.
    let snapshot = &*snapshot.without_extras();
    let verdicts = Verdicts::new(snapshot, plan, outcome);
    let mut conditions: Vec<_> = ScaleSetCondition::ALL
        .iter()
        .map(|condition| {
            verdicts.verdict(*condition).into_condition(condition.as_str(), snapshot.set.generation, snapshot.wall_now)
        })
        .collect();
    keep_transition_times(&mut conditions, &snapshot.status.conditions);
    let members = &snapshot.members;
    let effective = &plan.effective;
    let by_hand = members.iter().filter(|member| !member.is_made()).count();
    let holders = place_holders(snapshot, plan);
    let zones = zones(snapshot, &holders);
    ScaleSetStatus {
        observed_generation: Some(snapshot.set.generation),
        selector: Some(format!("{}={}", labels::SCALE_SET, snapshot.set.name)),
        target_replicas: Some(effective.target),
        reached_replicas: overprovision::reached(snapshot, effective.target),
        capacity: Some(effective.target.saturating_add(count(by_hand))),
        replicas: Some(count(holders.len())),
        ready_replicas: Some(count_of(&holders, is_ready)),
        available_replicas: Some(count_of(&holders, Member::is_available)),
        updated_replicas: Some(count_of(&holders, |member| is_updated(member, plan))),
        model_revision: effective.newest_revision.clone(),
        revisions: Some(revisions(snapshot, plan)),
        evictions: plan.evictions.clone(),
        rolling_upgrade: plan.rolling_upgrade.clone(),
        os_upgrade_history: plan.os_upgrade_history.clone(),
        orchestration_services: plan.orchestration_services.clone(),
        next_instance_id: next_instance_id(snapshot, plan),
        platform_fault_domain_count: limits::is_fault_domain_count_known(snapshot)
            .then_some(effective.fault_domain_count),
        single_placement_group: effective.single_placement_group,
        scheduled_events: scheduled_events::summary(snapshot),
        instance_view: Some(ScaleSetInstanceView {
            orchestration_services: plan.orchestration_services.iter().map(service_summary).collect(),
            ..instance_view(snapshot, &verdicts)
        }),
        zones_summary: Some(zones_summary(&zones)),
        zones,
        load_balancer_pools: pools::summaries(members),
        blockers: blockers(snapshot, plan),
        scale_in: preview(plan),
        conditions,
    }
}

/// Not recorded while the hardware does not tell the highest number that it knows.
fn next_instance_id(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> Option<i64> {
    match &snapshot.hardware_silence {
        Some(_) => snapshot.status.next_instance_id,
        None => Some(plan.effective.next_number),
    }
}

/// New members take `current`; `lastHealthy` moves on only when every member is well on one revision.
fn revisions(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> RevisionsStatus {
    let before = snapshot.status.revisions.clone().unwrap_or_default();
    let made: Vec<&Member> = snapshot.members.iter().filter(|member| member.is_made() && member.is_live()).collect();
    let newest = plan.effective.newest_revision.as_ref();
    let all_well =
        !made.is_empty() && made.iter().all(|member| is_ready(member) && member.assigned_revision.as_ref() == newest);
    RevisionsStatus {
        current: plan.effective.current_revision.clone(),
        last_healthy: if all_well { newest.cloned() } else { before.last_healthy },
        failed: plan.failed_revisions.clone(),
        failed_image_versions: plan.failed_image_versions.clone(),
    }
}

/// Provisioned, running, and on the revision that it is to follow.
fn is_ready(member: &Member) -> bool {
    member.is_settled() && (!member.is_made() || member.report.running_revision == member.assigned_revision)
}

fn is_updated(member: &Member, plan: &ScaleSetPlan) -> bool {
    plan.effective
        .newest_revision
        .as_ref()
        .is_some_and(|newest| member.is_made() && member.is_live() && member.runs(newest))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn count_of(members: &[&Member], holds: impl Fn(&Member) -> bool) -> i32 {
    count(members.iter().filter(|member| holds(member)).count())
}

fn instance_view(snapshot: &ScaleSetSnapshot, verdicts: &Verdicts<'_>) -> ScaleSetInstanceView {
    let mut codes: BTreeMap<String, i32> = BTreeMap::new();
    let mut extensions: BTreeMap<&str, BTreeMap<&str, i32>> = BTreeMap::new();
    for member in &snapshot.members {
        *codes.entry(format!("ProvisioningState/{}", member.report.provisioning.code())).or_default() += 1;
        *codes.entry(format!("PowerState/{}", member.report.power.code())).or_default() += 1;
        if let Health::Known(state) = member.report.health {
            *codes.entry(format!("HealthState/{}", state.code())).or_default() += 1;
        }
        for (name, code) in &member.report.extensions {
            *extensions.entry(name).or_default().entry(code).or_default() += 1;
        }
    }
    let extensions = extensions.into_iter().map(|(name, codes)| ExtensionSummary {
        name: name.to_owned(),
        statuses_summary: codes.into_iter().map(|(code, count)| StatusCount { code: code.to_owned(), count }).collect(),
    });
    ScaleSetInstanceView {
        statuses_summary: codes.into_iter().map(|(code, count)| StatusCount { code, count }).collect(),
        extensions: extensions.collect(),
        orchestration_services: Vec::new(),
        statuses: vec![own_status(snapshot, verdicts)],
    }
}

fn service_summary(service: &OrchestrationService) -> OrchestrationServiceSummary {
    let OrchestrationService { service_name, service_state, suspended_by: _, last_status_change_time: _, message: _ } =
        service;
    OrchestrationServiceSummary { service_name: *service_name, service_state: *service_state }
}

/// The set's own provisioning, as Azure tells it.
fn own_status(snapshot: &ScaleSetSnapshot, verdicts: &Verdicts<'_>) -> InstanceViewStatus {
    let stalled = verdicts.verdict(ScaleSetCondition::Stalled);
    let ready = verdicts.verdict(ScaleSetCondition::Ready);
    let (value, level, message) = match (stalled.truth, ready.truth) {
        (Truth::True, _) => ("failed", StatusLevel::Error, Some(cut(&stalled.message))),
        (Truth::False | Truth::Unknown, Truth::True) => ("succeeded", StatusLevel::Info, None),
        (Truth::False | Truth::Unknown, Truth::False | Truth::Unknown) => ("updating", StatusLevel::Info, None),
    };
    let code = format!("ProvisioningState/{value}");
    let before = snapshot.status.instance_view.as_ref().and_then(|view| view.statuses.first());
    let time = before.filter(|before| before.code == code).and_then(|before| before.time.clone());
    InstanceViewStatus {
        code,
        level,
        display_status: format!("Provisioning {value}"),
        message,
        time: Some(time.unwrap_or(Time(whole_seconds(snapshot.now)))),
    }
}

fn zones(snapshot: &ScaleSetSnapshot, holders: &[&Member]) -> Vec<ZoneCount> {
    let mut counts: BTreeMap<&str, i32> = snapshot.set.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
    for zone in holders.iter().map(|member| member.zone.as_deref().unwrap_or("")) {
        *counts.entry(zone).or_default() += 1;
    }
    let zones = counts.into_iter().map(|(zone, replicas)| ZoneCount { zone: zone.to_owned(), replicas });
    if snapshot.set.zones.is_empty() { Vec::new() } else { zones.collect() }
}

fn zones_summary(zones: &[ZoneCount]) -> String {
    let named = |zone: &ZoneCount| if zone.zone.is_empty() { "regional".to_owned() } else { zone.zone.clone() };
    let parts: Vec<String> = zones.iter().map(|zone| format!("{}:{}", named(zone), zone.replicas)).collect();
    if parts.is_empty() { "regional".to_owned() } else { parts.join(" ") }
}

/// One entry for each code; times are kept while the code stays.
fn blockers(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> Vec<Blocker> {
    let mut merged: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for hold in plan.blockers() {
        let (count, messages) = merged.entry(hold.reason.as_str()).or_default();
        *count += hold.count;
        messages.push(&hold.message);
    }
    let since = |code: &str| {
        snapshot.status.blockers.iter().find(|before| before.code == code).map(|before| before.since.clone())
    };
    merged
        .into_iter()
        .take(BLOCKERS_MAX)
        .map(|(code, (held, messages))| Blocker {
            code: code.to_owned(),
            count: count(held),
            since: since(code).unwrap_or(Time(whole_seconds(snapshot.wall_now))),
            message: cut(&messages.join("; ")),
        })
        .collect()
}

fn preview(plan: &ScaleSetPlan) -> Option<ScaleInPreview> {
    let next: Vec<ScaleInCandidate> = plan
        .next_victims
        .iter()
        .map(|(name, rank)| ScaleInCandidate { name: name.clone(), rank: rank.clone() })
        .collect();
    if next.is_empty() { None } else { Some(ScaleInPreview { next }) }
}
