//! Members that were evicted with policy Delete: each is noted once, lowers the target in force by one, and goes.
//!
//! Source: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets": with the policy Delete the capacity of the
//! set drops. The note is written before the object goes, so that nobody takes an eviction for a loss. It counts for as
//! long as `spec.replicas` is the same; another wish makes good for all evictions before it. Only who leaves the set with
//! fewer members than the target lowers it.

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::EvictedMember;

use super::remove;
use super::successors::pairs_among;
use crate::plan::{Action, Hold, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Evicted, Member, ScaleSetSnapshot, SetRequest};
use crate::sudden_drop;
use crate::upgrade::rolling::surge::replaced_by;

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
        let waits = sudden_drop::held(snapshot).is_some();
        let mut notes = kept(snapshot);
        let target = in_force(snapshot, &notes);
        let is_new = |member: &&Member| is_deleted(member) && !is_noted(&notes, member);
        let unnoted: Vec<&Member> = snapshot.members.iter().filter(is_new).collect();
        let mut left = if unnoted.is_empty() { 0 } else { missed(snapshot, &notes, target) };
        let new = count(left);
        for member in unnoted {
            // Whoever was told to go before it was evicted has made room already, or is to be replaced.
            let lowers = left > 0 && member.is_live() && !is_asked_for(snapshot, member);
            left -= usize::from(lowers);
            let wished = snapshot.set.replicas.filter(|_| lowers);
            notes.push(EvictedMember {
                uid: member.uid.clone(),
                replicas: wished.filter(|_| !waits),
                unconfirmed_replicas: wished.filter(|_| waits),
            });
        }
        Self { notes, new }
    }

    /// The target in force. One that the wish does not say, or not yet, is a record, and is lowered once; without a record it is
    /// what is there.
    pub(super) fn target(&self, snapshot: &ScaleSetSnapshot) -> i32 {
        let recorded = snapshot.status.target_replicas;
        let target = match (sudden_drop::held(snapshot), snapshot.set.replicas) {
            (Some((in_force, _)), wished) => (in_force - self.new).max(wished.unwrap_or(0)),
            (None, Some(wished)) => wished - lowered(&self.notes, wished),
            (None, None) => recorded.map_or_else(|| there(snapshot), |recorded| recorded - self.new),
        };
        target.max(0)
    }
}

/// The count of a set that nobody tells, since its status was lost or it has never had one: what it has, it keeps. New ones of
/// pairs stand in the places of the old ones.
fn there(snapshot: &ScaleSetSnapshot) -> i32 {
    let stays = |member: &&Member| member.is_made() && member.is_live() && !is_deleted(member);
    let stay: Vec<&Member> = snapshot.members.iter().filter(stays).collect();
    let is_there = |name: &str| stay.iter().any(|member| member.name == name);
    count(stay.iter().filter(|member| !replaced_by(member).is_some_and(is_there)).count())
}

/// The notes of earlier passes that still say something: those that count, those of a drop that still waits, and those
/// whose object is there.
fn kept(snapshot: &ScaleSetSnapshot) -> Vec<EvictedMember> {
    let wished = snapshot.set.replicas;
    let unconfirmed = wished.filter(|_| sudden_drop::held(snapshot).is_some());
    let there = |uid: &str| snapshot.members.iter().any(|member| member.uid == uid);
    let kept =
        snapshot.status.evictions.iter().map(|EvictedMember { uid, replicas, unconfirmed_replicas }| EvictedMember {
            uid: uid.clone(),
            replicas: replicas.filter(|replicas| Some(*replicas) == wished),
            unconfirmed_replicas: unconfirmed_replicas.filter(|replicas| Some(*replicas) == unconfirmed),
        });
    kept.filter(|note| note.replicas.is_some() || note.unconfirmed_replicas.is_some() || there(&note.uid)).collect()
}

/// The target before the evictions of this pass.
fn in_force(snapshot: &ScaleSetSnapshot, notes: &[EvictedMember]) -> usize {
    let before = Evictions { notes: notes.to_vec(), new: 0 };
    usize::try_from(before.target(snapshot)).unwrap_or(0)
}

/// How many members the target misses since the last pass. Who is evicted beyond it is none of them, and neither is the
/// new one of a pair, whose old one stays.
fn missed(snapshot: &ScaleSetSnapshot, notes: &[EvictedMember], target: usize) -> usize {
    let stays = |member: &&Member| {
        member.is_made() && member.is_live() && !is_asked_for(snapshot, member) && !is_noted(notes, member)
    };
    let before: Vec<Member> = snapshot.members.iter().filter(stays).cloned().collect();
    let after: Vec<Member> = before.iter().filter(|member| !is_deleted(member)).cloned().collect();
    let counted = |members: &[Member]| members.len() - pairs_among(snapshot, target, members);
    counted(&before).min(target).saturating_sub(counted(&after))
}

fn is_noted(notes: &[EvictedMember], member: &Member) -> bool {
    notes.iter().any(|note| note.uid == member.uid)
}

/// Notes who was evicted, then removes them. They are gone already: no protection keeps them.
pub(super) fn plan_evictions(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let evicted: Vec<&Member> = snapshot.members.iter().filter(|member| is_deleted(member)).collect();
    let unnoted = evicted.iter().filter(|member| !is_noted(&snapshot.status.evictions, member));
    let unnoted: Vec<String> = unnoted.map(|member| member.name.clone()).collect();
    if !unnoted.is_empty() {
        plan.actions.push(Action::NoteEvictions { names: unnoted });
    }
    let live = evicted.into_iter().filter(|member| member.is_live() && !is_asked_for(snapshot, member));
    let removals: Vec<Action> =
        live.map(|member| remove(member, RemovalCause::Evicted, reason(&plan.evictions, member).to_owned())).collect();
    plan.actions.extend(removals);
}

/// Says by how much evictions lower the target that is wished, and how to get the VMs back: a wish that is changed and
/// changed back before anybody has looked is no other wish, and nobody could tell it from one that stayed.
pub(super) fn hold_lowered(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let Some(wished) = snapshot.set.replicas.filter(|_| sudden_drop::held(snapshot).is_none()) else { return };
    let evicted = lowered(&plan.evictions, wished);
    if evicted > 0 {
        let target = plan.effective.target;
        let message = format!(
            "{wished} wished, {evicted} evicted with policy Delete, {target} in force; to get them back set spec.replicas to \
             {target}, wait until status.observedGeneration has followed, then set it to {wished} again"
        );
        plan.holds.push(Hold { reason: Reason::Evicted, count: usize::try_from(evicted).unwrap_or(0), message });
    }
}

fn reason(notes: &[EvictedMember], member: &Member) -> &'static str {
    let lowers = |note: &EvictedMember| note.uid == member.uid && note.replicas.or(note.unconfirmed_replicas).is_some();
    if notes.iter().any(lowers) {
        "evicted with policy Delete, the target is lowered"
    } else {
        "evicted with policy Delete"
    }
}

/// Whether a person has asked for its deletion, and the target was lowered for that.
fn is_asked_for(snapshot: &ScaleSetSnapshot, member: &Member) -> bool {
    snapshot.operations.iter().any(|operation| match &operation.request {
        SetRequest::Delete { instances } => instances.contains(&member.uid),
        SetRequest::ManualUpgrade { .. }
        | SetRequest::StartRollingUpgrade { .. }
        | SetRequest::CancelRollingUpgrade { .. }
        | SetRequest::SetServiceState(_) => false,
    })
}

fn is_deleted(member: &Member) -> bool {
    member.is_made() && member.report.evicted == Evicted::Deleted
}
