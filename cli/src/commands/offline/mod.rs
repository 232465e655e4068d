//! Commands that work on files, without a server.
//!
//! Reports of `validate`, `test` and `diff` are text unless --json is given: people read them in the logs of CI systems.

mod diff;
mod simulate;
mod test;
mod translate;
mod validate;

use rstmdb_definitions::Problem;
use rstmdb_definitions::document::{self, NamedDefinition};
use rstmdb_definitions::model::MachineModel;
use serde_json::{Value, json};

use crate::args::Offline;
use crate::session::CliSession;
use crate::{Error, input};

pub(super) fn run(session: &CliSession, command: &Offline) -> Result<(), Error> {
    match command {
        Offline::Validate(args) => validate::run(session, args),
        Offline::Simulate(args) => simulate::run(session, args),
        Offline::Test(args) => test::run(session, args),
        Offline::Diff(args) => diff::run(session, args),
        Offline::ImportMachine(args) => translate::import(session, args),
        Offline::ExportMachine(args) => translate::export(session, args),
        Offline::Convert(args) => translate::convert(session, args),
    }
}

/// A file with a definition.
fn definition(path: &str) -> Result<NamedDefinition, Error> {
    let text = input::read_to_string(path)?;
    document::read_definition(&text).map_err(|problem| at(path, &problem))
}

/// The same as a tree.
fn machine(path: &str) -> Result<MachineModel, Error> {
    let named = definition(path)?;
    MachineModel::read(&named.definition).map_err(|problems| all(path, &problems))
}

fn at(path: &str, problem: &Problem) -> Error {
    Error::Usage(format!("{path}: {problem}"))
}

/// An error of several lines.
fn all(path: &str, problems: &[Problem]) -> Error {
    Error::Usage(lines(path, problems))
}

fn lines(path: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|it| format!("{path}: {it}")).collect();
    lines.join("\n")
}

fn problems_json(problems: &[Problem]) -> Value {
    let problems = problems.iter();
    problems
        .map(|it| json!({"place": it.place, "text": it.text}))
        .collect()
}
