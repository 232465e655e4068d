//! Exact decimals, for money.

use std::cmp::Ordering;
use std::fmt;

/// Most digits behind the point.
const SCALE_MAX: u32 = 28;
/// A quotient with more digits behind the point than this is rounded to this many.
const QUOTIENT_SCALE: i64 = 18;

/// `coefficient` / 10^`scale`. The scale is kept as it was written, so that 1.50 is shown as 1.50; only the value
/// counts in comparisons.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    coefficient: i128,
    scale: u32,
}

impl Decimal {
    pub(crate) fn from_integer(value: i128) -> Self {
        Self {
            coefficient: value,
            scale: 0,
        }
    }

    /// Reads a number as JSON writes it, with a sign, a point and an exponent if there are any.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().ok()?;
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, digits.strip_prefix('+').unwrap_or(digits)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || digits.ends_with('.') {
            return None;
        }
        let mut coefficient: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return None;
            }
            coefficient = coefficient
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        if negative {
            coefficient = -coefficient;
        }
        let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        Self::scaled(coefficient, scale)
    }

    /// `coefficient` / 10^`scale` for any scale, if it can be held exactly.
    fn scaled(mut coefficient: i128, mut scale: i64) -> Option<Self> {
        if coefficient == 0 {
            scale = scale.clamp(0, i64::from(SCALE_MAX));
        }
        while scale > i64::from(SCALE_MAX) {
            if coefficient % 10 != 0 {
                return None;
            }
            coefficient /= 10;
            scale -= 1;
        }
        while scale < 0 {
            coefficient = coefficient.checked_mul(10)?;
            scale += 1;
        }
        Some(Self {
            coefficient,
            scale: scale as u32,
        })
    }

    /// Both with the larger scale of the two.
    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        Some((self.at_scale(scale)?, other.at_scale(scale)?, scale))
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.coefficient
            .checked_mul(10_i128.checked_pow(scale - self.scale)?)
    }

    pub(crate) fn add(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.shortened(other)?;
        Some(Self {
            coefficient: left.checked_add(right)?,
            scale,
        })
    }

    pub(crate) fn subtract(self, other: Self) -> Option<Self> {
        self.add(other.negate()?)
    }

    /// As [`Decimal::aligned`], but drops zeros at the end if the numbers do not fit with them.
    fn shortened(self, other: Self) -> Option<(i128, i128, u32)> {
        self.aligned(other)
            .or_else(|| self.trimmed().aligned(other.trimmed()))
    }

    pub(crate) fn negate(self) -> Option<Self> {
        Some(Self {
            coefficient: self.coefficient.checked_neg()?,
            scale: self.scale,
        })
    }

    pub(crate) fn multiply(self, other: Self) -> Option<Self> {
        let product = |left: Self, right: Self| {
            let coefficient = left.coefficient.checked_mul(right.coefficient)?;
            Self::scaled(coefficient, i64::from(left.scale + right.scale))
        };
        product(self, other).or_else(|| product(self.trimmed(), other.trimmed()))
    }

    /// The quotient: exact where it ends within [`QUOTIENT_SCALE`] digits behind the point, otherwise rounded to
    /// these, half to even. The divisor must not be zero.
    pub(crate) fn divide(self, other: Self) -> Option<Self> {
        let (left, right) = (self.trimmed(), other.trimmed());
        let mut quotient = left.coefficient.checked_div(right.coefficient)?;
        let mut rest = left.coefficient.checked_rem(right.coefficient)?;
        let mut scale = i64::from(left.scale) - i64::from(right.scale);
        while rest != 0 && scale < QUOTIENT_SCALE {
            rest = rest.checked_mul(10)?;
            let digit = rest / right.coefficient;
            quotient = quotient.checked_mul(10)?.checked_add(digit)?;
            rest %= right.coefficient;
            scale += 1;
        }
        let quotient = half_to_even(quotient, rest, right.coefficient)?;
        let quotient = Self::scaled(quotient, scale)?;
        // As many digits as the operands have, where there are not more.
        let scale = self.scale.max(other.scale);
        let quotient = quotient.trimmed_to(scale);
        Some(match quotient.scale < scale {
            true => quotient
                .at_scale(scale)
                .map_or(quotient, |coefficient| Self { coefficient, scale }),
            false => quotient,
        })
    }

    /// Rounded to so many digits behind the point, half to even; never more digits than there are.
    pub(crate) fn round(self, places: u32) -> Option<Self> {
        if places >= self.scale {
            return Some(self);
        }
        let unit = 10_i128.checked_pow(self.scale - places)?;
        Some(Self {
            coefficient: half_to_even(self.coefficient / unit, self.coefficient % unit, unit)?,
            scale: places,
        })
    }

    pub(crate) fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    fn trimmed(self) -> Self {
        self.trimmed_to(0)
    }

    /// Without zeros at the end, but for so many digits behind the point.
    fn trimmed_to(mut self, scale: u32) -> Self {
        while self.scale > scale && self.coefficient % 10 == 0 {
            self.coefficient /= 10;
            self.scale -= 1;
        }
        self
    }

    /// The digits before the point; `None` if they do not fit.
    pub(crate) fn truncate(self) -> Option<i64> {
        let unit = 10_i128.checked_pow(self.scale)?;
        i64::try_from(self.coefficient / unit).ok()
    }
}

/// A quotient that was cut off, rounded by its rest.
fn half_to_even(quotient: i128, rest: i128, divisor: i128) -> Option<i128> {
    let (size, divisor_size) = (rest.unsigned_abs(), divisor.unsigned_abs());
    let up = match size.cmp(&(divisor_size - size)) {
        Ordering::Less => false,
        Ordering::Equal => quotient % 2 != 0,
        Ordering::Greater => true,
    };
    match up {
        true if (rest < 0) == (divisor < 0) => quotient.checked_add(1),
        true => quotient.checked_sub(1),
        false => Some(quotient),
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.coefficient.unsigned_abs().to_string();
        let scale = self.scale as usize;
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if self.coefficient < 0 {
            f.write_str("-")?;
        }
        f.write_str(whole)?;
        match fraction {
            "" => Ok(()),
            _ => write!(f, ".{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a decimal"))
    }

    #[test]
    fn what_is_written_is_shown() {
        for text in [
            "0",
            "0.00",
            "-0.05",
            "1.50",
            "129.90",
            "-12",
            "100000000000000000000000000000",
        ] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal("1.5e3").to_string(), "1500");
        assert_eq!(decimal("15E-3").to_string(), "0.015");
        for text in [
            "", ".", "1.", ".5", "-", "1.2.3", "1e", "abc", "1e-30", "1e40", "--1", "NaN",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn sums_and_products_are_exact() {
        let sum = decimal("0.1")
            .add(decimal("0.2"))
            .map(|sum| sum.to_string());
        assert_eq!(sum.as_deref(), Some("0.3"));
        let product = decimal("19.99")
            .multiply(decimal("3"))
            .map(|it| it.to_string());
        assert_eq!(product.as_deref(), Some("59.97"));
        let huge = decimal("99999999999999999999999999999999999999");
        assert!(huge.multiply(huge).is_none(), "it never rounds in silence");
    }

    #[test]
    fn a_quotient_is_exact_or_rounded_half_to_even() {
        let divided = |left, right| {
            let quotient = decimal(left).divide(decimal(right));
            quotient.map(|quotient| quotient.to_string())
        };
        assert_eq!(divided("1", "8").as_deref(), Some("0.125"));
        assert_eq!(divided("10.00", "4").as_deref(), Some("2.50"));
        assert_eq!(
            divided("12345678901234567890.12", "4").as_deref(),
            Some("3086419725308641972.53")
        );
        assert_eq!(divided("1", "0.001").as_deref(), Some("1000.000"));
        assert_eq!(divided("1", "3").as_deref(), Some("0.333333333333333333"));
        assert_eq!(divided("-2", "3").as_deref(), Some("-0.666666666666666667"));
        let rounded = |text, places| decimal(text).round(places).map(|it| it.to_string());
        assert_eq!(rounded("2.345", 2).as_deref(), Some("2.34"));
        assert_eq!(rounded("2.355", 2).as_deref(), Some("2.36"));
        assert_eq!(rounded("-2.5", 0).as_deref(), Some("-2"));
        assert_eq!(rounded("2.5", 4).as_deref(), Some("2.5"));
    }

    proptest! {
        #[test]
        fn adding_and_subtracting_gives_what_was(
            left in -10_i64.pow(15)..10_i64.pow(15), right in -10_i64.pow(15)..10_i64.pow(15),
            left_scale in 0_u32..10, right_scale in 0_u32..10,
        ) {
            let left = Decimal { coefficient: left.into(), scale: left_scale };
            let right = Decimal { coefficient: right.into(), scale: right_scale };
            let back = left.add(right).and_then(|sum| sum.subtract(right)).expect("in range");
            prop_assert_eq!(back.trimmed().to_string(), left.trimmed().to_string());
            let text = left.to_string();
            prop_assert_eq!(decimal(&text).to_string(), text);
            if !right.is_zero() {
                let product = left.multiply(right).expect("in range");
                let back = product.divide(right).expect("in range");
                prop_assert_eq!(back.trimmed().to_string(), left.trimmed().to_string());
            }
        }
    }
}
