//! How a client moves timers: `{"EXPIRE": {"after": "1h"}, "REMIND": {"at": "2027-01-01T00:00:00Z"}, "X": null}`.

use bytes::Bytes;

use crate::Refusal;
use crate::json::{JsonNode, JsonTree};
use crate::limits::{TIMERS_BYTES_MAX, TIMERS_MAX};
use crate::machine::expression::time_of_text;
use crate::machine::span::{self, EXPECTED, TIME_EXPECTED, TIME_MS_MAX};

/// Changes of timers, by their names.
#[derive(Default)]
pub(crate) struct Moves(Vec<(String, Move)>);

#[derive(Clone, Copy)]
enum Move {
    After(u64),
    At(u64),
    Off,
}

impl Moves {
    /// Reads the JSON text; null counts as absent.
    pub(crate) fn read(text: Option<&Bytes>) -> Result<Self, Refusal> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        if text.len() > TIMERS_BYTES_MAX {
            return Err(bad(format!(
                "timers has {} bytes; {TIMERS_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        let tree = JsonTree::parse(text)
            .map_err(|fault| bad(format!("timers must be a JSON object or null: {fault}")))?;
        if matches!(tree.node, JsonNode::Null) {
            return Ok(Self::default());
        }
        let Some(fields) = tree.fields() else {
            return Err(bad(format!(
                "timers must be an object of timers' names, not {}",
                tree.kind()
            )));
        };
        if fields.len() > TIMERS_MAX {
            return Err(bad(format!(
                "timers names {} timers; {TIMERS_MAX} are allowed",
                fields.len()
            )));
        }
        let mut all: Vec<(String, Move)> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            if all.iter().any(|(other, _)| **other == **name) {
                return Err(bad(format!("timers.{} is there twice", beginning(name))));
            }
            let to = read(value).ok_or_else(|| {
                bad(format!(
                    "timers.{} must be {{\"after\": {EXPECTED}}}, {{\"at\": {TIME_EXPECTED}, or Unix \
                     milliseconds}}, or null",
                    beginning(name)
                ))
            })?;
            all.push((name.to_string(), to));
        }
        Ok(Self(all))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The timers' new times; `None` disarms. A time that is past counts as now.
    pub(crate) fn due(
        &self,
        now_ms: u64,
        slack_ms: u64,
    ) -> impl Iterator<Item = (&str, Option<u64>)> {
        let from_ms = now_ms.saturating_add(slack_ms);
        self.0.iter().map(move |(name, to)| {
            let due_ms = match to {
                Move::After(ms) => Some(from_ms.saturating_add(*ms)),
                Move::At(ms) => Some(*ms),
                Move::Off => None,
            };
            let due_ms = due_ms.map(|ms| ms.max(from_ms).min(TIME_MS_MAX));
            (name.as_str(), due_ms)
        })
    }
}

fn read(value: &JsonTree<'_>) -> Option<Move> {
    if matches!(value.node, JsonNode::Null) {
        return Some(Move::Off);
    }
    let [(key, value)] = value.fields()? else {
        return None;
    };
    let number = match &value.node {
        JsonNode::Number(text) => text.parse::<u64>().ok().filter(|ms| *ms <= TIME_MS_MAX),
        _ => None,
    };
    match &**key {
        "after" => value.string().and_then(span::parse).map(Move::After),
        "at" => number
            .or_else(|| value.string().and_then(time_of_text))
            .map(Move::At),
        _ => None,
    }
}

/// A name as a refusal repeats it.
fn beginning(name: &str) -> String {
    name.chars().take(64).collect()
}

fn bad(problem: String) -> Refusal {
    Refusal::bad("timers", problem)
}
