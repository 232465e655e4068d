//! Timers as records of the log show them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A timer that has fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredTimer<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// When it was due, Unix ms.
    pub due_at: u64,
    /// Where its instance entered the state.
    pub entry_offset: u64,
}

/// A timer as a record shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedTimer<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// When it fires, Unix ms.
    pub due_at: u64,
}

/// What a record of a creation, an event or a deletion says of timers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed<'a> {
    /// The timer that has applied the event or deleted the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<FiredTimer<'a>>,
    /// All timers of the instance afterwards, where the fact has changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<Vec<ArmedTimer<'a>>>,
}
