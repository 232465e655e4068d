//! `rstmdb verify`: whether the files of a folder are sound, and whether its log leads to the heads that the operator kept.

use std::io;
use std::path::Path;

use rstmdb_raft_store::{self as raft_store, RealFs};
use rstmdb_rcp::text::counted;

use super::{Error, load, must_be_data_folder};
use crate::server::config::Config;
use crate::server::logging;
use crate::server::program::args::Args;
use crate::server::program::chain::{self, KeptHead};
use crate::server::program::older;

pub(super) fn verify(args: &Args, data: Option<&Path>, kept: &[KeptHead]) -> Result<(), Error> {
    // Needed even if the folder is named: the keys for it are in the configuration.
    let config = load(args)?;
    let storage = &config.storage;
    let dir = data.map_or_else(|| storage.data_dir.clone(), Path::to_owned);
    if !dir.is_dir() {
        let missing = format!("there is no folder {}", dir.display());
        return Err(Error::Refused(missing));
    }
    must_be_data_folder(&dir)?;
    let mut report = raft_store::verify(&RealFs, &dir, &storage.keys, true);
    let nameless = report.missing_identity(&dir);
    let missing = report.missing_snapshot(&dir).into_iter();
    report.damages = missing.chain(report.damages).collect();
    let chain::CheckedChain {
        faults: chain,
        unproven,
        ..
    } = check_chain(&config, &dir, kept, &mut report);
    // Damage is reported even if the report cannot be printed.
    let printed = print_report(&report, nameless.as_ref(), &chain, &unproven);
    if nameless.is_some() || !report.damages.is_empty() || !chain.is_empty() {
        return Err(Error::Refused(format!("{} is damaged", dir.display())));
    }
    if !report.locked.is_empty() {
        return Err(Error::Refused(format!(
            "{} cannot be checked without its keys: give the configuration that has them, by --config \
             or RSTMDB_ENCRYPTION_KEY_FILE",
            dir.display()
        )));
    }
    if !report.unread.is_empty() {
        return Err(Error::Refused(format!(
            "{} could not be read completely, so it may be sound or damaged",
            dir.display()
        )));
    }
    if !unproven.is_empty() {
        return Err(Error::Refused(format!(
            "no damage was found in {}, but not every head that you gave could be compared",
            dir.display()
        )));
    }
    Ok(printed?)
}

/// What was found of the chain over the log. Where the log cannot be read, that is what is reported.
fn check_chain(
    config: &Config,
    dir: &Path,
    kept: &[KeptHead],
    report: &mut raft_store::VerifyReport,
) -> chain::CheckedChain {
    if !report.is_intact() || report.segments == 0 {
        return chain::CheckedChain::default();
    }
    let older = |from, to| {
        let identity =
            raft_store::read_identity(&RealFs, dir).map_err(|error| error.to_string())?;
        let identity = identity.ok_or("the folder has no identity")?;
        older::hashes(config, &identity, from, to).map_err(|error| error.to_string())
    };
    match chain::check(dir, &config.storage.keys, kept, &older) {
        Ok(checked) => {
            report.notes.push(checked.note.clone());
            checked
        }
        // The files were just found to be sound. A node that runs on the folder has replaced one of them.
        Err(error) => {
            let note = format!("the chain over the log was not checked: {error}");
            match kept.is_empty() {
                true => report.notes.push(note),
                false => report.unread.push(note),
            }
            chain::CheckedChain::default()
        }
    }
}

/// Problems come first, so that the operator need not search for them.
fn print_report(
    report: &raft_store::VerifyReport,
    nameless: Option<&raft_store::Error>,
    chain: &[String],
    unproven: &[String],
) -> io::Result<()> {
    if let Some(missing) = nameless {
        logging::print(&format_args!("damaged: {missing}"))?;
    }
    for damage in &report.damages {
        logging::print(&format_args!("damaged: {damage}"))?;
    }
    for fault in chain {
        logging::print(&format_args!("damaged: {fault}"))?;
    }
    for head in unproven {
        logging::print(&format_args!("not proven: {head}"))?;
    }
    for file in report.locked.iter().chain(&report.unread) {
        logging::print(&format_args!("not checked: {file}"))?;
    }
    for note in &report.notes {
        logging::print(&format_args!("note: {note}"))?;
    }
    let range = match report.range {
        Some((first, last)) => format!(" ({first} to {last})"),
        None => String::new(),
    };
    logging::print(&format_args!(
        "{}{}, {}{}, {}",
        match report.is_intact() {
            true => "",
            false => "readable: ",
        },
        counted(report.segments, "segment", "segments"),
        counted(report.entries, "entry", "entries"),
        // Something is missing between its ends.
        if report.is_intact() { &range } else { "" },
        counted(report.snapshots.len() as u64, "snapshot", "snapshots")
    ))
}
