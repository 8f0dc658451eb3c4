//! Numbers with three decimals: what metrics and thresholds are compared in, so that what people read is what was compared.

use std::fmt;

const UNIT: i64 = 1_000;

/// A number in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure(i64);

impl Measure {
    /// Larger than any value.
    pub const UNBOUNDED: Self = Self(i64::MAX);

    /// From thousandths.
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// A decimal number with at most three digits after the point.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) || part.len() > 3 {
            return None;
        }
        let thousandths: i64 = format!("{part:0<3}").parse().ok()?;
        let whole: i64 = whole.parse().ok()?;
        Some(Self(sign * whole.checked_mul(UNIT)?.checked_add(thousandths)?))
    }

    /// In thousandths.
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The nearest thousandth of a quotient of thousandths; the divisor is above 0.
    pub(crate) fn divided(dividend: i128, divisor: i128) -> Self {
        let doubled = dividend * 2;
        let rounded = (doubled + divisor).div_euclid(divisor * 2);
        Self(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 1_000, self.0.unsigned_abs() % 1_000);
        if part == 0 {
            return write!(formatter, "{sign}{whole}");
        }
        let part = format!("{part:03}");
        write!(formatter, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_is_written() {
        for text in ["0", "70", "-3", "69.643", "0.5", "-0.25", "1000000000000"] {
            assert_eq!(Measure::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "-", "1.", ".5", "1.2345", "1e3", "+1", "a"] {
            assert_eq!(Measure::parse(wrong), None, "{wrong}");
        }
    }
}
