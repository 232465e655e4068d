//! Commands that work on files, without a server.
//!
//! Reports of `validate`, `test` and `diff` are text unless --json is given: people read them in the logs of CI systems.

mod diff;
mod simulate;
mod test;
mod translate;
mod validate;

pub(super) use diff::run as diff;
pub(super) use simulate::run as simulate;
pub(super) use test::run as test;
pub(super) use translate::{convert, export, import};
pub(super) use validate::run as validate;

use rstmdb_definitions::Problem;
use rstmdb_definitions::document::{self, Named};
use rstmdb_definitions::model::Machine;
use serde_json::{Value, json};

use crate::{Error, input};

/// A file with a definition.
fn definition(path: &str) -> Result<Named, Error> {
    let text = input::read_to_string(path)?;
    document::read_definition(&text).map_err(|problem| at(path, &problem))
}

/// The same as a tree.
fn machine(path: &str) -> Result<Machine, Error> {
    let named = definition(path)?;
    Machine::read(&named.definition).map_err(|problems| all(path, &problems))
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
