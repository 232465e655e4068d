//! test: runs the tests of machines.

use std::fmt::Write;
use std::path::Path;

use rstmdb_definitions::cases::{self, MachineSource, Results, Suite, TestOutcome};
use rstmdb_definitions::check;
use rstmdb_rcp::text::{counted, printable};
use serde_json::{Value, json};

use super::{all, definition};
use crate::input::cannot_read;
use crate::render::output::Paint;
use crate::session::CliSession;
use crate::{Error, args, input};

pub fn run(session: &CliSession, args: &args::TestArgs) -> Result<(), Error> {
    let mut results = Vec::new();
    for file in &args.files {
        let result = run_file(file, args.only.as_deref())?;
        if !session.out.programs_asked() {
            session.out.line(&shown(&result, session.out.paint))?;
        }
        results.push(result);
    }
    if session.out.programs_asked() {
        session.out.value(&as_json(&results))?;
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, cases::report(&results))
            .map_err(|error| Error::Failed(format!("cannot write {}: {error}", path.display())))?;
    }
    let all: Vec<&TestOutcome> = results.iter().flat_map(|it| &it.outcomes).collect();
    let failed = all.iter().filter(|it| !it.passed()).count();
    if all.is_empty() {
        return Err(Error::Usage("no test has such a name".to_owned()));
    }
    let summary = format!(
        "{} passed, {failed} failed",
        counted((all.len() - failed) as u64, "test", "tests")
    );
    match failed {
        0 if session.out.programs_asked() => Ok(()),
        0 => session.out.line(&summary),
        _ => Err(Error::Failed(summary)),
    }
}

/// Runs the tests of one file.
fn run_file(file: &str, only: Option<&str>) -> Result<Results, Error> {
    let text = input::read_to_string(file)?;
    let mut suite = Suite::read(&text).map_err(|problems| all(file, &problems))?;
    if let Some(only) = only {
        suite.tests.retain(|test| test.name.contains(only));
    }
    let definition = match &suite.machine {
        MachineSource::Inline(json) => json.to_string(),
        MachineSource::File(path) => {
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            let path = folder.join(path);
            let Some(path) = path.to_str() else {
                let error = std::io::Error::other("its name is not Unicode");
                return Err(cannot_read(&path.to_string_lossy(), &error));
            };
            definition(path)?.text
        }
    };
    let checked = check::check(&definition);
    if !checked.errors.is_empty() {
        return Err(all(&format!("{file}: its machine"), &checked.errors));
    }
    Ok(Results {
        file: file.to_owned(),
        outcomes: suite.run(&definition),
    })
}

fn shown(results: &Results, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&printable(&results.file)));
    for outcome in &results.outcomes {
        let name = printable(&outcome.name);
        if outcome.passed() {
            let _ = writeln!(text, "  {}    {name}", paint.highlight("ok"));
            continue;
        }
        let _ = writeln!(text, "  {}  {name}", paint.alarm("FAIL"));
        for failure in &outcome.failures {
            let _ = writeln!(text, "        {}", printable(failure));
        }
        for step in &outcome.trace {
            let _ = writeln!(text, "          {}", paint.dim(&printable(step)));
        }
    }
    text
}

fn as_json(results: &[Results]) -> Value {
    let files: Vec<Value> = results
        .iter()
        .map(|file| {
            let tests: Vec<Value> = file
                .outcomes
                .iter()
                .map(|it| json!({"name": it.name, "passed": it.passed(), "failures": it.failures, "steps": it.trace}))
                .collect();
            json!({"file": file.file, "tests": tests})
        })
        .collect();
    json!({ "files": files })
}
