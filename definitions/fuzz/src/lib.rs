//! What each fuzz target does with one input. The test `fuzz_corpus` does it with each input of the corpora.

use rstmdb_definitions::check::check;
use rstmdb_definitions::export::{self, export};
use rstmdb_definitions::import::{ImportLanguage, import};
use rstmdb_definitions::model::MachineModel;

/// Any bytes as XState's JSON.
pub fn xstate(data: &[u8]) {
    take(ImportLanguage::Xstate, data);
}

/// Any bytes as SCXML.
pub fn scxml(data: &[u8]) {
    take(ImportLanguage::Scxml, data);
}

/// Any bytes as the Amazon States Language.
pub fn asl(data: &[u8]) {
    take(ImportLanguage::Asl, data);
}

/// Any bytes as a diagram of Mermaid.
pub fn mermaid(data: &[u8]) {
    take(ImportLanguage::Mermaid, data);
}

/// Panics when something does not hold: a definition that was imported has no errors and can be exported, and a refusal
/// has a reason.
fn take(language: ImportLanguage, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for lossy in [false, true] {
        match import(language, &text, lossy) {
            Ok(translated) => {
                assert!(lossy || translated.losses.is_empty());
                let definition = translated.result.to_string();
                assert!(check(&definition).errors.is_empty(), "{definition}");
                let machine = MachineModel::read(&translated.result).expect("it has no errors");
                for to in [
                    export::ExportLanguage::Xstate,
                    export::ExportLanguage::Scxml,
                    export::ExportLanguage::Asl,
                    export::ExportLanguage::Mermaid,
                    export::ExportLanguage::Dot,
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
fn comes_back(machine: &MachineModel) {
    for (to, from) in [
        (export::ExportLanguage::Xstate, ImportLanguage::Xstate),
        (export::ExportLanguage::Scxml, ImportLanguage::Scxml),
        (export::ExportLanguage::Asl, ImportLanguage::Asl),
        (export::ExportLanguage::Mermaid, ImportLanguage::Mermaid),
    ] {
        let Ok(exported) = export(to, machine, false) else {
            continue;
        };
        if let Err(problems) = import(from, &exported.result, false) {
            panic!("{problems:?}\n{}", exported.result);
        }
    }
}
