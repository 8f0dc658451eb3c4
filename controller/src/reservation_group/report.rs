//! Writes the status once, tells decisions as events, says when to look again.

use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use scaleset_crds::ReservationGroupStatus;
use scaleset_crds::condition::{Reason, ReservationGroupCondition, find};
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_planning::reservation_group::{GroupAction, ReservationGroupPlan};
use scaleset_planning::snapshot::ReservationGroupSnapshot;
use scaleset_planning::status::reservation_group::reservation_group_status;
use tracing::warn;

use super::execute::{Executed, ObjectAfter};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;

/// Numbers alone wait for the pace; what is newly observed and a condition that turns do not, unless it only turns with the
/// numbers.
pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &ReservationGroupSnapshot,
    plan: &ReservationGroupPlan,
    executed: Executed,
) -> Result<Wake, PassError> {
    let key = &observed.id.key;
    if executed.object == ObjectAfter::LetGo {
        context.metrics.reserved(key, &[]);
        return Ok(Wake::OnChange);
    }
    // The views are as old as their facts: the pace counts from here, not from the end of the write.
    let begun = Instant::now();
    let status = reservation_group_status(snapshot, plan, &executed.outcome);
    context.metrics.reserved(key, &status.capacity_reservations);
    let mut wake = plan.wake_after.map_or(Wake::OnChange, |after| Wake::After(context.hardware.wall_duration(after)));
    if status != snapshot.status {
        let wait = context.group_pace.wait(&observed.id.uid, begun);
        if wait.is_zero() || turned(&status, &snapshot.status) {
            for notice in notices(observed, &status, &snapshot.status, &executed.done) {
                if let Err(error) = context.cluster.publish(notice).await {
                    warn!(group = %key.name, error = %error, "event lost");
                }
            }
            write(context, observed, &status, begun).await?;
        } else {
            wake = wake.sooner(Wake::After(wait));
        }
    }
    executed.retry.map_or(Ok(wake), Err)
}

async fn write(
    context: &Context,
    observed: &Observed,
    status: &ReservationGroupStatus,
    begun: Instant,
) -> Result<(), ClusterError> {
    let value = serde_json::to_value(status).expect("a status is plain data");
    match context.cluster.apply_status(&observed.id.uid, &observed.id, value).await {
        Ok(()) => context.group_pace.note(&observed.id.uid, begun),
        Err(ClusterError::Gone { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether what is reserved has changed. Whether it is overallocated changes with every VM that comes and goes.
fn turned(status: &ReservationGroupStatus, before: &ReservationGroupStatus) -> bool {
    let told =
        [ReservationGroupCondition::Ready, ReservationGroupCondition::Reserved, ReservationGroupCondition::Stalled];
    let conditions = |status: &ReservationGroupStatus| -> Vec<Option<(String, String)>> {
        let of = |condition: &ReservationGroupCondition| {
            find(&status.conditions, condition.as_str()).map(|found| (found.status.clone(), found.reason.clone()))
        };
        told.iter().map(of).collect()
    };
    status.observed_generation != before.observed_generation || conditions(status) != conditions(before)
}

/// Reservations that were made, changed or given up; what holds the group back, once; and that it is overallocated.
fn notices(
    observed: &Observed,
    status: &ReservationGroupStatus,
    before: &ReservationGroupStatus,
    done: &[GroupAction],
) -> Vec<Notice> {
    let notice = |event_type, reason: EventReason, action: &str, note: String| Notice {
        regarding: observed.id.clone(),
        event_type,
        reason,
        action: action.to_owned(),
        note,
    };
    let mut notices = Vec::new();
    for action in done {
        match action {
            GroupAction::Reserve(_) => {
                notices.push(notice(EventType::Normal, Occurrence::Reserved.into(), "Reserve", action.to_string()));
            }
            GroupAction::Release { name: _ } => {
                notices.push(notice(EventType::Normal, Occurrence::Released.into(), "Release", action.to_string()));
            }
            GroupAction::AddFinalizer
            | GroupAction::Put { shared_with: _ }
            | GroupAction::DeleteGroup
            | GroupAction::RemoveFinalizer => {}
        }
    }
    let news = |condition: ReservationGroupCondition, truth: &str| {
        let now = find(&status.conditions, condition.as_str()).filter(|now| now.status == truth)?;
        let same = find(&before.conditions, condition.as_str()).is_some_and(|before| {
            same_news(before, now) || (is_beyond(condition) && before.reason == Reason::HardwareUnavailable.as_str())
        });
        (!same).then(|| (Reason::from_code(&now.reason), now.message.clone()))
    };
    let ordinary = [Reason::Creating, Reason::Deleting];
    if let Some((reason, note)) = news(ReservationGroupCondition::Ready, "False")
        && !ordinary.contains(&reason)
    {
        notices.push(notice(EventType::Warning, reason.into(), "Hold", note));
    }
    if let Some((reason, note)) = news(ReservationGroupCondition::Overallocated, "True") {
        notices.push(notice(EventType::Warning, reason.into(), "Allocate", note));
    }
    notices
}

fn same_news(one: &Condition, two: &Condition) -> bool {
    (&one.status, &one.reason) == (&two.status, &two.reason)
}

/// Hardware that answers again tells no news of who is beyond.
fn is_beyond(condition: ReservationGroupCondition) -> bool {
    condition == ReservationGroupCondition::Overallocated
}
