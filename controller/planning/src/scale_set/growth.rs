//! What a set that misses members makes: of which priorities.

use scaleset_crds::spot::Priority;

use crate::priority_mix::Split;
use crate::snapshot::{Revision, ScaleSetSnapshot};

/// Members that count, and how many the target misses.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    pub(super) now: Split,
    pub(super) missing: usize,
}

impl Growth {
    /// Of which priorities the new members are, regular ones first.
    pub(super) fn priorities(self, snapshot: &ScaleSetSnapshot, revision: &Revision) -> Vec<Priority> {
        let Some(mix) = snapshot.set.mix else { return vec![revision.profile.spot.priority; self.missing] };
        let Split { regular, spot } = mix.additions(self.now, self.missing);
        let regular = std::iter::repeat_n(Priority::Regular, regular);
        regular.chain(std::iter::repeat_n(Priority::Spot, spot)).collect()
    }
}
