//! A definition of format 1 as one of format 2 with the same meaning.
//!
//! The languages of conditions differ in what happens where a value is missing or of another type. In format 1 a
//! missing value is null, and a comparison of different types is false. In format 2 both are errors, and a guard that
//! errs does not hold. So a comparison may stay as it is if the guard holds only when the comparison does. Everything
//! below a `!`, and every `!=`, is written so that it cannot err.

mod guard;

use rstmdb_engine::definition::Definition;
use rstmdb_engine::guard::Guard;
use rstmdb_rcp::json::Json;

use crate::base::problem::{Problem, Translated, TranslationFindings};
use crate::check;
use crate::model::MachineModel;
use crate::model::graph::Graph;

/// Converts a definition.
///
/// # Errors
/// All places that format 2 cannot say.
pub fn convert(json: &Json) -> Result<Translated<Json>, Vec<Problem>> {
    let mut machine = MachineModel::read(json)?;
    if machine.format != 1 {
        return Err(vec![Problem::new(
            "format",
            "the definition has format 2 already",
        )]);
    }
    let mut findings = TranslationFindings::new(false);
    machine.format = 2;
    let graph = Graph::new(&machine);
    let ends = 0..machine.states.len();
    let ends: Vec<bool> = ends.map(|state| graph.is_end(state)).collect();
    for (state, is_end) in machine.states.iter_mut().zip(ends) {
        state.is_final = is_end;
    }
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
        let unknown: Vec<(String, Json)> = transition.act.other.drain(..).collect();
        transition
            .act
            .other
            .extend(kept(unknown, None, &place, &mut findings));
    }
    let (meta, unknown): (Vec<_>, Vec<_>) =
        machine.other.drain(..).partition(|(key, _)| key == "meta");
    let meta = meta.into_iter().next().map(|(_, value)| value);
    machine.other.extend(kept(unknown, meta, "", &mut findings));
    let json = machine.to_json();
    if !findings.is_refused()
        && let Err(error) = Definition::parse(json.to_string().as_bytes())
    {
        for fault in check::faults(&error) {
            findings.refuse(format!("the result, {}", fault.place), fault.text);
        }
    }
    findings.finish(json)
}

/// A condition of format 1 as one of format 2.
///
/// # Errors
/// Why format 2 has no equal for it.
pub fn converted(text: &str) -> Result<String, String> {
    let guard = Guard::parse(text).map_err(|error| error.to_string())?;
    guard::convert(&guard.tree())
}

/// Format 1 ignores keys that it does not know, format 2 refuses them: they move into the `meta` beside them.
fn kept(
    unknown: Vec<(String, Json)>,
    meta: Option<Json>,
    place: &str,
    findings: &mut TranslationFindings,
) -> Option<(String, Json)> {
    let mut fields = match meta {
        None if unknown.is_empty() => return None,
        None => Vec::new(),
        Some(meta) if unknown.is_empty() => return Some(("meta".to_owned(), meta)),
        Some(Json::Object(fields)) => fields,
        Some(other) => vec![("meta".to_owned(), other)],
    };
    for (key, value) in unknown {
        let mut name = key.clone();
        while fields.iter().any(|(other, _)| *other == name) {
            name.push('_');
        }
        let dot = if place.is_empty() { "" } else { "." };
        let text = format!("format 1 ignores it; it is now in `{place}{dot}meta.{name}`");
        findings.note(format!("{place}{dot}{key}"), text);
        fields.push((name, value));
    }
    Some(("meta".to_owned(), Json::Object(fields)))
}
