//! backup: copies the log of a running cluster into a folder, and a snapshot where the log does not
//! reach back to its beginning.
//!
//! ```text
//! folder ─ last run ─▶ copy the log behind it ── done ─▶ report
//!            │ none          │ no longer retained
//!            └───────┬───────┘
//!                    ▼
//!          begin a run: at offset 1, or with the newest snapshot ─▶ copy its log …
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `bucket` | a backup in a bucket |
//! | `check` | whether it can be restored |
//! | `source` | what the server is asked |
//! | `target` | the folder |
//! | `log` | entries on their way into files |

mod bucket;
mod check;
mod log;
mod source;
mod target;

use std::path::Path;

use rstmdb_backup::{self as backup, BackupRun, Manifest};
use rstmdb_rcp::text::counted;
use serde::Serialize;

use crate::session::CliSession;
use crate::{Error, args};
use bucket::Remote;
use source::{BackupSource, CopyStop, DescribedLog};
use target::BackupTarget;

/// A backup ends after this many attempts if the cluster drops its log faster than it is copied, or keeps
/// replacing its snapshots.
const ATTEMPTS_MAX: u32 = 5;

/// Runs the command.
///
/// # Errors
/// When the folder cannot be used, or the server cannot give what is needed.
pub async fn run(session: &CliSession, args: &args::BackupArgs) -> Result<(), Error> {
    if args.verify {
        return verify(session, args).await;
    }
    let mut target = BackupTarget::open_any(args).await?;
    let source = BackupSource::connect(session).await?;
    let mut head = source.describe().await?;
    target.belong_to(&head).await?;
    let before = target.last_offset();
    let mut attempts = 1;
    let mut began = None;
    loop {
        let stopped = match copy(&mut target, &source, &head).await {
            Ok(()) => break,
            Err(CopyStop::Failed(error)) => return Err(error),
            Err(stopped) => stopped,
        };
        if attempts == ATTEMPTS_MAX {
            return Err(stopped.into());
        }
        attempts += 1;
        head = source.describe().await?;
        begin_run(&mut target, &source, &head).await?;
        began = Some(head.first_offset);
    }
    let from = before.map_or(1, |before| before + 1);
    BackupReport::of(&target.manifest, &args.dir, Some((from, head.last_offset))).print(session)?;
    match began.and_then(|first| without_archive(&target.manifest, first)) {
        Some(poorer) => Err(Error::Failed(poorer)),
        None => Ok(()),
    }
}

/// What the run lacks that this backup has begun at `first`, if the server could not read its archive then.
fn without_archive(manifest: &Manifest, first: u64) -> Option<String> {
    let run = manifest.runs.iter().find(|run| run.first_offset == first)?;
    let reason = run.archive_unavailable.as_ref()?;
    Some(format!(
        "the backup is done, but begins anew at offset {first}: the server cannot read its archive at the moment, which may \
         have the history before ({reason}). The manifest notes it. Once the archive can be read again, make a backup in \
         another folder to have that history"
    ))
}

/// Copies the log after the last run, up to the head.
async fn copy(
    target: &mut BackupTarget,
    source: &BackupSource,
    head: &DescribedLog,
) -> Result<(), CopyStop> {
    let Some(last) = target.last_offset() else {
        return Err(CopyStop::Gap);
    };
    if head.last_offset < last {
        let message = format!(
            "the cluster's log ends at offset {}, but the backup has offset {last} already: the \
             cluster lost or replaced its log since; back up into another folder",
            head.last_offset
        );
        return Err(Error::Usage(message).into());
    }
    log::copy(target, source, head).await?;
    target.reached(head.time_ms).await?;
    Ok(())
}

/// Begins a run with the log or the snapshot that the server has now. If the snapshot is replaced meanwhile, the
/// caller retries.
async fn begin_run(
    target: &mut BackupTarget,
    source: &BackupSource,
    head: &DescribedLog,
) -> Result<(), Error> {
    let run = new_run(head);
    if head.first_offset == 1 {
        return target.begin(run).await;
    }
    if let Some((_, last)) = target
        .manifest
        .restorable()
        .last()
        .and_then(BackupRun::restorable)
    {
        eprintln!(
            "the cluster no longer has the log between offset {last} and {}: the backup continues \
             with a new snapshot, and has a gap before it",
            head.first_offset
        );
    }
    match target.copy_snapshot(source, head).await {
        Ok(snapshot) => {
            let snapshot = Some(snapshot);
            target.begin(BackupRun { snapshot, ..run }).await
        }
        Err(CopyStop::Failed(error)) => Err(error),
        Err(CopyStop::Gap | CopyStop::Replaced) => Ok(()),
    }
}

fn new_run(head: &DescribedLog) -> BackupRun {
    BackupRun {
        first_offset: head.first_offset,
        snapshot: None,
        log: Vec::new(),
        // If the run is interrupted before its log is complete, it reaches only up to its last fact.
        until_ms: 0,
        archive_unavailable: head.archive_unavailable.as_deref().map(ToOwned::to_owned),
    }
}

async fn verify(session: &CliSession, args: &args::BackupArgs) -> Result<(), Error> {
    let missing = || {
        let shown = args.dir.display();
        Error::Usage(format!("{shown} holds no backup: it has no manifest.json"))
    };
    let manifest = match args.bucket()? {
        None => {
            let manifest = Manifest::read(&args.dir).map_err(from_backup)?;
            let manifest = manifest.ok_or_else(missing)?;
            check::check(&args.dir, &manifest, |fault| eprintln!("{fault}"))?;
            manifest
        }
        // It is checked where there is room for all of it.
        Some(location) => {
            let work = target::work_folder()?;
            let remote = Remote::open(&location, &args.s3, work.path()).await?;
            let manifest = remote.manifest(work.path())?.ok_or_else(missing)?;
            remote.fetch_all(work.path(), &manifest).await?;
            check::check(work.path(), &manifest, |fault| eprintln!("{fault}"))?;
            manifest
        }
    };
    BackupReport::of(&manifest, &args.dir, None).print(session)
}

/// What the backup holds now.
#[derive(Serialize)]
struct BackupReport<'a> {
    dir: String,
    cluster_id: &'a str,
    cluster_name: &'a str,
    /// Offsets that were added.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<u64>,
    files: usize,
    bytes: u64,
    restorable: Vec<RestorableRange<'a>>,
}

/// Offsets at which it can be restored, inclusive, and the times of the state there.
#[derive(Serialize)]
struct RestorableRange<'a> {
    first_offset: u64,
    last_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_time: Option<String>,
    /// Why the history before it was not taken from the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_unavailable: Option<&'a str>,
}

impl<'a> BackupReport<'a> {
    fn of(manifest: &'a Manifest, dir: &Path, span: Option<(u64, u64)>) -> Self {
        // Offsets in a gap were not added.
        let added = span.map(|(from, to)| {
            let lengths = manifest.runs.iter().map(|run| {
                let first = run.first_offset.max(from);
                (run.last_offset().min(to) + 1).saturating_sub(first)
            });
            lengths.sum()
        });
        let restorable = manifest.restorable().filter_map(|run| {
            let (first_offset, last_offset) = run.restorable()?;
            let times = run.times();
            Some(RestorableRange {
                first_offset,
                last_offset,
                first_time: times.map(|(first, _)| shown(first)),
                last_time: times.map(|(_, last)| shown(last)),
                archive_unavailable: run.archive_unavailable.as_deref(),
            })
        });
        Self {
            dir: dir.display().to_string(),
            cluster_id: &manifest.cluster_id,
            cluster_name: &manifest.cluster_name,
            added,
            files: manifest.files().count(),
            bytes: manifest.files().map(|info| info.bytes).sum(),
            restorable: restorable.collect(),
        }
    }

    fn print(&self, session: &CliSession) -> Result<(), Error> {
        if session.out.for_programs() {
            return session.out.value(self);
        }
        let Self {
            dir, files, bytes, ..
        } = self;
        let done = match self.added {
            Some(added) => format!("{} added", counted(added, "entry", "entries")),
            None => "intact".to_owned(),
        };
        let files = counted(*files as u64, "file", "files");
        session
            .out
            .line(&format!("{dir}: {done}; {files}, {bytes} bytes"))?;
        for range in &self.restorable {
            let (first, last) = (range.first_offset, range.last_offset);
            let times = match (&range.first_time, &range.last_time) {
                (Some(first), Some(last)) => format!(", from {first} to {last}"),
                _ => String::new(),
            };
            session
                .out
                .line(&format!("restorable: offsets {first} to {last}{times}"))?;
            if let Some(reason) = range.archive_unavailable {
                session.out.line(&format!(
                    "the archive could not be read when offset {first} was backed up, and may have the history before \
                     it: {reason}"
                ))?;
            }
        }
        Ok(())
    }
}

fn shown(time_ms: u64) -> String {
    let millis = i64::try_from(time_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{time_ms} ms"), |time| time.to_string())
}

fn from_backup(error: backup::Error) -> Error {
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_run_that_begins_without_the_archive_says_so_in_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = BackupTarget::open(dir.path()).unwrap();
        let head = DescribedLog {
            cluster_id: "a".into(),
            first_offset: 1,
            last_offset: 9,
            archive_unavailable: Some("connection refused".into()),
            ..DescribedLog::default()
        };
        target.belong_to(&head).await.unwrap();
        target.begin(new_run(&head)).await.unwrap();
        let manifest = Manifest::read(dir.path()).unwrap().unwrap();
        let said = without_archive(&manifest, 1).unwrap();
        assert!(said.contains("connection refused"), "{said}");
        assert_eq!(without_archive(&manifest, 7), None);
        let whole = DescribedLog {
            archive_unavailable: None,
            ..head
        };
        assert_eq!(new_run(&whole).archive_unavailable, None);
    }

    #[tokio::test]
    async fn a_run_reaches_the_time_of_the_server_only_once_it_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = BackupTarget::open(dir.path()).unwrap();
        let head = DescribedLog {
            cluster_id: "a".into(),
            first_offset: 1,
            last_offset: 9,
            time_ms: 5_000,
            ..DescribedLog::default()
        };
        let until_ms = || Manifest::read(dir.path()).unwrap().unwrap().runs[0].until_ms;
        target.belong_to(&head).await.unwrap();
        target.begin(new_run(&head)).await.unwrap();
        assert_eq!(
            until_ms(),
            0,
            "interrupted here, it ends with its last fact"
        );
        target.reached(head.time_ms).await.unwrap();
        assert_eq!(until_ms(), 5_000);
    }
}
