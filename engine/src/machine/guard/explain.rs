//! Why a guard came out as it did: the values that it read, for people who ask.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::json::{Context, shown};
use crate::limits::EXPLAINED_VALUE_BYTES_MAX;
use crate::machine::expression::EvalAttempt;

/// A guard that was tried, and what it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its text, as written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// What it found at the paths that it names, in their order, each once.
    pub values: Vec<ValueRead>,
    /// Why it could not be evaluated. Such a guard does not hold.
    pub error: Option<String>,
}

/// What a guard found at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRead {
    /// The path, as the guard writes it.
    pub path: String,
    /// The value's JSON text; `null` if there is nothing at the path.
    pub value: String,
    /// Whether the value is longer: the text is its beginning then.
    pub cut: bool,
}

impl Tried {
    /// As JSON. Of a value that is longer, `values` has the beginning as a string that ends in `…`, and `cut` names its
    /// path. A number that would be rounded is a string.
    pub(crate) fn to_json(&self) -> Value {
        let values = self.values.iter();
        let values: Map<String, Value> = values
            .map(|read| (read.path.clone(), read.to_json()))
            .collect();
        let mut object = json!({ "text": self.text, "holds": self.holds, "values": values });
        let cut = self.values.iter().filter(|read| read.cut);
        let cut: Vec<&str> = cut.map(|read| &*read.path).collect();
        if !cut.is_empty() {
            object["cut"] = json!(cut);
        }
        if let Some(error) = &self.error {
            object["error"] = json!(error);
        }
        object
    }
}

/// A condition that can say what it read. Each language of conditions implements it, so all of them are explained
/// in the same way.
pub(crate) trait Explain {
    /// The text as written.
    fn text(&self) -> &str;

    /// Calls `visit` with each path that the condition names, and the JSON text of what is there. It may name a path
    /// more than once. Ends when `visit` returns false.
    fn reads(&self, ctx: &Context<'_>, visit: &mut dyn FnMut(&str, Cow<'_, str>) -> bool);
}

/// How many bytes of texts, paths and values explanations may still have.
#[derive(Debug)]
pub(crate) struct ExplainRoom(usize);

impl ExplainRoom {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(crate) fn left(&self) -> usize {
        self.0
    }

    /// Takes this many; if that is too much, nothing is left.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Explains how a condition came out for a context that was scanned for what it reads; `None` if there is no room.
pub(crate) fn explain(
    condition: &impl Explain,
    holds: bool,
    ctx: &Context<'_>,
    room: &mut ExplainRoom,
) -> Option<Tried> {
    if !room.take(condition.text().len()) {
        return None;
    }
    let mut named = BTreeSet::new();
    let mut values = Vec::new();
    let mut fits = true;
    condition.reads(ctx, &mut |path, value| {
        if !named.insert(path.to_owned()) {
            return true;
        }
        let read = ValueRead::new(path, &value);
        fits = room.take(read.path.len() + read.value.len());
        if fits {
            values.push(read);
        }
        fits
    });
    fits.then(|| Tried {
        text: condition.text().to_owned(),
        holds,
        values,
        error: None,
    })
}

/// Explains how an expression came out as a condition; `None` if there is no room for that.
pub(crate) fn explain_attempt(attempt: &EvalAttempt<'_>, room: &mut ExplainRoom) -> Option<Tried> {
    let text = attempt.expression.text();
    if text.len() > room.0 {
        room.0 = 0;
        return None;
    }
    let mut values: Vec<ValueRead> = Vec::new();
    for read in attempt.read(EXPLAINED_VALUE_BYTES_MAX) {
        if values.iter().all(|known| known.path != read.path) {
            let value = read.value.as_deref().unwrap_or("null");
            values.push(ValueRead::new(&read.path, value));
        }
    }
    let bytes = values.iter().map(|read| read.path.len() + read.value.len());
    let bytes = text.len() + bytes.sum::<usize>();
    room.take(bytes).then(|| Tried {
        text: text.to_owned(),
        holds: matches!(attempt.holds, Ok(true)),
        values,
        error: attempt.holds.as_ref().err().map(ToString::to_string),
    })
}

impl ValueRead {
    /// What is shown of a value that is longer.
    pub fn beginning(&self) -> Option<String> {
        self.cut.then(|| format!("{}…", self.value))
    }

    fn to_json(&self) -> Value {
        self.beginning()
            .map_or_else(|| shown(&self.value), Value::from)
    }

    fn new(path: &str, value: &str) -> Self {
        let end = value.floor_char_boundary(EXPLAINED_VALUE_BYTES_MAX);
        Self {
            path: path.to_owned(),
            value: value[..end].to_owned(),
            cut: end < value.len(),
        }
    }
}
