//! What a set that misses members makes: of which priorities, and how many more than it misses.

use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::Surplus;

use crate::overprovision::{extras_to_make, mark_of_asked};
use crate::plan::Effective;
use crate::priority_mix::Split;
use crate::snapshot::{Member, Revision, ScaleSetSnapshot};

/// Members that count, how many the target misses, and the extras that there are.
#[derive(Clone, Copy)]
pub(super) struct Growth<'pass> {
    pub(super) now: Split,
    pub(super) missing: usize,
    pub(super) extras: &'pass [Member],
}

impl Growth<'_> {
    /// Priority and mark of each new member: those that are asked for, regular ones first, then the extras.
    pub(super) fn members(
        self,
        snapshot: &ScaleSetSnapshot,
        effective: &Effective,
        revision: &Revision,
    ) -> Vec<(Priority, Option<Surplus>)> {
        let there = self.extras.iter().filter(|extra| extra.is_live()).count();
        let single = effective.single_placement_group;
        let extras = extras_to_make(snapshot, effective.target, there, &revision.profile, single);
        let mark = mark_of_asked(snapshot, there + extras);
        let asked = self.priorities(snapshot, revision).into_iter().map(|priority| (priority, mark));
        let extra = (revision.profile.spot.priority, Some(Surplus::Overprovisioned));
        asked.chain(std::iter::repeat_n(extra, extras)).collect()
    }

    fn priorities(self, snapshot: &ScaleSetSnapshot, revision: &Revision) -> Vec<Priority> {
        let Some(mix) = snapshot.set.mix else { return vec![revision.profile.spot.priority; self.missing] };
        let Split { regular, spot } = mix.additions(self.now, self.missing);
        let regular = std::iter::repeat_n(Priority::Regular, regular);
        regular.chain(std::iter::repeat_n(Priority::Spot, spot)).collect()
    }
}
