//! The one disruption allowance of a set, computed first and spent by everything that disturbs members.
//!
//! A = max(1, floor(N x percent / 100)), N = members that the set made. Azure's rolling-upgrade policy gives the
//! percentage (maxBatchInstancePercent, default 20) and the rounding; that every mode shares it is ours
//! (`docs/decisions`).

/// Azure's default of `maxBatchInstancePercent`.
pub const DEFAULT_BATCH_PERCENT: i32 = 20;

/// What may be disturbed, and what of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Members that the set made.
    pub made: usize,
    /// Percentage in force.
    pub percent: i32,
    /// A.
    pub total: usize,
    /// Members that spend of it already: being changed, or not available.
    pub spent: usize,
}

impl Allowance {
    /// The allowance of a set of `made` members, of whom `spent` spend already.
    pub fn new(made: usize, percent: i32, spent: usize) -> Self {
        let share = made * usize::try_from(percent).unwrap_or(0) / 100;
        Self { made, percent, total: share.max(1), spent }
    }

    /// How many more may be disturbed now; 0 when more are unavailable than allowed.
    pub const fn left(&self) -> usize {
        self.total.saturating_sub(self.spent)
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, percent, total, spent } = self;
        write!(formatter, "{spent} in flight or unavailable of {total} allowed ({percent} % of {made})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_rounded_down_and_never_below_one() {
        for (made, percent, total) in
            [(0, 20, 1), (3, 20, 1), (5, 20, 1), (9, 20, 1), (10, 20, 2), (1_000, 20, 200), (7, 100, 7)]
        {
            assert_eq!(Allowance::new(made, percent, 0).total, total, "{percent} % of {made}");
        }
    }

    #[test]
    fn an_overdrawn_allowance_moves_nothing() {
        assert_eq!(Allowance::new(10, 20, 5).left(), 0);
        assert_eq!(Allowance::new(10, 20, 1).left(), 1);
    }
}
