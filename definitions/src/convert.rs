//! A definition of format 1 as one of format 2 with the same meaning.
//!
//! The languages of conditions differ in what happens where a value is missing or of another type. In format 1 a
//! missing value is null, and a comparison of different types is false. In format 2 both are errors, and a guard that
//! errs does not hold. So a comparison that has to hold for the guard to hold may stay as it is, and everything below
//! a `!`, and every `!=`, is written so that it cannot err.

mod guard;

use rstmdb_engine::guard::Guard;
use rstmdb_rcp::json::Json;

use crate::json::object;
use crate::model::Machine;
use crate::problem::{Findings, Problem, Translated};

/// Converts a definition.
///
/// # Errors
/// All places that format 2 cannot say.
pub fn convert(json: &Json) -> Result<Translated<Json>, Vec<Problem>> {
    let mut machine = Machine::read(json)?;
    if machine.format != 1 {
        return Err(vec![Problem::new(
            "format",
            "the definition has format 2 already",
        )]);
    }
    let mut findings = Findings::new(false);
    machine.format = 2;
    let ends: Vec<bool> = machine
        .states
        .iter()
        .map(|state| machine.is_end(state))
        .collect();
    for (state, is_end) in machine.states.iter_mut().zip(ends) {
        state.is_final = is_end;
    }
    let mut kept = Vec::new();
    for (position, transition) in machine.transitions.iter_mut().enumerate() {
        let place = format!("transitions[{position}]");
        if let Some(text) = &transition.act.guard {
            match converted(text) {
                Ok(guard) => {
                    if guard != *text {
                        findings.note(format!("{place}.guard"), format!("{text} is now {guard}"));
                    }
                    transition.act.guard = Some(guard);
                }
                Err(why) => findings.refuse(format!("{place}.guard"), why),
            }
        }
        for (key, value) in transition.act.other.drain(..) {
            kept.push((format!("{place}.{key}"), value));
        }
    }
    keep_unknown(&mut machine, kept, &mut findings);
    findings.finish(machine.to_json())
}

/// A condition of format 1 as one of format 2.
///
/// # Errors
/// Why it cannot be said in format 2.
pub fn converted(text: &str) -> Result<String, String> {
    let guard = Guard::parse(text).map_err(|error| error.to_string())?;
    guard::convert(&guard.tree())
}

/// Format 1 ignores keys that it does not know, format 2 refuses them: they move into `meta`.
fn keep_unknown(
    machine: &mut Machine,
    of_transitions: Vec<(String, Json)>,
    findings: &mut Findings,
) {
    const KEPT: &str = "format_1";
    let (meta, mut unknown): (Vec<_>, Vec<_>) =
        machine.other.drain(..).partition(|(key, _)| key == "meta");
    unknown.extend(of_transitions);
    let mut meta = meta.into_iter().next().map(|(_, value)| value);
    for (place, _) in &unknown {
        findings.note(
            place.as_str(),
            format!("format 1 ignores it; it is now in `meta.{KEPT}`"),
        );
    }
    if !unknown.is_empty() {
        let unknown = object(unknown);
        meta = Some(match meta {
            None => object([(KEPT, unknown)]),
            Some(Json::Object(mut fields)) => {
                fields.push((KEPT.to_owned(), unknown));
                Json::Object(fields)
            }
            Some(other) => object([("meta", other), (KEPT, unknown)]),
        });
    }
    machine
        .other
        .extend(meta.map(|meta| ("meta".to_owned(), meta)));
}
