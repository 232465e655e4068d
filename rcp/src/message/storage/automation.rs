//! AUTOMATION: pauses what the database does by itself, and lets it run again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::meta::{Meta, names_of_write};
use crate::message::{ParamFault, Params};

/// Parameters of AUTOMATION. Without `set` it only says the state of automation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Automation<'a> {
    /// `paused` or `running`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Cow<'a, str>>,
    /// The metadata of the write. Its reason is also shown with the state of automation.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// With `running`: actions that became due during the pause do not happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_overdue: Option<bool>,
    /// With `running`: all future times move by the length of the pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_timers: Option<bool>,
}

impl<'a> Params<'a> for Automation<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["set", "skip_overdue", "shift_timers"];
        let fields = Fields::of_params(params, names)?;
        if fields.optional_bool("dry_run")? == Some(true) {
            return Err(ParamFault::new(
                "params.dry_run",
                "AUTOMATION has no dry run; nothing was changed",
            ));
        }
        let read = Self {
            set: fields.optional_text("set")?,
            meta: Meta::of(&fields)?,
            skip_overdue: fields.optional_bool("skip_overdue")?,
            shift_timers: fields.optional_bool("shift_timers")?,
        };
        match read.set.as_deref() {
            Some("paused" | "running") => Ok(read),
            Some(other) => Err(ParamFault::new(
                "params.set",
                format!("expected \"paused\" or \"running\", found {other:?}"),
            )),
            None => read.must_only_ask(),
        }
    }
}

impl Automation<'_> {
    fn must_only_ask(self) -> Result<Self, ParamFault> {
        let given = [
            ("headers", !self.meta.headers.is_empty()),
            ("reason", self.meta.reason.is_some()),
            ("correlation_id", self.meta.correlation_id.is_some()),
            ("causation_id", self.meta.causation_id.is_some()),
            ("fence", self.meta.fence.is_some()),
            ("skip_overdue", self.skip_overdue.is_some()),
            ("shift_timers", self.shift_timers.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(self),
            Some((name, _)) => Err(ParamFault::new(
                format!("params.{name}"),
                "is only for a request with set",
            )),
        }
    }
}

/// Result of AUTOMATION, and what INFO and CLUSTER_STATUS say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AutomationResult<'a> {
    /// `paused` or `running`.
    pub automation: Cow<'a, str>,
    /// Since when, Unix milliseconds; absent when it was never paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why; absent when no reason was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The name of the token that has set it; absent without one, and in the answer to `set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, str>>,
    /// The offset at which it was set, in the answer to a `set` that changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn read(json: &Value) -> Result<Value, String> {
        let text = RawValue::from_string(json.to_string()).unwrap();
        let read = Automation::read(&text).map_err(|fault| fault.to_string())?;
        Ok(serde_json::to_value(read).unwrap())
    }

    #[test]
    fn parameters_survive_reading_and_writing() {
        for json in [
            json!({}),
            json!({"set": "paused", "reason": "a copy"}),
            json!({"set": "running", "skip_overdue": true}),
            json!({"set": "paused", "headers": {"a": "b"}, "correlation_id": "w", "causation_id": "7"}),
            json!({"set": "running", "shift_timers": true}),
        ] {
            assert_eq!(read(&json), Ok(json));
        }
    }

    #[test]
    fn a_wrong_word_and_parameters_without_set_are_refused_by_name() {
        for (json, fault) in [
            (
                json!({"set": "on"}),
                "params.set: expected \"paused\" or \"running\", found \"on\"",
            ),
            (
                json!({"reason": "why"}),
                "params.reason: is only for a request with set",
            ),
            (
                json!({"causation_id": "7"}),
                "params.causation_id: is only for a request with set",
            ),
            (
                json!({"fence": {"lock": "l", "token": 7}}),
                "params.fence: is only for a request with set",
            ),
            (
                json!({"skip_overdue": true}),
                "params.skip_overdue: is only for a request with set",
            ),
        ] {
            assert_eq!(read(&json), Err(fault.to_owned()));
        }
        assert!(read(&json!({"set": 1})).is_err());
    }
}
