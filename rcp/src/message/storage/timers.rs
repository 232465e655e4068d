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
