//! Numbers by their exact decimal value, whatever their length: nothing is rounded to a double.

use std::cmp::Ordering;

/// A number of valid JSON: 0.d₁d₂d₃… × 10^`power`, where d₁ is not zero. The digits stay in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonDecimal<'a> {
    negative: bool,
    /// The digits before the point, then those after it, without zeros at either end; none for zero.
    digits: [&'a [u8]; 2],
    /// Saturates, which takes an exponent of 38 digits.
    power: i128,
}

/// A power of ten, of which only the remainder is of interest. The modulus fits into 64 bits, so no product overflows.
fn power_of_ten(mut exponent: i128, modulus: u128) -> u128 {
    let (mut power, mut square) = (1 % modulus, 10 % modulus);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * square % modulus;
        }
        square = square * square % modulus;
        exponent >>= 1;
    }
    power
}

impl<'a> JsonDecimal<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = trim_start(whole.as_bytes());
        let (power, fraction) = match whole.is_empty() {
            true => {
                let significant = trim_start(fraction.as_bytes());
                let zeros = fraction.len() - significant.len();
                (-(zeros as i128), significant)
            }
            false => (whole.len() as i128, fraction.as_bytes()),
        };
        let fraction = trim_end(fraction);
        let whole = match fraction.is_empty() {
            true => trim_end(whole),
            false => whole,
        };
        let is_zero = whole.is_empty() && fraction.is_empty();
        Self {
            negative: negative && !is_zero,
            digits: [whole, fraction],
            power: if is_zero {
                0
            } else {
                power.saturating_add(exponent_of(exponent))
            },
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.iter().all(|part| part.is_empty())
    }

    fn all_digits(&self) -> impl Iterator<Item = u8> + 'a {
        let [whole, fraction] = self.digits;
        whole.iter().chain(fraction).copied()
    }

    /// The value, where it is a whole number that fits.
    pub(crate) fn whole(&self) -> Option<i128> {
        let zeros = self.last_power();
        if !(0..=38).contains(&zeros) {
            return self.is_zero().then_some(0);
        }
        let mut value: i128 = 0;
        for digit in self.all_digits() {
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        value = value.checked_mul(10_i128.checked_pow(zeros as u32)?)?;
        Some(if self.negative { -value } else { value })
    }

    /// Whether it is a whole multiple of a number that is not zero. `None`: that number has too many digits.
    pub(crate) fn is_multiple_of(&self, other: &Self) -> Option<bool> {
        /// More zeros than two numbers within the range of a double can differ by.
        const ZEROS_MAX: i128 = 1400;
        let modulus = other.mantissa()?;
        if self.is_zero() {
            return Some(true);
        }
        let zeros = self.last_power().saturating_sub(other.last_power());
        if !(0..=ZEROS_MAX).contains(&zeros) {
            // With fewer zeros: its last digit is not zero, so no factor of ten is in it.
            return Some(false);
        }
        let digits = self.all_digits().map(|digit| u128::from(digit - b'0'));
        let rest = digits.fold(0, |rest, digit| (rest * 10 + digit) % modulus);
        let rest = rest * power_of_ten(zeros, modulus);
        Some(rest.is_multiple_of(modulus))
    }

    /// Whether it has no digits behind the point.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_zero() || self.last_power() >= 0
    }

    /// All digits as one whole number, where it fits into 64 bits and is not zero.
    fn mantissa(&self) -> Option<u128> {
        let mut value: u64 = 0;
        for digit in self.all_digits() {
            value = value
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
        }
        (value > 0).then_some(u128::from(value))
    }

    /// The power of ten of its last digit.
    fn last_power(&self) -> i128 {
        let [whole, fraction] = self.digits;
        self.power
            .saturating_sub((whole.len() + fraction.len()) as i128)
    }

    /// Bytes that are the same for the same value, and only for it.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.negative)];
        bytes.extend_from_slice(&self.power.to_le_bytes());
        bytes.extend(self.all_digits());
        bytes
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .power
                .cmp(&other.power)
                .then_with(|| self.all_digits().cmp(other.all_digits())),
        }
    }
}

impl Ord for JsonDecimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
        }
    }
}

impl PartialOrd for JsonDecimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for JsonDecimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for JsonDecimal<'_> {}

fn exponent_of(text: &str) -> i128 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = digits.bytes().fold(0_i128, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i128::from(digit.saturating_sub(b'0')))
    });
    if negative { -value } else { value }
}

fn trim_start(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn trim_end(digits: &[u8]) -> &[u8] {
    let zeros = digits
        .iter()
        .rev()
        .take_while(|digit| **digit == b'0')
        .count();
    &digits[..digits.len() - zeros]
}
