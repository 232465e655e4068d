//! JSON text as the engine handles it: read in place, and spliced without building values.
//!
//! Users' text never becomes a value of serde_json, because serde_json gives some keys a special meaning.

mod check;
mod context;
mod edit;
mod equal;
mod number;
mod object;
mod reader;
mod shown;
mod tree;

pub(crate) use check::check;
pub(crate) use context::{Context, FoundJson};
pub(crate) use edit::{Edits, Stuck, depth, merge_patch};
pub(crate) use equal::{ReadBudget, Stopped, equal};
pub(crate) use number::JsonDecimal;
pub(crate) use object::{JsonObject, compact};
pub(crate) use reader::{JsonFault, JsonKind, JsonReader};
pub(crate) use shown::shown;
pub(crate) use tree::{JsonNode, JsonTree};

#[cfg(test)]
mod tests;
