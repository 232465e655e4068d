//! Integers that have bounds.

use std::ops::RangeInclusive;

use super::{Fields, ParamFault, parse_integer};

impl<const N: usize> Fields<'_, N> {
    /// The token of a lock: an offset of the log, and so never 0.
    pub(in crate::message) fn token(&self, name: &str) -> Result<u64, ParamFault> {
        self.required(name, "an integer ≥ 1", |raw| {
            parse_integer(raw).filter(|token| *token >= 1)
        })
    }

    /// An integer within `range`.
    pub(in crate::message) fn integer_in(
        &self,
        name: &str,
        range: &RangeInclusive<u64>,
    ) -> Result<u64, ParamFault> {
        let within = self.optional_integer_in(name, range)?;
        within.ok_or_else(|| self.unexpected(name, &allowed(range)))
    }

    /// An integer within `range`; `None` if it is absent.
    pub(in crate::message) fn optional_integer_in(
        &self,
        name: &str,
        range: &RangeInclusive<u64>,
    ) -> Result<Option<u64>, ParamFault> {
        self.optional(name, &allowed(range), |raw| {
            parse_integer(raw).filter(|integer| range.contains(integer))
        })
    }
}

fn allowed(range: &RangeInclusive<u64>) -> String {
    format!("an integer from {} to {}", range.start(), range.end())
}
