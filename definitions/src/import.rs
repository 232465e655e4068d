//! Definitions of other systems as definitions of format 2.
//!
//! A part without an equal is refused, and the places of all such parts are reported, not only the first. If such a part
//! can be replaced or left out, the caller may allow the loss.
//!
//! | module | reads |
//! |---|---|
//! | `xstate` | XState's machines as JSON, versions 4 and 5 |
//! | `scxml` | SCXML |
//! | `asl` | the Amazon States Language |
//! | `mermaid` | Mermaid's state diagrams |
//! | `ecma` | conditions in ECMAScript, as far as they mean the same here |

mod asl;
mod ecma;
mod mermaid;
mod scxml;
mod xstate;

use rstmdb_engine::definition::Definition;
use rstmdb_rcp::json::Json;

use crate::base::json::{object, text};
use crate::base::problem::{Problem, Translated, TranslationFindings};
use crate::check;
use crate::document;
use crate::model::{Act, MachineModel};

/// A language that definitions are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportLanguage {
    /// XState's machines as JSON, versions 4 and 5.
    Xstate,
    /// SCXML.
    Scxml,
    /// The Amazon States Language.
    Asl,
    /// Mermaid's state diagrams.
    Mermaid,
}

/// Reads a definition of another system. `lossy`: what has no equal may be left out or replaced, where that is
/// possible.
///
/// # Errors
/// All places that have no equal, or why the text cannot be read.
pub fn import(
    language: ImportLanguage,
    source: &str,
    lossy: bool,
) -> Result<Translated<Json>, Vec<Problem>> {
    document::check_length(source).map_err(|problem| vec![problem])?;
    let mut findings = TranslationFindings::new(lossy);
    let machine = match language {
        ImportLanguage::Xstate => xstate::read(source, &mut findings),
        ImportLanguage::Scxml => scxml::read(source, &mut findings),
        ImportLanguage::Asl => asl::read(source, &mut findings),
        ImportLanguage::Mermaid => mermaid::read(source, &mut findings),
    };
    let definition = match machine {
        Ok(machine) => machine.to_json(),
        Err(problem) => {
            findings.refuse(problem.place, problem.text);
            Json::Null
        }
    };
    if !findings.is_refused()
        && let Err(error) = Definition::parse(definition.to_string().as_bytes())
    {
        for fault in check::faults(&error) {
            let place = match fault.place.is_empty() {
                true => "the result".to_owned(),
                false => format!("the result, {}", fault.place),
            };
            findings.refuse(place, fault.text);
        }
    }
    findings.finish(definition)
}

/// In a language where the data of an event stays outside of the context, a payload is merged only where a transition
/// says so, as `export` writes it.
fn keep_payloads_apart(machine: &mut MachineModel) {
    let merges = |act: &Act| *act.other("merge") == Json::Bool(true);
    if machine.transitions.is_empty() {
        return;
    }
    if machine.transitions.iter().all(|it| merges(&it.act)) {
        // As in format 2 without a word.
        for transition in &mut machine.transitions {
            transition.act.other.retain(|(key, _)| key != "merge");
        }
        return;
    }
    let apart = ("merge".to_owned(), Json::Bool(false));
    machine.other.insert(0, apart);
}

/// What a file says beside the states and transitions.
#[derive(Debug, Default)]
struct Extras {
    /// The machine's name.
    name: Option<String>,
    description: Option<String>,
    /// The first values of the context.
    context: Vec<(String, Json)>,
    /// Other descriptions of the machine, for people.
    about: Vec<(String, Json)>,
}

impl Extras {
    /// Puts them where format 2 has a place for them.
    fn add_to(self, machine: &mut MachineModel) {
        if !self.context.is_empty() {
            let context = object([("default", Json::Object(self.context))]);
            machine.other.push(("context".to_owned(), context));
        }
        let mut meta = Vec::new();
        if let Some(name) = self.name {
            meta.push(("name".to_owned(), text(name)));
        }
        if let Some(description) = self.description {
            meta.push(("description".to_owned(), text(description)));
        }
        meta.extend(self.about);
        match machine.other.iter_mut().find(|(key, _)| key == "meta") {
            Some((_, Json::Object(there))) => there.extend(meta),
            _ if meta.is_empty() => {}
            _ => machine.other.push(("meta".to_owned(), Json::Object(meta))),
        }
    }
}
