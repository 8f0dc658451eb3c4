//! Read-your-own-writes: whether the cache has caught up with what this process wrote.
//!
//! Decided from the resource versions that the watches have delivered and those that the API answered to our writes,
//! kept apart for each kind and for each object on whose behalf a write was made. Invariants: a write that the cache
//! does not show holds its object back; a list that was begun after the write settles it; a write whose outcome is
//! not known, or that stays unseen for [`UNSEEN_MAX`], is settled only by a list made for it. Nothing here calls the
//! API or knows the time: both are handed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Kind, ObjectKey};

/// How long a write may stay unseen before a list of its own decides.
pub(crate) const UNSEEN_MAX: Duration = Duration::from_secs(30);
const WAIT_FIRST: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What the cache must show before a write counts as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// An event of the kind with at least this resource version.
    Version(u64),
    /// The name is free, or has another uid.
    Removal {
        /// The object that was removed.
        key: ObjectKey,
        /// Its uid.
        uid: String,
    },
    /// The call failed half way and may or may not have been carried out: only a list can tell.
    Unknown,
}

/// Objects of one kind in one namespace: what a list of its own covers.
pub(crate) type Scope = (Kind, String);

/// Why a list of its own is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// A call failed half way.
    UnknownOutcome,
    /// The watch did not deliver a write within [`UNSEEN_MAX`].
    Unseen,
}

/// Whether an object may be decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Yes.
    Current,
    /// Not yet; ask again after this long.
    Behind(Duration),
    /// Not yet, and the caller is to list these scopes and then to call [`OwnWrites::listed`] for each and
    /// [`OwnWrites::list_ended`]. Said once until that call.
    ListDue(Cause, BTreeSet<Scope>),
}

/// How far one watch has come.
#[derive(Debug, Default)]
struct Progress {
    seen: u64,
    /// The highest version in the list under way; it counts when the list is complete.
    seen_in_list: u64,
    lists_begun: u64,
}

#[derive(Debug)]
struct Pending {
    scope: Scope,
    expectation: Expectation,
    lists_begun: u64,
    written_at: Instant,
}

#[derive(Debug, Default)]
struct Owner {
    pending: Vec<Pending>,
    checks: u32,
    list: OwnList,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OwnList {
    #[default]
    Idle,
    UnderWay,
}

/// What was written and not yet seen, by the uid of the object on whose behalf it was written.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites {
    progress: BTreeMap<Kind, Progress>,
    owners: HashMap<String, Owner>,
}

impl OwnWrites {
    /// A watch event of that version has reached the cache.
    pub(crate) fn seen(&mut self, kind: Kind, version: u64) {
        let progress = self.progress.entry(kind).or_default();
        progress.seen = progress.seen.max(version);
    }

    /// The watch is about to list: whatever was written until now will be in the list.
    pub(crate) fn list_begun(&mut self, kind: Kind) {
        let progress = self.progress.entry(kind).or_default();
        progress.lists_begun += 1;
        progress.seen_in_list = 0;
    }

    /// An object of the list under way, which the cache does not show yet.
    pub(crate) fn seen_in_list(&mut self, kind: Kind, version: u64) {
        let progress = self.progress.entry(kind).or_default();
        progress.seen_in_list = progress.seen_in_list.max(version);
    }

    /// The cache shows the list: it settles what was written before it was begun.
    pub(crate) fn list_done(&mut self, kind: Kind) {
        let progress = self.progress.entry(kind).or_default();
        progress.seen = progress.seen.max(progress.seen_in_list);
        let lists_begun = progress.lists_begun;
        self.settle(|pending| pending.scope.0 == kind && pending.lists_begun < lists_begun);
    }

    /// A write succeeded, or ended in doubt. A removal that the cache shows already is not to be noted.
    pub(crate) fn wrote(&mut self, owner: &str, scope: Scope, expectation: Expectation, now: Instant) {
        let progress = self.progress.entry(scope.0).or_default();
        let (seen, lists_begun) = (progress.seen, progress.lists_begun);
        let version = match &expectation {
            Expectation::Version(version) if *version <= seen => return,
            Expectation::Version(version) => Some(*version),
            Expectation::Removal { .. } | Expectation::Unknown => None,
        };
        let pending = &mut self.owners.entry(owner.to_owned()).or_default().pending;
        let earlier = version.and_then(|_| {
            pending.iter_mut().find(|one| one.scope == scope && matches!(one.expectation, Expectation::Version(_)))
        });
        let written = Pending { scope, expectation, lists_begun, written_at: now };
        match earlier {
            // Versions of one kind only grow: the highest stands for all.
            Some(one) if newer(&written.expectation, &one.expectation) => *one = written,
            Some(_) => {}
            None => pending.push(written),
        }
    }

    /// The object itself is gone: nothing will be decided on its behalf any more.
    pub(crate) fn forget(&mut self, owner: &str) {
        self.owners.remove(owner);
    }

    /// Whether the cache shows everything that was written on behalf of `owner`. `present` gives the uid of what the
    /// cache has under a name.
    pub(crate) fn gate(
        &mut self,
        owner: &str,
        now: Instant,
        present: impl Fn(Kind, &ObjectKey) -> Option<String>,
    ) -> Gate {
        let Some(entry) = self.owners.get_mut(owner) else { return Gate::Current };
        let seen = |kind| self.progress.get(&kind).map_or(0, |progress| progress.seen);
        entry.pending.retain(|pending| match &pending.expectation {
            Expectation::Version(version) => seen(pending.scope.0) < *version,
            Expectation::Removal { key, uid } => present(pending.scope.0, key).as_ref() == Some(uid),
            Expectation::Unknown => true,
        });
        if entry.pending.is_empty() {
            self.owners.remove(owner);
            return Gate::Current;
        }
        if let (OwnList::Idle, Some(cause)) = (entry.list, entry.cause(now)) {
            entry.list = OwnList::UnderWay;
            return Gate::ListDue(cause, entry.pending.iter().map(|pending| pending.scope.clone()).collect());
        }
        let wait = WAIT_FIRST.saturating_mul(1 << entry.checks.min(16)).min(WAIT_MAX);
        entry.checks = entry.checks.saturating_add(1);
        Gate::Behind(wait)
    }

    /// Whether anything written in that scope is still unsettled.
    pub(crate) fn is_pending(&self, scope: &Scope) -> bool {
        self.owners.values().any(|owner| owner.pending.iter().any(|pending| pending.scope == *scope))
    }

    /// The cache shows a list of the scope that was begun at that time: it settles what was written before.
    pub(crate) fn listed(&mut self, scope: &Scope, begun_at: Instant) {
        self.settle(|pending| pending.scope == *scope && pending.written_at <= begun_at);
    }

    /// The lists asked for by [`Gate::ListDue`] are over, well or not; what they did not settle makes them due again.
    pub(crate) fn list_ended(&mut self, owner: &str) {
        if let Some(entry) = self.owners.get_mut(owner) {
            entry.list = OwnList::Idle;
        }
    }

    fn settle(&mut self, settled: impl Fn(&Pending) -> bool) {
        self.owners.retain(|_, owner| {
            owner.pending.retain(|pending| !settled(pending));
            !owner.pending.is_empty()
        });
    }
}

impl Owner {
    fn cause(&self, now: Instant) -> Option<Cause> {
        let causes = self.pending.iter().filter_map(|pending| match pending.expectation {
            Expectation::Unknown => Some(Cause::UnknownOutcome),
            Expectation::Version(_) | Expectation::Removal { .. } => {
                (now.saturating_duration_since(pending.written_at) >= UNSEEN_MAX).then_some(Cause::Unseen)
            }
        });
        causes.max()
    }
}

fn newer(one: &Expectation, other: &Expectation) -> bool {
    matches!((one, other), (Expectation::Version(one), Expectation::Version(other)) if one > other)
}

#[cfg(test)]
mod tests;
