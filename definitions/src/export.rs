//! Definitions in the languages of other systems.
//!
//! A part without an equal there is refused, and the places of all such parts are reported. If the caller allows losses,
//! such parts are left out.
//!
//! | module | writes |
//! |---|---|
//! | `xstate` | XState's machines as JSON, version 5 |
//! | `scxml` | SCXML with the data model `x-cel` |
//! | `asl` | the Amazon States Language |
//! | `drawing` | Mermaid's state diagrams, Graphviz |

mod asl;
mod drawing;
mod scxml;
mod xstate;

use rstmdb_rcp::json::Json;

use crate::base::problem::{Findings, Problem, Translated};
use crate::convert::convert;
use crate::model::{Act, Machine};

/// A language that definitions are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// XState's machines as JSON, version 5.
    Xstate,
    /// SCXML with the data model `x-cel`.
    Scxml,
    /// The Amazon States Language.
    Asl,
    /// A Mermaid state diagram.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// Whether a state emits again when a transition leads from it to itself.
const EMITS_ON_STAYING: bool = false;

/// Writes a definition in another language. `lossy`: what has no equal is left out.
///
/// # Errors
/// All places that have no equal.
pub fn export(
    language: Language,
    machine: &Machine,
    lossy: bool,
) -> Result<Translated<String>, Vec<Problem>> {
    let mut findings = Findings::new(lossy);
    // A drawing shows conditions as they are written; everything else has one language of conditions.
    let is_drawing = matches!(language, Language::Mermaid | Language::Dot);
    let converted;
    let machine = match machine.format == 1 && !is_drawing {
        true => {
            converted = Machine::read(&convert(&machine.to_json())?.result)?;
            &converted
        }
        false => machine,
    };
    let text = match language {
        Language::Xstate => xstate::write(machine, &mut findings),
        Language::Scxml => scxml::write(machine, &mut findings),
        Language::Asl => asl::write(machine, &mut findings),
        Language::Mermaid => drawing::mermaid(machine, &mut findings),
        Language::Dot => drawing::dot(machine, &mut findings),
    };
    findings.finish(text)
}

/// The machine's name, where the definition has one.
fn name(machine: &Machine) -> Option<&str> {
    machine.other("meta")["name"].as_str()
}

/// Reports all keys of the definition, its states and its transitions that no other language has.
fn lose_other(machine: &Machine, known: &[&str], findings: &mut Findings) {
    const LEFT_OUT: &str = "it is left out";
    for (key, value) in &machine.other {
        if key == "meta" {
            let told = |(key, _): &&(String, Json)| key == "name" || key == "description";
            for (inner, _) in value.fields().iter().filter(|field| !told(field)) {
                findings.lose(format!("meta.{inner}"), "has no equal", LEFT_OUT);
            }
        } else if key == "context" && known.contains(&"context") {
            for (inner, _) in value
                .fields()
                .iter()
                .filter(|(inner, _)| inner != "default")
            {
                findings.lose(format!("context.{inner}"), "has no equal", LEFT_OUT);
            }
        } else {
            findings.lose(key.as_str(), "has no equal", LEFT_OUT);
        }
    }
    for (position, state) in machine.states.iter().enumerate() {
        let place = format!("states[{position}]");
        for (key, value) in &state.other {
            let all_known = known.contains(&"about")
                && value
                    .fields()
                    .iter()
                    .all(|(inner, _)| xstate::ABOUT.contains(&inner.as_str()));
            if key != "meta" || !all_known {
                findings.lose(format!("{place}.{key}"), "has no equal", LEFT_OUT);
            }
        }
        for (at, choice) in state.always.iter().enumerate() {
            lose_of_act(&format!("{place}.always[{at}]"), &choice.act, findings);
        }
    }
    for (position, transition) in machine.transitions.iter().enumerate() {
        lose_of_act(
            &format!("transitions[{position}]"),
            &transition.act,
            findings,
        );
    }
}

fn lose_of_act(place: &str, act: &Act, findings: &mut Findings) {
    for (key, _) in &act.other {
        findings.lose(format!("{place}.{key}"), "has no equal", "it is left out");
    }
}
