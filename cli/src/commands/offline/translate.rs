//! import-machine, export-machine, convert.

use rstmdb_definitions::{Problem, Translated, convert as converting, export as exporting};
use rstmdb_definitions::{import as importing, pretty};
use rstmdb_rcp::text::printable;

use super::{definition, lines, machine};
use crate::session::CliSession;
use crate::{Error, args, input};

pub fn import(session: &CliSession, args: &args::ImportMachineArgs) -> Result<(), Error> {
    let text = input::read_to_string(&args.file)?;
    let read = importing::import(args.from.into(), &text, args.lossy);
    let translated = read.map_err(|problems| refused(&args.file, &problems))?;
    tell(&args.file, &translated);
    session.out.line(&pretty(&translated.result))
}

pub fn export(session: &CliSession, args: &args::ExportMachineArgs) -> Result<(), Error> {
    let machine = machine(&args.file)?;
    let written = exporting::export(args.to.into(), &machine, args.lossy);
    let translated = written.map_err(|problems| refused(&args.file, &problems))?;
    tell(&args.file, &translated);
    session.out.line(&translated.result)
}

pub fn convert(session: &CliSession, args: &args::ConvertArgs) -> Result<(), Error> {
    let named = definition(&args.file)?;
    let converted = converting::convert(&named.definition);
    let translated = converted.map_err(|problems| refused(&args.file, &problems))?;
    tell(&args.file, &translated);
    session.out.line(&pretty(&translated.result))
}

/// Every place that has no equal.
fn refused(file: &str, problems: &[Problem]) -> Error {
    Error::Failed(lines(file, problems))
}

fn tell<T>(file: &str, translated: &Translated<T>) {
    for (kind, problems) in [("note", &translated.notes), ("lost", &translated.losses)] {
        for problem in problems {
            eprintln!("{}", printable(&format!("{file}: {kind}: {problem}")));
        }
    }
}
