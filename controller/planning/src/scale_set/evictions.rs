//! Members that were evicted with policy Delete: each is noted once, lowers the target in force by one, and goes.
//!
//! Source: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets": with the policy Delete the capacity of the
//! set drops. The note is written before the object goes, so that nobody takes an eviction for a loss. It counts for as
//! long as `spec.replicas` is the same; another wish makes good for all evictions before it.

use scaleset_crds::spot::EvictedMember;

use super::remove;
use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Evicted, Member, ScaleSetSnapshot, SetRequest};
use crate::sudden_drop;

/// The notes of a set after a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evictions {
    /// All of them.
    pub(super) notes: Vec<EvictedMember>,
    /// Those of this pass that lower the target.
    pub(super) new: i32,
}

/// By how much `notes` lower a target that was wished as `replicas`.
pub fn lowered(notes: &[EvictedMember], replicas: i32) -> i32 {
    count(notes.iter().filter(|note| note.replicas == Some(replicas)).count())
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Evictions {
    pub(super) fn of(snapshot: &ScaleSetSnapshot) -> Self {
        let replicas = snapshot.set.replicas;
        let there = |uid: &str| snapshot.members.iter().any(|member| member.uid == uid);
        let kept = snapshot.status.evictions.iter().filter_map(|note| {
            let counts = note.replicas.is_some() && note.replicas == replicas;
            let note = EvictedMember { uid: note.uid.clone(), replicas: note.replicas.filter(|_| counts) };
            (counts || there(&note.uid)).then_some(note)
        });
        let mut notes: Vec<EvictedMember> = kept.collect();
        let mut new = 0;
        for member in snapshot.members.iter().filter(|member| is_deleted(member)) {
            if notes.iter().all(|note| note.uid != member.uid) {
                // Whoever was told to go before it was evicted has made room already, or is to be replaced.
                let lowers = member.is_live() && !is_asked_for(snapshot, member);
                let replicas = replicas.filter(|_| lowers);
                new += i32::from(lowers);
                notes.push(EvictedMember { uid: member.uid.clone(), replicas });
            }
        }
        Self { notes, new }
    }

    /// The target in force. One that no wish says is a record, and is lowered once.
    pub(super) fn target(&self, snapshot: &ScaleSetSnapshot) -> i32 {
        let recorded = snapshot.status.target_replicas;
        let target = match (sudden_drop::held(snapshot), snapshot.set.replicas) {
            (Some((in_force, _)), _) => in_force - self.new,
            (None, Some(wished)) => wished - lowered(&self.notes, wished),
            (None, None) => recorded.unwrap_or(0) - self.new,
        };
        target.max(0)
    }
}

/// Notes who was evicted, then removes them. They are gone already: no protection keeps them.
pub(super) fn plan_evictions(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let evicted: Vec<&Member> = snapshot.members.iter().filter(|member| is_deleted(member)).collect();
    let noted = |member: &&&Member| snapshot.status.evictions.iter().any(|note| note.uid == member.uid);
    let unnoted: Vec<String> =
        evicted.iter().filter(|member| !noted(member)).map(|member| member.name.clone()).collect();
    if !unnoted.is_empty() {
        plan.actions.push(Action::NoteEvictions { names: unnoted });
    }
    let reason = || "evicted with policy Delete, the target is lowered".to_owned();
    let live = evicted.into_iter().filter(|member| member.is_live() && !is_asked_for(snapshot, member));
    plan.actions.extend(live.map(|member| remove(member, RemovalCause::Evicted, reason())));
}

/// Whether a person has asked for its deletion, and the target was lowered for that.
fn is_asked_for(snapshot: &ScaleSetSnapshot, member: &Member) -> bool {
    snapshot.operations.iter().any(|operation| match &operation.request {
        SetRequest::Delete { instances } => instances.contains(&member.uid),
        SetRequest::ManualUpgrade { .. }
        | SetRequest::StartRollingUpgrade { .. }
        | SetRequest::CancelRollingUpgrade { .. } => false,
    })
}

fn is_deleted(member: &Member) -> bool {
    member.is_made() && member.report.evicted == Evicted::Deleted
}
