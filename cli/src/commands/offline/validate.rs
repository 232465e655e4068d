//! validate: what is wrong with definitions.

use rstmdb_definitions::check::{self, CheckedDefinition};
use rstmdb_definitions::{Problem, document};
use rstmdb_rcp::text::{counted, printable};
use serde_json::json;

use super::problems_json;
use crate::session::CliSession;
use crate::{Error, args, input};

pub fn run(session: &CliSession, args: &args::ValidateArgs) -> Result<(), Error> {
    let mut reports = Vec::new();
    let (mut errors, mut warnings) = (0, 0);
    for file in &args.files {
        let text = input::read_to_string(file)?;
        let checked = match document::read_definition(&text) {
            Ok(named) => check::check(&named.text),
            Err(problem) => CheckedDefinition {
                errors: vec![problem],
                warnings: Vec::new(),
            },
        };
        errors += checked.errors.len();
        warnings += checked.warnings.len();
        if session.out.programs_asked() {
            reports.push(json!({
                "file": file,
                "errors": problems_json(&checked.errors),
                "warnings": problems_json(&checked.warnings),
            }));
        } else {
            show(session, file, &checked)?;
        }
    }
    if session.out.programs_asked() {
        session.out.value(&json!({ "files": reports }))?;
    }
    let failed = errors + if args.strict { warnings } else { 0 };
    match failed {
        0 => Ok(()),
        _ => Err(Error::Failed(format!(
            "{} and {}",
            counted(errors as u64, "error", "errors"),
            counted(warnings as u64, "warning", "warnings")
        ))),
    }
}

fn show(session: &CliSession, file: &str, checked: &CheckedDefinition) -> Result<(), Error> {
    let paint = session.out.paint;
    let line = |kind: &str, problem: &Problem| {
        session
            .out
            .line(&printable(&format!("{file}: {kind}: {problem}")))
    };
    for problem in &checked.errors {
        line("error", problem)?;
    }
    for problem in &checked.warnings {
        line("warning", problem)?;
    }
    if checked.errors.is_empty() && checked.warnings.is_empty() {
        session
            .out
            .line(&format!("{file}: {}", paint.highlight("ok")))?;
    }
    Ok(())
}
