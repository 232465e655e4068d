//! The timers of states.

use std::sync::Arc;

use bytes::Bytes;

use super::Input;
use super::fields::{DefinitionFields, below, text};
use crate::json::{JsonNode, JsonObject, JsonTree, compact};
use crate::limits::{TIMER_PAYLOAD_BYTES_MAX, TIMER_RETRIES_MAX, TIMERS_MAX, name_fault};
use crate::machine::definition::timer::{DELETE_AFTER, Retry, TimerDefinition, TimerWhen};
use crate::machine::expression::{Expression, time_of_text};
use crate::machine::span::{self, TIME_EXPECTED};

const TIMER_KEYS: [&str; 10] = [
    "event", "after", "at", "name", "payload", "jitter", "late", "retry", "optional", "meta",
];
const LATE_KEYS: [&str; 1] = ["within"];
const RETRY_KEYS: [&str; 2] = ["after", "times"];

/// A timer that fires later than this counts as late where the definition only says `skip`.
const LATE_MS: u64 = 60_000;

impl<'t> Input<'t> {
    /// `timers` and `delete_after` of a state.
    pub(super) fn timers(
        &mut self,
        fields: &DefinitionFields<'t>,
        place: &str,
        is_final: bool,
    ) -> Box<[TimerDefinition]> {
        let mut all: Vec<TimerDefinition> = Vec::new();
        if let Some(tree) = fields.get("timers") {
            let place = below(place, "timers");
            let items = match (tree.items(), tree.fields()) {
                (Some(items), _) => items,
                // One alone need not stand in a list.
                (None, Some(_)) => std::slice::from_ref(tree),
                (None, None) => {
                    let hint = format!("expected a list of objects, not {}", tree.kind());
                    self.faults.add(&place, hint);
                    &[]
                }
            };
            if items.len() > TIMERS_MAX {
                let text = format!("{} timers; {TIMERS_MAX} are allowed", items.len());
                self.faults.add(&place, text);
                return Box::default();
            }
            if is_final {
                let text = "a final state has no transition out, so no timer can apply an event; \
                            it can have `delete_after`";
                self.faults.add(&place, text);
            }
            for (number, item) in items.iter().enumerate() {
                let place = format!("{place}[{number}]");
                if let Some(timer) = self.timer(item, &place) {
                    if all.iter().any(|other| other.name == timer.name) {
                        let text = format!(
                            "the state has two timers named {:?}; `name` tells them apart",
                            timer.name
                        );
                        self.faults.add(&place, text);
                    }
                    all.push(timer);
                }
            }
        }
        if let Some(tree) = fields.get(DELETE_AFTER) {
            let place = below(place, DELETE_AFTER);
            if !is_final {
                self.faults.add(&place, "is only for a final state");
            }
            all.extend(self.deletion(tree, &place));
        }
        self.growth.reads_now |= !all.is_empty();
        all.into()
    }

    fn deletion(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<TimerDefinition> {
        Some(TimerDefinition {
            name: Arc::from(DELETE_AFTER),
            event: None,
            when: self.after(tree, place)?,
            payload: None,
            jitter_ms: 0,
            late_max_ms: None,
            retry: None,
            optional: false,
        })
    }

    fn timer(&mut self, item: &'t JsonTree<'t>, place: &str) -> Option<TimerDefinition> {
        let fields = DefinitionFields::of(item, place, &TIMER_KEYS, &mut self.faults)?;
        let event = fields.text("event", place, &mut self.faults);
        if let Some(wrong) = event.and_then(name_fault) {
            let place = below(place, "event");
            self.faults.add(place, format!("the name {wrong}"));
        }
        let name = match fields.get("name") {
            Some(tree) => text(tree, &below(place, "name"), &mut self.faults),
            None => event,
        };
        if let Some(wrong) = name.and_then(name_fault) {
            let place = below(place, "name");
            self.faults.add(place, format!("the name {wrong}"));
        }
        let when = self.when(&fields, place);
        let payload = fields.get("payload");
        let payload = payload.and_then(|tree| self.timer_payload(tree, &below(place, "payload")));
        let jitter = fields.get("jitter");
        let jitter_ms = jitter.and_then(|tree| self.span(tree, &below(place, "jitter")));
        let late = fields.get("late");
        let late_max_ms = late.and_then(|tree| self.late(tree, &below(place, "late")));
        let retry = fields.get("retry");
        let retry = retry.and_then(|tree| self.retry(tree, &below(place, "retry")));
        let optional = fields.flag("optional", place, &mut self.faults);
        Some(TimerDefinition {
            name: Arc::from(name?),
            event: Some(Arc::from(event?)),
            when: when?,
            payload,
            jitter_ms: jitter_ms.unwrap_or(0),
            late_max_ms,
            retry,
            optional,
        })
    }

    fn when(&mut self, fields: &DefinitionFields<'t>, place: &str) -> Option<TimerWhen> {
        match (fields.get("after"), fields.get("at")) {
            (Some(after), None) => self.after(after, &below(place, "after")),
            (None, Some(at)) => self.at(at, &below(place, "at")),
            (None, None) => {
                self.faults.add(place, "needs `after` or `at`");
                None
            }
            (Some(_), Some(_)) => {
                self.faults
                    .add(place, "has `after` and `at`; one of them is allowed");
                None
            }
        }
    }

    /// A duration, or an expression that gives one.
    fn after(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<TimerWhen> {
        if let Some(ms) = tree.string().and_then(span::parse) {
            return Some(TimerWhen::After(ms));
        }
        // `90 d` and `1.5h` are no expressions either, and the fault of one would tell nothing of durations.
        let is_meant = |text: &str| {
            let begins = text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with('P');
            let is_of_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ' ');
            begins && text.chars().all(is_of_one) && Expression::parse(text).is_err()
        };
        if let Some(text) = tree.string().filter(|text| is_meant(text)) {
            let text = format!("expected {}", span::expected(text));
            self.faults.add(place, text);
            return None;
        }
        let value = self.expression(tree, place)?;
        Some(TimerWhen::AfterValue(Box::new(value)))
    }

    /// A time, or an expression that gives one.
    fn at(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<TimerWhen> {
        if let Some(ms) = tree.string().and_then(time_of_text) {
            return Some(TimerWhen::At(ms));
        }
        let is_meant = |text: &str| {
            let mut bytes = text.bytes();
            bytes.by_ref().take(4).all(|byte| byte.is_ascii_digit()) && bytes.next() == Some(b'-')
        };
        if tree.string().is_some_and(is_meant) {
            self.faults.add(place, format!("expected {TIME_EXPECTED}"));
            return None;
        }
        let value = self.expression(tree, place)?;
        Some(TimerWhen::AtValue(Box::new(value)))
    }

    fn span(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<u64> {
        let found = tree.string().and_then(span::parse);
        if found.is_none() {
            let expected = span::expected(tree.string().unwrap_or_default());
            self.faults.add(place, format!("expected {expected}"));
        }
        found
    }

    fn timer_payload(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<Bytes> {
        if !matches!(tree.node, JsonNode::Object(_)) {
            let hint = format!("expected an object, not {}", tree.kind());
            self.faults.add(place, hint);
            return None;
        }
        // The definition was read whole, so the text is an object.
        let object = JsonObject::parse(tree.text.as_bytes()).ok()?;
        let text = compact(&object);
        if text.len() > TIMER_PAYLOAD_BYTES_MAX {
            let text = format!(
                "has {} bytes; {TIMER_PAYLOAD_BYTES_MAX} are allowed",
                text.len()
            );
            self.faults.add(place, text);
            return None;
        }
        Some(text)
    }

    /// How late it may be; `None`: any time.
    fn late(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<u64> {
        match tree.string() {
            Some("fire") => return None,
            Some("skip") => return Some(LATE_MS),
            _ => {}
        }
        if tree.fields().is_none() {
            let text = "expected \"fire\", \"skip\" or {\"within\": duration}";
            self.faults.add(place, text);
            return None;
        }
        let fields = DefinitionFields::of(tree, place, &LATE_KEYS, &mut self.faults)?;
        let within = fields.required("within", place, &mut self.faults)?;
        self.span(within, &below(place, "within"))
    }

    fn retry(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<Retry> {
        let fields = DefinitionFields::of(tree, place, &RETRY_KEYS, &mut self.faults)?;
        let after = fields.required("after", place, &mut self.faults);
        let after_ms = after.and_then(|tree| self.span(tree, &below(place, "after")));
        let times = fields.required("times", place, &mut self.faults)?;
        let number = match &times.node {
            JsonNode::Number(text) => text.parse::<u32>().ok(),
            _ => None,
        };
        let number = number.filter(|times| (1..=TIMER_RETRIES_MAX).contains(times));
        if number.is_none() {
            let text = format!("expected a whole number from 1 to {TIMER_RETRIES_MAX}");
            self.faults.add(below(place, "times"), text);
        }
        Some(Retry {
            after_ms: after_ms?,
            times: number?,
        })
    }
}
