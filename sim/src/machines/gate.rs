//! A gate: a machine of format 2 whose timers close and open it for ever, unless a client ends it; and the model of it.

use serde_json::{Value, json};

use super::ModelRefusal;

/// Every event of clients.
pub(super) const EVENTS: [&str; 5] = ["HOLD", "TOUCH", "CLOSE", "OPEN", "END"];

/// What PUT_MACHINE is given.
pub(super) fn definition() -> Value {
    json!({
        "format": 2,
        "initial": "open",
        "states": [
            {"name": "open", "timers": [
                {"event": "CLOSE", "after": "3s"},
                {"event": "NUDGE", "after": "1s"},
                {"event": "JAM", "after": "2s"},
            ]},
            {"name": "closed", "timers": [{"event": "OPEN", "after": "2s"}]},
            {"name": "removed", "final": true, "delete_after": "1s"},
        ],
        "transitions": [
            {"from": "open", "event": "CLOSE", "to": "closed"},
            {"from": "open", "event": "NUDGE", "to": "open"},
            {"from": "open", "event": "JAM", "to": "closed", "guard": "false"},
            {"from": "open", "event": "HOLD", "to": "open", "reenter": true},
            {"from": "closed", "event": "OPEN", "to": "open"},
            {"from": "open", "event": "TOUCH", "to": "open"},
            {"from": ["open", "closed"], "event": "END", "to": "removed"},
        ],
    })
}

/// The timers of a state: each name, and after how many milliseconds it fires.
pub(super) fn timers(state: &str) -> &'static [(&'static str, u64)] {
    match state {
        "open" => &[("CLOSE", 3_000), ("JAM", 2_000), ("NUDGE", 1_000)],
        "closed" => &[("OPEN", 2_000)],
        "removed" => &[("delete_after", 1_000)],
        _ => &[],
    }
}

/// Where an event leads.
pub(super) fn next(state: &str, event: &str) -> Result<&'static str, ModelRefusal> {
    match (state, event) {
        ("open", "CLOSE") => Ok("closed"),
        ("open", "NUDGE" | "HOLD" | "TOUCH") | ("closed", "OPEN") => Ok("open"),
        ("open" | "closed", "END") => Ok("removed"),
        ("open", "JAM") => Err(ModelRefusal::GuardFailed),
        _ => Err(ModelRefusal::InvalidTransition),
    }
}
