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
//! | `timer` | timers, for the languages that have them |

mod asl;
mod drawing;
mod scxml;
mod timer;
mod xstate;

use rstmdb_rcp::json::Json;

use crate::base::problem::{Problem, Translated, TranslationFindings};
use crate::convert::convert;
use crate::model::{Act, MachineModel, Merge};

/// A language that definitions are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportLanguage {
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

/// Writes a definition in another language. `lossy`: what has no equal is left out.
///
/// # Errors
/// All places that have no equal.
pub fn export(
    language: ExportLanguage,
    machine: &MachineModel,
    lossy: bool,
) -> Result<Translated<String>, Vec<Problem>> {
    let mut findings = TranslationFindings::new(lossy);
    // A drawing shows conditions as they are written; everything else has one language of conditions.
    let is_drawing = matches!(language, ExportLanguage::Mermaid | ExportLanguage::Dot);
    let converted;
    let machine = match machine.format == 1 && !is_drawing {
        true => {
            converted = MachineModel::read(&convert(&machine.to_json())?.result)?;
            &converted
        }
        false => machine,
    };
    let text = match language {
        ExportLanguage::Xstate => xstate::write(machine, &mut findings),
        ExportLanguage::Scxml => scxml::write(machine, &mut findings),
        ExportLanguage::Asl => asl::write(machine, &mut findings),
        ExportLanguage::Mermaid => drawing::mermaid(machine, &mut findings),
        ExportLanguage::Dot => drawing::dot(machine, &mut findings),
    };
    findings.finish(text)
}

/// The machine's name, where the definition has one.
fn name(machine: &MachineModel) -> Option<&str> {
    machine.other("meta")["name"].as_str()
}

/// What a language can say beside states, transitions, conditions and actions. `Says::default()` is a language that says
/// nothing of it.
#[derive(Clone, Copy, Debug, Default)]
struct Says {
    /// First values of the context.
    context: bool,
    /// Descriptions, tags and the like of the whole and of its parts.
    about: bool,
    /// How a payload is merged.
    merge: bool,
    /// Whether a transition to the same state enters it again.
    reenter: bool,
    /// Events that are applied by themselves; the language's own module looks at each.
    timers: bool,
}

const LEFT_OUT: &str = "it is left out";

/// Reports all keys of the definition, its states and its transitions that a language does not have.
fn lose_other(machine: &MachineModel, says: Says, findings: &mut TranslationFindings) {
    for (key, value) in &machine.other {
        match key.as_str() {
            "meta" => {
                let told = |key: &str| {
                    key == "name"
                        || key == "description"
                        || says.about && xstate::ABOUT.contains(&key)
                };
                for (inner, _) in value.fields().iter().filter(|(inner, _)| !told(inner)) {
                    findings.lose(format!("meta.{inner}"), "has no equal", LEFT_OUT);
                }
            }
            "context" if says.context => {
                let others = value
                    .fields()
                    .iter()
                    .filter(|(inner, _)| inner != "default");
                for (inner, _) in others {
                    findings.lose(format!("context.{inner}"), "has no equal", LEFT_OUT);
                }
            }
            "merge" if says.merge => {}
            key => findings.lose(key, "has no equal", LEFT_OUT),
        }
    }
    for (position, state) in machine.states.iter().enumerate() {
        let place = format!("states[{position}]");
        for (key, value) in &state.other {
            let is_said = match key.as_str() {
                "meta" => says.about && is_about(value),
                "timers" => says.timers,
                _ => false,
            };
            if !is_said {
                findings.lose(format!("{place}.{key}"), "has no equal", LEFT_OUT);
            }
        }
        for (at, choice) in state.always.iter().enumerate() {
            lose_of_act(
                &format!("{place}.always[{at}]"),
                &choice.act,
                says,
                findings,
            );
        }
    }
    for (position, transition) in machine.transitions.iter().enumerate() {
        let place = format!("transitions[{position}]");
        lose_of_act(&place, &transition.act, says, findings);
    }
}

/// Whether a `meta` holds nothing but what XState says in its own keys.
fn is_about(meta: &Json) -> bool {
    let mut fields = meta.fields().iter();
    fields.all(|(key, _)| xstate::ABOUT.contains(&key.as_str()))
}

fn lose_of_act(place: &str, act: &Act, says: Says, findings: &mut TranslationFindings) {
    for (key, value) in &act.other {
        let is_said = match key.as_str() {
            // A transition of XState has no tags.
            "meta" => says.about && is_about(value) && value.get("tags").is_none(),
            "merge" => says.merge,
            "reenter" => says.reenter,
            _ => false,
        };
        if !is_said {
            findings.lose(format!("{place}.{key}"), "has no equal", LEFT_OUT);
        }
    }
}

/// Says that the other system does not merge payloads by itself.
fn note_merging(machine: &MachineModel, how: &str, findings: &mut TranslationFindings) {
    let mut transitions = machine.transitions.iter();
    if transitions.any(|it| machine.merge(&it.act) != Merge::Not) {
        let text = format!(
            "in format 2 the payload of an event is merged into the context unless `\"merge\": false` forbids it; there \
             it is not: {how}"
        );
        findings.note("", text);
    }
}
