//! How many members of a set that mixes priorities are regular, and of which priority the next one is that comes or goes.
//!
//! Source: Azure's "Use Spot Priority Mix for high availability and cost savings". Of `capacity` members the base comes
//! first and is regular; of those above it a share is, rounded down; the others are Spot. Members are added to the side
//! that is short of its target and taken from the side that is long, so a change of the numbers alone does nothing.

use scaleset_crds::spot::Priority;

/// The mix that a set is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityMix {
    /// Regular members that come first.
    pub base: usize,
    /// So many in a hundred of the others are regular.
    pub regular_percent_above_base: usize,
}

/// Members by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Regular ones.
    pub regular: usize,
    /// Spot ones, evicted and deallocated ones among them.
    pub spot: usize,
}

impl Split {
    /// The members of these priorities.
    pub fn count(priorities: impl Iterator<Item = Priority>) -> Self {
        priorities.fold(Self::default(), Self::with)
    }

    /// One more of `priority`.
    #[must_use]
    pub const fn with(self, priority: Priority) -> Self {
        let Self { regular, spot } = self;
        match priority {
            Priority::Regular => Self { regular: regular + 1, spot },
            Priority::Spot => Self { regular, spot: spot + 1 },
        }
    }

    /// All of them.
    pub const fn total(self) -> usize {
        self.regular + self.spot
    }

    /// One less of `priority`.
    #[must_use]
    pub const fn without(self, priority: Priority) -> Self {
        match priority {
            Priority::Regular => Self { regular: self.regular.saturating_sub(1), spot: self.spot },
            Priority::Spot => Self { regular: self.regular, spot: self.spot.saturating_sub(1) },
        }
    }
}

impl PriorityMix {
    /// How `capacity` members are to be split.
    pub fn target(self, capacity: usize) -> Split {
        let above = capacity.saturating_sub(self.base);
        let regular = capacity.min(self.base) + above * self.regular_percent_above_base / 100;
        Split { regular, spot: capacity - regular }
    }

    /// What is added to `now` to have `count` more: to the short side alone, as long as one is long.
    pub fn additions(self, now: Split, count: usize) -> Split {
        let target = self.target(now.total() + count);
        let regular = target.regular.saturating_sub(now.regular).min(count);
        Split { regular, spot: count - regular }
    }

    /// Of which priority the next one is that goes: of that side which would be long without it. There are some of it.
    pub fn next_to_go(self, now: Split) -> Priority {
        let target = self.target(now.total().saturating_sub(1));
        if now.regular > target.regular { Priority::Regular } else { Priority::Spot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: PriorityMix = PriorityMix { base: 10, regular_percent_above_base: 50 };
    const QUARTER: PriorityMix = PriorityMix { base: 10, regular_percent_above_base: 25 };

    fn split(regular: usize, spot: usize) -> Split {
        Split { regular, spot }
    }

    #[test]
    fn the_documented_tables_hold() {
        // Capacity, regular members above the base, Spot members.
        let half = [(10, 0, 0), (20, 5, 5), (30, 10, 10), (40, 15, 15), (41, 15, 16), (42, 16, 16), (44, 17, 17)];
        let quarter = [(20, 2, 8), (50, 10, 30), (110, 25, 75), (120, 27, 83)];
        let rows = half.map(|row| (HALF, row)).into_iter().chain(quarter.map(|row| (QUARTER, row)));
        for (mix, (capacity, above, spot)) in rows {
            assert_eq!(mix.target(capacity), split(10 + above, spot), "{mix:?} at {capacity}");
        }
    }

    #[test]
    fn below_the_base_everybody_is_regular() {
        assert_eq!(HALF.target(7), split(7, 0));
        assert_eq!(PriorityMix { base: 0, regular_percent_above_base: 0 }.target(7), split(0, 7));
        assert_eq!(PriorityMix { base: 0, regular_percent_above_base: 100 }.target(7), split(7, 0));
    }

    #[test]
    fn after_evictions_only_the_short_side_grows() {
        assert_eq!(HALF.additions(split(26, 0), 4), split(0, 4), "42 less 16 evicted, then 30");
        assert_eq!(HALF.additions(split(26, 4), 12), split(0, 12), "then 42 again");
        assert_eq!(QUARTER.additions(split(35, 75), 10), split(2, 8), "110, of whom 10 are deallocated, then 120");
    }

    #[test]
    fn members_go_from_the_long_side_first_and_end_at_the_target() {
        let mut now = split(26, 4);
        for _ in 0..6 {
            assert_eq!(HALF.next_to_go(now), Priority::Regular, "{now:?}");
            now = now.without(Priority::Regular);
        }
        let mut now = split(26, 16);
        while now.total() > 30 {
            now = now.without(HALF.next_to_go(now));
        }
        assert_eq!(now, HALF.target(30));
    }

    #[test]
    fn whatever_there_is_and_whatever_is_wished_the_way_leads_to_the_target() {
        for base in [0, 3, 10] {
            for percent in [0, 25, 33, 50, 100] {
                let mix = PriorityMix { base, regular_percent_above_base: percent };
                for (regular, spot) in (0..12).flat_map(|regular| (0..12).map(move |spot| (regular, spot))) {
                    let mut now = split(regular, spot);
                    let more = mix.additions(now, 5);
                    assert_eq!(more.total(), 5, "{mix:?} {now:?}");
                    let (target, grown) =
                        (mix.target(now.total() + 5), split(regular + more.regular, spot + more.spot));
                    let long = grown.regular > target.regular;
                    assert!(!long || more.regular == 0, "{mix:?}: {now:?} grows its long side by {more:?}");
                    while now.total() > 0 {
                        let goes = mix.next_to_go(now);
                        let there = match goes {
                            Priority::Regular => now.regular,
                            Priority::Spot => now.spot,
                        };
                        assert!(there > 0, "{mix:?} {now:?}: nobody is left of {goes:?}");
                        now = now.without(goes);
                    }
                }
            }
        }
    }
}
