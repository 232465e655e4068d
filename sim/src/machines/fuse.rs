//! A fuse: a machine of format 2 with many short timers, whose instances also end by themselves; and the model of it.

use serde_json::{Value, json};

use super::ModelRefusal;

/// Every event of clients.
pub(super) const EVENTS: [&str; 5] = ["TOUCH", "RELIGHT", "BURN", "LIGHT", "END"];

/// What PUT_MACHINE is given.
pub(super) fn definition() -> Value {
    json!({
        "format": 2,
        "initial": "lit",
        "states": [
            {"name": "lit", "timers": [
                {"event": "TICK", "after": "60ms", "late": {"within": "400ms"}},
                {"event": "JAM", "after": "90ms", "retry": {"after": "30ms", "times": 1}},
                {"event": "BURN", "after": "160ms"},
            ]},
            {"name": "out", "timers": [{"event": "LIGHT", "after": "110ms"}]},
            {"name": "gone", "final": true, "delete_after": "130ms"},
        ],
        "transitions": [
            {"from": "lit", "event": "TICK", "to": "lit"},
            {"from": "lit", "event": "JAM", "to": "out", "guard": "false"},
            {"from": "lit", "event": "BURN", "to": "out"},
            {"from": "out", "event": "LIGHT", "to": "lit"},
            {"from": "lit", "event": "TOUCH", "to": "lit"},
            {"from": "lit", "event": "RELIGHT", "to": "lit", "reenter": true},
            {"from": ["lit", "out"], "event": "END", "to": "gone"},
        ],
    })
}

/// The timers of a state: each name, and after how many milliseconds it fires.
pub(super) fn timers(state: &str) -> &'static [(&'static str, u64)] {
    match state {
        "lit" => &[("BURN", 160), ("JAM", 90), ("TICK", 60)],
        "out" => &[("LIGHT", 110)],
        "gone" => &[("delete_after", 130)],
        _ => &[],
    }
}

/// By how many milliseconds a timer may be late and still happen.
pub(super) fn late_max_ms(timer: &str) -> Option<u64> {
    (timer == "TICK").then_some(400)
}

/// After how many milliseconds a refused timer is tried again, and how often.
pub(super) fn retry(timer: &str) -> Option<(u64, u32)> {
    (timer == "JAM").then_some((30, 1))
}

/// Where an event leads.
pub(super) fn next(state: &str, event: &str) -> Result<&'static str, ModelRefusal> {
    match (state, event) {
        ("lit", "TICK" | "TOUCH" | "RELIGHT") | ("out", "LIGHT") => Ok("lit"),
        ("lit", "BURN") => Ok("out"),
        ("lit", "JAM") => Err(ModelRefusal::GuardFailed),
        ("lit" | "out", "END") => Ok("gone"),
        _ => Err(ModelRefusal::InvalidTransition),
    }
}
