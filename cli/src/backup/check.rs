//! Whether a backup can be restored: its files are whole, and what they hold adds up to the states that the
//! cluster had. A restore makes the same checks, with the same engine, for the part that it needs.

use std::path::Path;

use rstmdb_engine::fact::{Entry, Message};
use rstmdb_engine::{State, StateLoader};
use rstmdb_rcp::backup::stream::Kind;
use rstmdb_rcp::backup::{self, LogEntry, Manifest, Run, folder};

use super::from_backup;
use crate::Error;

/// What of a run cannot be restored.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    File(#[from] backup::Error),
    #[error("{file} cannot be applied: {reason}")]
    Engine {
        file: String,
        reason: rstmdb_engine::Error,
    },
    #[error(
        "{file} does not lead to the state that the cluster had at offset {offset}: the digests of the two differ"
    )]
    Digest { file: String, offset: u64 },
}

/// Checks all of the backup in `dir`; each fault goes to `say`.
///
/// # Errors
/// When a restore from it would be refused.
pub(super) fn check(dir: &Path, manifest: &Manifest, say: impl Fn(String)) -> Result<(), Error> {
    let damaged = manifest
        .files()
        .filter_map(|info| folder::verify(dir, info).err())
        .map(|error| say(error.to_string()))
        .count();
    if damaged > 0 {
        let files = match damaged {
            1 => "1 file of the backup is damaged".to_owned(),
            damaged => format!("{damaged} files of the backup are damaged"),
        };
        return Err(Error::Failed(format!("{}: {files}", dir.display())));
    }
    if manifest.restorable().next().is_none() {
        return Err(Error::Failed(format!(
            "{} cannot be restored: the backup was interrupted before its log reached its snapshot; run \
             the backup again",
            dir.display()
        )));
    }
    for run in manifest.restorable() {
        replay(dir, run).map_err(|fault| match fault {
            Fault::File(error) => from_backup(error),
            fault => Error::Failed(format!("{} cannot be restored: {fault}", dir.display())),
        })?;
    }
    Ok(())
}

/// Applies a run from its beginning to its end.
fn replay(dir: &Path, run: &Run) -> Result<(), Fault> {
    let mut state = begin(dir, run)?;
    for file in &run.log {
        let name = &file.info.file;
        for entry in folder::log_entries(dir, file)? {
            let entry = entry?;
            // What the snapshot covers is there to be read only.
            if entry.offset > state.last_applied() {
                apply(dir, name, &mut state, &entry)?;
            }
        }
        let known = file.digest.as_deref();
        if state.last_applied() == file.last_offset {
            compare(&state, known, name)?;
        }
    }
    Ok(())
}

fn begin(dir: &Path, run: &Run) -> Result<State, Fault> {
    let Some(snapshot) = &run.snapshot else {
        return Ok(State::new());
    };
    let name = &snapshot.info.file;
    let wrong = |reason| Fault::Engine {
        file: name.clone(),
        reason,
    };
    let mut loader = StateLoader::new();
    for record in folder::snapshot_records(dir, snapshot)? {
        loader.push(record?).map_err(wrong)?;
    }
    let state = loader.finish().map_err(wrong)?;
    if state.last_applied() != snapshot.offset {
        return Err(Fault::Digest {
            file: name.clone(),
            offset: snapshot.offset,
        });
    }
    compare(&state, Some(&snapshot.digest), name)?;
    Ok(state)
}

fn apply(dir: &Path, name: &str, state: &mut State, entry: &LogEntry) -> Result<(), Fault> {
    if entry.kind != Kind::Normal {
        state.skip(entry.offset);
        return Ok(());
    }
    let facts = Entry::decode(entry.payload.clone()).map_err(|error| {
        let what = format!("the entry at offset {}: {error}", entry.offset);
        backup::Error::damaged(&dir.join(name), what)
    })?;
    let applied = state.apply(&facts, entry.offset);
    applied.map(drop).map_err(|reason| Fault::Engine {
        file: name.to_owned(),
        reason,
    })
}

/// Compares the state with the digest that the cluster had, where that is known.
fn compare(state: &State, known: Option<&str>, name: &str) -> Result<(), Fault> {
    match known {
        Some(digest) if digest != format!("{:032x}", state.digest()) => Err(Fault::Digest {
            file: name.to_owned(),
            offset: state.last_applied(),
        }),
        _ => Ok(()),
    }
}
