//! Timers, for the languages that have them. Others know a delay from the entry into a state, and nothing of what else a
//! timer can have.

use rstmdb_engine::span;
use rstmdb_rcp::json::Json;

use super::LEFT_OUT;
use crate::base::problem::TranslationFindings;
use crate::model::ModelState;

/// A timer that is armed at the entry and has nothing special.
pub(super) struct PlainTimer<'a> {
    pub(super) name: &'a str,
    pub(super) event: &'a str,
    pub(super) after: TimerDelay<'a>,
    /// The payload of the event.
    pub(super) payload: Option<&'a Json>,
    /// Where it is in the definition.
    pub(super) place: String,
}

/// When it fires.
pub(super) enum TimerDelay<'a> {
    Ms(u64),
    /// An expression.
    Value(&'a str),
}

/// The timers of a state that have a delay from the entry. What another language cannot say of them is reported.
pub(super) fn plain<'a>(
    position: usize,
    state: &'a ModelState,
    findings: &mut TranslationFindings,
) -> Vec<PlainTimer<'a>> {
    let mut all = Vec::new();
    for (number, timer) in state.timers().iter().enumerate() {
        let place = format!("states[{position}].timers[{number}]");
        for key in ["jitter", "late", "retry", "optional", "meta"] {
            if !timer[key].is_null() {
                findings.lose(format!("{place}.{key}"), "has no equal", LEFT_OUT);
            }
        }
        let (Some(event), Some(after)) = (timer["event"].as_str(), timer["after"].as_str()) else {
            let what = "a timer for a time, and not for a delay, has no equal";
            let instead = "it is left out: the program applies the event";
            findings.lose(format!("{place}.at"), what, instead);
            continue;
        };
        all.push(PlainTimer {
            name: timer["name"].as_str().unwrap_or(event),
            event,
            after: span::parse(after).map_or(TimerDelay::Value(after), TimerDelay::Ms),
            payload: Some(&timer["payload"]).filter(|it| !it.is_null()),
            place,
        });
    }
    all
}

impl PlainTimer<'_> {
    /// Its delay where that is fixed. Otherwise the timer is reported.
    pub(super) fn fixed(&self, findings: &mut TranslationFindings) -> Option<u64> {
        match self.after {
            TimerDelay::Ms(ms) => Some(ms),
            TimerDelay::Value(_) => {
                let what = "a delay that an expression gives has no equal";
                let instead = "the timer is left out: the program applies the event";
                findings.lose(format!("{}.after", self.place), what, instead);
                None
            }
        }
    }
}
