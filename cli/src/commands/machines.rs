//! put-machine, get-machine, delete-machine, list-machines.

use rstmdb_definitions::{check, document};
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::machine::{
    DeleteMachine, GetMachine, GetMachineResult, ListMachines, PutMachine,
};
use rstmdb_rcp::message::op;
use rstmdb_rcp::{Code, text};
use serde_json::value::RawValue;

use crate::session::CliSession;
use crate::session::hint::HintAbout;
use crate::{Error, args, input};

pub(super) async fn put(session: &CliSession, args: args::PutMachineArgs) -> Result<(), Error> {
    let (name, written) = args.both()?;
    let file = definition(written)?;
    let name = name.map(str::to_owned);
    let name = name.or(file.name);
    let name = name.ok_or_else(|| Error::Usage(no_name(file.misplaced_name.as_deref())))?;
    let version = match args.version.or(file.version) {
        Some(version) => version,
        None => next_version(session, &name, &file.definition).await?,
    };
    let mut params = PutMachine::new(name, version, &file.definition);
    params.meta = args.about.meta();
    params.dry_run = args.ask.dry_run;
    match session.show(op::PUT_MACHINE, &params).await {
        Err(error) => Err(with_all_faults(error, &file.source, &file.definition)),
        done => done,
    }
}

fn no_name(misplaced: Option<&str>) -> String {
    match misplaced {
        Some(name) => format!(
            "the machine has no name: `name` stands beside `states`, where it is no key of a definition. Write it into \
             `meta` (`meta: {{name: {name}}}`), or write `put-machine {name} FILE`"
        ),
        None => "the machine has no name: write `put-machine NAME FILE`, or `meta: {name: NAME}` into the file".to_owned(),
    }
}

/// The server names the first fault of a definition of format 1, and no file.
fn with_all_faults(error: Error, source: &str, definition: &RawValue) -> Error {
    let Error::Refused(body) = &error else {
        return error;
    };
    if body.code != Code::BadRequest {
        return error;
    }
    let faults = check::check(definition.get()).errors;
    // Refused for another reason.
    if faults.is_empty() {
        return error;
    }
    let mut listed: Vec<String> = faults
        .iter()
        .take(FAULTS_MAX)
        .map(ToString::to_string)
        .collect();
    if faults.len() > FAULTS_MAX {
        listed.push(format!("and {} more", faults.len() - FAULTS_MAX));
    }
    Error::Hinted {
        error: Box::new(error),
        hint: format!("in {source}: {}", listed.join("\n        ")),
    }
}

/// Most faults of a definition that are listed; `validate` lists all of them.
const FAULTS_MAX: usize = 20;

struct MachineFile {
    /// What it is called in errors.
    source: String,
    /// A name in a place where it is none.
    misplaced_name: Option<String>,
    name: Option<String>,
    version: Option<u32>,
    definition: Box<RawValue>,
}

/// JSON, `@file`, `-`, or the path of a file.
fn definition(argument: &str) -> Result<MachineFile, Error> {
    let is_json = argument.trim_start().starts_with(['{', '[']);
    let (source, written) = match argument.strip_prefix('@') {
        _ if is_json => ("DEFINITION", argument.to_owned()),
        Some(path) => (path, input::read_to_string(path)?),
        None => (argument, input::read_to_string(argument)?),
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Usage(text::printable_lines(&format!("{source}: {error}")))
    };
    let named = document::read_definition(&written).map_err(|error| wrong(&error))?;
    let misplaced = named.definition["name"].as_str().map(str::to_owned);
    let definition = RawValue::from_string(named.text).map_err(|error| wrong(&error))?;
    Ok(MachineFile {
        source: source.to_owned(),
        misplaced_name: misplaced,
        name: named.name,
        version: named.version,
        definition,
    })
}

/// The version behind the highest one, or the highest one itself if it is the same definition: then nothing is put.
async fn next_version(
    session: &CliSession,
    name: &str,
    definition: &RawValue,
) -> Result<u32, Error> {
    let params = GetMachine {
        machine: name.into(),
        ..GetMachine::default()
    };
    let highest: Result<GetMachineResult<'_>, Error> = session.ask(op::GET_MACHINE, &params).await;
    let highest = match highest {
        Ok(highest) => highest,
        Err(Error::Refused(body)) if body.code == Code::MachineNotFound => return Ok(1),
        Err(error) => return Err(error),
    };
    let Some(version) = highest.version else {
        let text = "the server does not say which version is the highest; give --version";
        return Err(Error::Usage(text.to_owned()));
    };
    let is_same = match (
        Json::parse(highest.definition.get()),
        Json::parse(definition.get()),
    ) {
        (Ok(there), Ok(here)) => there == here,
        _ => false,
    };
    match is_same {
        true => Ok(version),
        false => version.checked_add(1).ok_or_else(|| {
            Error::Usage(format!(
                "version {version} is the highest there can be; give --version"
            ))
        }),
    }
}

pub(super) async fn get(session: &CliSession, args: &args::GetMachineArgs) -> Result<(), Error> {
    let params = GetMachine {
        machine: args.name().into(),
        version: args.version(),
        read: args.freshness.options(),
        ..GetMachine::default()
    };
    match session.show(op::GET_MACHINE, &params).await {
        Err(error) => Err(session.with_hint(error, HintAbout::default()).await),
        done => done,
    }
}

pub(super) async fn delete(
    session: &CliSession,
    args: args::DeleteMachineArgs,
) -> Result<(), Error> {
    let params = DeleteMachine {
        machine: args.machine.as_str().into(),
        version: args.version(),
        all_versions: args.all_versions,
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    match session.show(op::DELETE_MACHINE, &params).await {
        Err(error) => Err(session.with_hint(error, HintAbout::default()).await),
        done => done,
    }
}

pub(super) async fn list(session: &CliSession, args: &args::ListMachinesArgs) -> Result<(), Error> {
    let params = ListMachines {
        read: args.freshness.options(),
        ..ListMachines::default()
    };
    session.show(op::LIST_MACHINES, &params).await
}
