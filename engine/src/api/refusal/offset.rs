//! An offset that a refusal tells.

use std::fmt;

use serde_json::{Value, json};

use crate::fact::NO_OFFSET;

/// An offset in a message or in details. In a dry run an earlier operation of the batch has none.
pub(super) struct Offset(pub(super) u64);

impl Offset {
    pub(super) fn to_json(&self) -> Value {
        match self.0 {
            NO_OFFSET => Value::Null,
            offset => json!(offset),
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NO_OFFSET => f.write_str("the one that this batch would get"),
            offset => offset.fmt(f),
        }
    }
}
