//! What people have asked a set for by operations that have begun.

use std::collections::BTreeSet;

use crate::plan::{Action, RemovalCause};
use crate::snapshot::{Member, Revision, ScaleSetSnapshot, SetRequest};
use crate::upgrade::rolling::RollRequest;

/// Uids of the members that are to be brought to `newest`, and are not told to yet.
pub(super) fn upgrades(snapshot: &ScaleSetSnapshot, newest: &Revision) -> BTreeSet<String> {
    let mut uids = BTreeSet::new();
    for operation in &snapshot.operations {
        match &operation.request {
            SetRequest::ManualUpgrade { revision, instances } if *revision == newest.name => {
                uids.extend(instances.iter().cloned());
            }
            SetRequest::ManualUpgrade { .. }
            | SetRequest::Delete { .. }
            | SetRequest::StartRollingUpgrade { .. }
            | SetRequest::CancelRollingUpgrade { .. }
            | SetRequest::SetServiceState(_) => {}
        }
    }
    let follows = |member: &&Member| member.assigned_revision.as_ref() == Some(&newest.name);
    for member in snapshot.members.iter().filter(follows) {
        uids.remove(&member.uid);
    }
    uids
}

/// The removal of every live member that is asked for, protected, made by hand or neither.
pub(super) fn removals(snapshot: &ScaleSetSnapshot) -> Vec<Action> {
    let mut actions = Vec::new();
    for operation in &snapshot.operations {
        let instances = match &operation.request {
            SetRequest::Delete { instances } => instances,
            SetRequest::ManualUpgrade { .. }
            | SetRequest::StartRollingUpgrade { .. }
            | SetRequest::CancelRollingUpgrade { .. }
            | SetRequest::SetServiceState(_) => continue,
        };
        let named = snapshot.members.iter().filter(|member| member.is_live() && instances.contains(&member.uid));
        let reason = || format!("operation {} asks for it", operation.name);
        actions.extend(named.map(|member| super::remove(member, RemovalCause::Requested, reason())));
    }
    actions
}

/// The earliest wish about rolling upgrades; to cancel comes before to start.
pub(super) fn roll(snapshot: &ScaleSetSnapshot) -> Option<RollRequest> {
    let wishes = snapshot.operations.iter().filter_map(|operation| match operation.request {
        SetRequest::CancelRollingUpgrade { number } => Some((0, RollRequest::Cancel { number })),
        SetRequest::StartRollingUpgrade { after } => Some((1, RollRequest::Start { after })),
        SetRequest::ManualUpgrade { .. } | SetRequest::Delete { .. } | SetRequest::SetServiceState(_) => None,
    });
    wishes.min_by_key(|(rank, _)| *rank).map(|(_, request)| request)
}
