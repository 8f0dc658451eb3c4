//! Values before they are rounded.
//!
//! What is found is rounded to thousandths once, at the end, and what is projected to another count is made from the same sum: a mean
//! that was rounded before would be multiplied together with its error, and 1000 over 3 VMs would be 999.999 on one.

use super::measure::Measure;

/// How many parts a thousandth has. Grains have sums of up to 19 digits, counts and windows of up to four each: that leaves room.
const PARTS: i128 = 1_000_000_000;

/// A number in billionths of a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unrounded(i128);

impl Unrounded {
    /// So many thousandths, so many times, divided by a number above 0.
    pub(super) fn of(thousandths: i64, times: i64, divided_by: i64) -> Self {
        Self(i128::from(thousandths) * i128::from(times) * PARTS / i128::from(divided_by))
    }

    /// A whole number.
    pub(super) fn whole(number: usize) -> Self {
        Self::of(1_000, i64::try_from(number).unwrap_or(i64::MAX), 1)
    }

    pub(super) fn sum(all: &[Self]) -> Self {
        Self(all.iter().map(|one| one.0).sum())
    }

    /// Of at least one.
    pub(super) fn mean(all: &[Self]) -> Self {
        Self(Self::sum(all).0 / i128::try_from(all.len()).unwrap_or(i128::MAX))
    }

    /// Divided by a count and rounded to the nearest thousandth; beyond all bounds where nobody is there to share it.
    pub(super) fn over(self, count: i64) -> Measure {
        match (count, self.0) {
            (0, 0) => Measure::from_thousandths(0),
            (0, _) => Measure::UNBOUNDED,
            (count, parts) => Measure::divided(parts, PARTS * i128::from(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rounded_once_to_the_nearest_thousandth() {
        let over = |whole: i64, times: i64, count: i64| Unrounded::of(whole * 1_000, times, 1).over(count).to_string();
        assert_eq!(over(65, 30, 28), "69.643");
        assert_eq!(over(65, 30, 27), "72.222");
        assert_eq!(over(-1, 1, 3), "-0.333");
        assert_eq!(over(1, 1, 2_000), "0.001");
        assert_eq!(Unrounded::of(1_000_000, 3, 3).over(1).to_string(), "1000");
        assert_eq!(Unrounded::of(0, 1, 1).over(0), Measure::from_thousandths(0));
        assert_eq!(Unrounded::of(1, 1, 1).over(0), Measure::UNBOUNDED);
    }

    #[test]
    fn the_largest_that_there_can_be_has_room() {
        let largest = Unrounded::of(i64::MAX, 1_000, 1);
        assert_eq!(Unrounded::mean(&[largest; 720]).over(1_000), Measure::from_thousandths(i64::MAX));
    }
}
