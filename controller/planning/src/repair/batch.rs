//! How many may be under repair at once: a batch of a twentieth of the set, at least one (Azure: 5 %), and no more of the
//! set's one allowance than upgrades leave.

use std::collections::BTreeSet;

use scaleset_crds::vocabulary::{HealthState, Impact};

use super::Standings;
use super::standing::{Standing, is_changing};
use crate::budget::Allowance;
use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, ScaleSetSnapshot};
use crate::view::Health;

/// Azure's share of a set in one batch, percent.
const BATCH_PERCENT: i32 = 5;

/// Batch and allowance, and what of each is in use.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    batch: Allowance,
    /// Spent by members that anybody is at: upgrades, repairs, and those that the target misses.
    changes: Allowance,
}

impl Limits {
    pub(super) fn of(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, standings: &Standings<'_>) -> Self {
        let target = usize::try_from(plan.effective.target).unwrap_or(0);
        let under_way = standings.iter().filter(|(_, standing)| *standing == Standing::UnderWay).count();
        let made = standings.iter().filter(|(member, _)| member.is_made()).count();
        let upgraded = begun_upgrades(plan);
        let in_hand = |(member, standing): &&(&Member, Standing)| {
            let repaired = matches!(standing, Standing::UnderWay | Standing::Stuck);
            !member.is_stopped_by_wish() && (repaired || is_in_hand(member) || upgraded.contains(member.name.as_str()))
        };
        let in_hand = standings.iter().filter(in_hand).count();
        let percent = snapshot.set.rolling_policy.max_batch_percent;
        Self {
            batch: Allowance::new(standings.len(), BATCH_PERCENT, under_way),
            changes: Allowance::new(made.max(target), percent, in_hand + target.saturating_sub(made)),
        }
    }

    pub(super) const fn are_reached(&self) -> bool {
        self.batch.left() == 0 || self.changes.left() == 0
    }

    pub(super) const fn begin(&mut self) {
        self.batch.spent += 1;
        self.changes.spent += 1;
    }
}

/// Members that the plan brings to another model in a way that they notice.
fn begun_upgrades(plan: &ScaleSetPlan) -> BTreeSet<&str> {
    let begun = plan.actions.iter().filter(|action| match action {
        Action::AssignRevision(assignment) => assignment.impact > Impact::NextReimage,
        Action::ReplaceOsDisk(_) => true,
        Action::DeleteMember(removal) => removal.cause == RemovalCause::Replace,
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::ReserveNumbers { .. }
        | Action::CreateMember(_)
        | Action::MarkMember(_)
        | Action::RepairMember(_)
        | Action::MarkForDeletion(_)
        | Action::KeepMember(_)
        | Action::SeatMember(_)
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => false,
    });
    begun.filter_map(Action::member).collect()
}

/// Whether something is being done to it, or about to be, or its application is coming up.
fn is_in_hand(member: &Member) -> bool {
    let report = &member.report;
    let takes_model = member.is_made()
        && member.assigned_revision.is_some()
        && report.running_revision != member.assigned_revision
        && report.failure.is_none();
    is_changing(member) || takes_model || report.health == Health::Known(HealthState::Initializing)
}

impl std::fmt::Display for Limits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Allowance { made, percent, total, spent, in_flight: _ } = self.batch;
        write!(formatter, "{spent} under repair of {total} at a time ({percent} % of {made})")?;
        let Allowance { made, percent, total, spent, in_flight: _ } = self.changes;
        write!(formatter, ", {spent} being changed of {total} allowed ({percent} % of {made})")
    }
}
