//! Waiting and time limits: timers.

use rstmdb_engine::span;
use rstmdb_rcp::json::Json;

use super::{AslReader, FAILED, rule};
use crate::base::cel;
use crate::base::json::{object, text};
use crate::model::{Act, ModelState};

/// The event that ends a `Wait`.
const WAIT_OVER: &str = "WAIT_OVER";

/// A delay in seconds as `after` of a timer has it.
fn seconds(json: &Json) -> Option<String> {
    let Json::Number(number) = json else {
        return None;
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(1000)?;
    Some(span::written(ms))
}

/// A path like `$.order.total`.
fn path(json: &Json) -> Option<String> {
    Some(cel::path("ctx", &rule::names(json.as_str()?)?))
}

/// Adds a timer; `meta` stays behind it.
fn add(state: &mut ModelState, timer: Json) {
    match state.other.iter_mut().find(|(key, _)| key == "timers") {
        Some((_, Json::List(timers))) => timers.push(timer),
        _ => {
            let timers = Json::List(vec![timer]);
            state.other.insert(0, ("timers".to_owned(), timers));
        }
    }
}

impl AslReader<'_> {
    pub(super) fn wait(&mut self, state: &mut ModelState, json: &Json, place: &str) {
        let mut when = None;
        for (key, value) in json.fields() {
            let found = match key.as_str() {
                "Type" | "Comment" | "Next" | "End" | "QueryLanguage" => continue,
                "Seconds" => seconds(value).map(|it| ("after", it)),
                "SecondsPath" => path(value).map(|it| ("after", format!("{it} * 1000"))),
                "Timestamp" => value.as_str().map(|it| ("at", it.to_owned())),
                "TimestampPath" => path(value).map(|it| ("at", it)),
                _ => {
                    let at = format!("{place}.{key}");
                    self.findings.lose(at, "has no equal", "it is left out");
                    continue;
                }
            };
            when = when.or(found.filter(|_| !self.is_jsonata));
        }
        match when {
            Some((key, value)) => {
                let timer = object([("event", text(WAIT_OVER)), (key, text(value))]);
                add(state, timer);
            }
            None => {
                let what = "waiting for what is not a number of seconds, a time or a path of names has no equal";
                let instead = "the client applies WAIT_OVER when the time is over";
                self.findings.lose(place, what, instead);
            }
        }
        if let Some(to) = self.behind(json, place) {
            self.push(&state.name, WAIT_OVER, to, Act::default());
        }
    }

    /// The time limit of a task: the task has failed when it is over.
    pub(super) fn limit(&mut self, state: &mut ModelState, key: &str, value: &Json, place: &str) {
        let after = match key {
            "TimeoutSeconds" => seconds(value),
            "TimeoutSecondsPath" => path(value).map(|it| format!("{it} * 1000")),
            _ => None,
        };
        let Some(after) = after.filter(|_| !self.is_jsonata) else {
            let instead = format!(
                "the client applies {FAILED} with the error States.Timeout when the time is over"
            );
            let what = "this time limit has no equal";
            self.findings.lose(place, what, instead);
            return;
        };
        let timer = object([
            ("event", text(FAILED)),
            ("after", text(after)),
            ("payload", object([("error", text("States.Timeout"))])),
        ]);
        add(state, timer);
    }
}
