//! What a guard costs: events with one and events without, by turns, on the same instances in the same run.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::Error;
use crate::args::MixedOp;

/// The machine of the instances: one event with a guard and one without. Both lead nowhere else.
pub const MACHINE: &str = "bench-guard";
/// Its definition.
pub const DEFINITION: &str = r#"{"format":2,"states":["on"],"initial":"on","transitions":[{"from":"on","event":"STEP","to":"on"},{"from":"on","event":"GUARDED","to":"on","guard":"ctx.total > 0 && ctx.status == 'open' && size(ctx.items) > 0"}]}"#;
/// The event with the guard.
pub const EVENT: &str = "GUARDED";
/// Bytes of a context, unless another number is asked for.
pub const CONTEXT_BYTES: u32 = 10 << 10;

/// How long all requests are of one kind. Short, so that what else the machine does falls on both.
const TURN: Duration = Duration::from_millis(100);

/// Which of the two is sent so long after the beginning.
pub fn kind(passed: Duration) -> MixedOp {
    match passed.as_millis() / TURN.as_millis() % 2 {
        0 => MixedOp::Apply,
        _ => MixedOp::Guarded,
    }
}

/// An order of about so many bytes, with the fields that the guard reads behind all others.
///
/// # Errors
/// Never: it is JSON.
pub fn context(bytes: u32) -> Result<Box<RawValue>, Error> {
    const END: &str = r#"],"status":"open","total":129.90}"#;
    let mut text = String::from(r#"{"customer":"c-1048","items":[{"sku":"A-00000","n":1}"#);
    let mut number = 1;
    while text.len() + END.len() < bytes as usize {
        text.push_str(&format!(r#",{{"sku":"A-{number:05}","n":{}}}"#, number % 7));
        number += 1;
    }
    text.push_str(END);
    RawValue::from_string(text).map_err(Error::unexpected)
}

/// How many times the cost of an event without a guard one with a guard has: both had the same time.
pub fn cost(without: u64, with: u64) -> Option<f64> {
    (with > 0).then(|| (without as f64 / with as f64 * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn turns_are_as_long_for_both() {
        let at = |ms| kind(Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(99), at(100), at(199), at(200)].map(MixedOp::name),
            ["apply", "apply", "guarded", "guarded", "apply"]
        );
    }

    #[test]
    fn a_context_is_about_as_large_as_asked_for() {
        for bytes in [0, 500, CONTEXT_BYTES, 100_000] {
            let text = context(bytes).unwrap();
            let bytes = bytes as usize;
            assert!(
                (bytes..bytes.max(60) + 60).contains(&text.get().len()),
                "{bytes}"
            );
        }
    }

    #[test]
    fn half_as_many_events_cost_twice_as_much() {
        assert_eq!(cost(1000, 500), Some(2.0));
        assert_eq!(cost(1000, 0), None);
    }
}
