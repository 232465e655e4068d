//! CLOCK_ADVANCE: lets time pass on a server with a clock for tests, which stands still otherwise.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Parameters of CLOCK_ADVANCE. Without `by` it only says what the clock shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClockAdvance<'a> {
    /// By how much: `30m`, `1h30m`, `90d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, str>>,
}

impl<'a> Params<'a> for ClockAdvance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["by"])?;
        Ok(Self {
            by: fields.optional_text("by")?,
        })
    }
}

/// Result of CLOCK_ADVANCE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockAdvanceResult {
    /// What the clock shows, Unix milliseconds. Everything that is due by then was decided.
    pub now: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_survive_reading_and_writing() {
        for text in [r#"{}"#, r#"{"by":"30m"}"#] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let read = ClockAdvance::read(&raw).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let wrong = RawValue::from_string(r#"{"by":30}"#.to_owned()).unwrap();
        ClockAdvance::read(&wrong).unwrap_err();
    }
}
