//! What each fuzz target does with one input. The test `fuzz_corpus` does it with each input of the corpora.

use rstmdb_definitions::check::check;
use rstmdb_definitions::export::{self, export};
use rstmdb_definitions::import::{Language, import};
use rstmdb_definitions::model::Machine;

/// Any bytes as XState's JSON.
pub fn xstate(data: &[u8]) {
    take(Language::Xstate, data);
}

/// Any bytes as SCXML.
pub fn scxml(data: &[u8]) {
    take(Language::Scxml, data);
}

/// Any bytes as the Amazon States Language.
pub fn asl(data: &[u8]) {
    take(Language::Asl, data);
}

/// Any bytes as a diagram of Mermaid.
pub fn mermaid(data: &[u8]) {
    take(Language::Mermaid, data);
}

/// Panics when something does not hold: a definition that was imported has no errors and can be exported, and a refusal
/// has a reason.
fn take(language: Language, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for lossy in [false, true] {
        match import(language, &text, lossy) {
            Ok(translated) => {
                assert!(lossy || translated.losses.is_empty());
                let definition = translated.result.to_string();
                assert!(check(&definition).errors.is_empty(), "{definition}");
                let machine = Machine::read(&translated.result).expect("it has no errors");
                for to in [
                    export::Language::Xstate,
                    export::Language::Scxml,
                    export::Language::Asl,
                    export::Language::Mermaid,
                    export::Language::Dot,
                ] {
                    let _ = export(to, &machine, true);
                }
                comes_back(&machine);
            }
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
}

/// What can be exported without a loss can be imported again without a loss.
fn comes_back(machine: &Machine) {
    for (to, from) in [
        (export::Language::Xstate, Language::Xstate),
        (export::Language::Scxml, Language::Scxml),
        (export::Language::Asl, Language::Asl),
        (export::Language::Mermaid, Language::Mermaid),
    ] {
        let Ok(exported) = export(to, machine, false) else {
            continue;
        };
        if let Err(problems) = import(from, &exported.result, false) {
            panic!("{problems:?}\n{}", exported.result);
        }
    }
}
