//! A new cluster of one node from a backup, as it was at one offset.
//!
//! ```text
//! manifest ─▶ choose the run and the files ─▶ check every checksum ─▶ replay up to the offset
//!                                                                         │ state
//!           identity, last ◀─ older files as history ◀─ purge ◀─ snapshot ┘
//! ```
//!
//! The old log is history in the new folder: readable by offset, and no longer Raft's. So the memberships in it mean
//! nothing to the new cluster, which has its own from the start. The new cluster's terms begin behind those of the log,
//! because terms must never go back.
//!
//! | module | subject |
//! |---|---|
//! | `fetch` | from a bucket to a folder |
//! | `choose` | which part of the backup is needed |
//! | `archived` | what the backup lacks, from the archive |
//! | `replay` | from its files to the state |
//! | `build` | from the state to a data folder |

mod archived;
mod build;
mod choose;
mod fetch;
mod replay;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rstmdb_backup::replay::ReplayFault;
use rstmdb_backup::{self as backup, BackupRun, Manifest, folder};
use rstmdb_engine as engine;
use rstmdb_engine::chain::Head;
use rstmdb_engine::fact::level::CURRENT;
use rstmdb_objects::Location;
use rstmdb_raft_store as raft_store;
use rstmdb_rcp::text::counted;
use uuid::Uuid;

use crate::server::config::Config;
use crate::server::node;
use crate::server::node::archive::reader::ReadError;

/// Which state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTarget {
    /// The last one.
    End,
    /// The one at this offset.
    Offset(u64),
    /// The one at this time.
    Time(Timestamp),
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no backup.
    #[error("{} holds no backup: it has no manifest.json", dir.display())]
    NoBackup {
        /// Where it should be.
        dir: PathBuf,
    },
    /// The backup does not have the state that is wanted.
    #[error("{wanted} cannot be restored: {why}; restorable: {restorable}")]
    NotThere {
        /// What is wanted.
        wanted: String,
        /// Why it is not there.
        why: &'static str,
        /// What is.
        restorable: String,
    },
    /// Neither the backup nor the archive has the state that is wanted.
    #[error(
        "{wanted} cannot be restored: the backup does not have it, and the archive has no object with offset {missing} of \
         cluster {cluster_id}; restorable from the backup alone: {restorable}"
    )]
    NotArchived {
        /// What is wanted.
        wanted: String,
        /// The first offset that is missing.
        missing: u64,
        /// The backup's cluster.
        cluster_id: String,
        /// What the backup has.
        restorable: String,
    },
    /// The archive cannot be read, and it may have what the backup lacks.
    #[error(
        "the backup does not have the wanted state, and the archive {url} cannot be read: {reason}"
    )]
    Archive {
        /// Where it is.
        url: String,
        /// Why it cannot be read.
        reason: Box<ReadError>,
    },
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// The bucket with the backup cannot be read.
    #[error("{location}: {reason}")]
    Bucket {
        /// Where it is.
        location: String,
        /// Why it cannot be read.
        reason: rstmdb_objects::Error,
    },
    /// The text that says where the backup is.
    #[error("{0}")]
    Location(String),
    /// The backup's files do not give the state that the cluster had.
    #[error("the backup cannot be restored: {file}: {reason}")]
    Replay {
        /// The file of the backup that does not fit.
        file: String,
        /// What is wrong with it.
        reason: engine::replay::Error,
    },
    /// The data folder would be among the files of the backup.
    #[error(
        "the data folder {} is inside the backup {}: restore into a folder outside of it",
        dir.display(),
        backup.display()
    )]
    InsideBackup {
        /// The data folder.
        dir: PathBuf,
        /// The backup's folder.
        backup: PathBuf,
    },
    /// There is something in the data folder.
    #[error(
        "the data folder {} is not empty (it holds {found}): restore into an empty one", dir.display()
    )]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The data folder cannot be written.
    #[error(transparent)]
    Store(#[from] raft_store::Error),
    /// The log cannot be written.
    #[error("the data folder cannot be written: {0}")]
    Log(#[from] std::io::Error),
    /// The configuration contradicts itself.
    #[error(transparent)]
    Node(#[from] Box<node::Error>),
}

impl From<ReplayFault> for Error {
    fn from(fault: ReplayFault) -> Self {
        match fault {
            ReplayFault::File(error) => Self::Backup(error),
            ReplayFault::Replay { file, reason } => Self::Replay { file, reason },
        }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The new cluster.
    pub cluster_id: u128,
    /// What people call it.
    pub cluster_name: String,
    /// Its only node.
    pub node_id: u64,
    /// The offset whose state it has.
    pub offset: u64,
    /// The time of the last fact, Unix ms.
    pub time_ms: u64,
    /// The lowest offset that can be read.
    pub first_offset: u64,
    /// The state's digest.
    pub digest: u128,
    /// The head of the chain over the log there, if it has begun.
    pub head: Option<Head>,
    /// Live instances.
    pub instances: u64,
    /// The backup's feature level, if that of the new cluster is higher.
    pub raised_from: Option<u32>,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster_id = Uuid::from_u128(self.cluster_id);
        writeln!(
            f,
            "restored offset {}{}: {}, digest {:032x}, history from offset {}",
            self.offset,
            match self.time_ms {
                // The new log holds only the first membership.
                0 => String::new(),
                time_ms => format!(" of {}", shown(time_ms)),
            },
            counted(self.instances, "instance", "instances"),
            self.digest,
            self.first_offset
        )?;
        if let Some(head) = self.head {
            writeln!(f, "the chain goes on from the head {head}")?;
        }
        if let Some(level) = self.raised_from {
            writeln!(
                f,
                "the backup is of feature level {level}; the new cluster begins at level {CURRENT}"
            )?;
        }
        writeln!(
            f,
            "AUTOMATION IS PAUSED in the restored cluster, so that it does nothing by itself: `rstmdb-cli automation \
             resume` lets it run"
        )?;
        write!(
            f,
            "{} is node {} of the new cluster {:?} ({cluster_id}); start it",
            self.data_dir.display(),
            self.node_id,
            self.cluster_name
        )
    }
}

/// Makes the configured data folder from the backup in `from`, a folder or `s3://BUCKET/PREFIX`. Blocks its thread.
///
/// Everything that is needed from the backup is read and checked before anything is written. Every start refuses an
/// unfinished folder.
///
/// # Errors
/// When the backup is damaged or does not reach the target, when the data folder is not empty, or when it cannot be
/// written.
pub async fn restore(
    config: &Config,
    from: &Path,
    target: RestoreTarget,
) -> Result<Restored, Error> {
    let bucket = from.to_str().filter(|text| Location::is_bucket(text));
    match bucket.map(Location::parse) {
        Some(Ok(Location::Bucket(location))) => {
            // Before much is copied.
            build::refuse_used(&config.storage.data_dir)?;
            let work = fetch::fetch(config, &location, target).await?;
            restore_folder(config, work.path(), target).await
        }
        Some(Err(why)) => Err(Error::Location(why)),
        Some(Ok(Location::Folder(_))) | None => restore_folder(config, from, target).await,
    }
}

async fn restore_folder(
    config: &Config,
    from: &Path,
    target: RestoreTarget,
) -> Result<Restored, Error> {
    let manifest = Manifest::read(from)?.ok_or_else(|| Error::NoBackup {
        dir: from.to_owned(),
    })?;
    build::refuse_inside(&config.storage.data_dir, from)?;
    build::refuse_used(&config.storage.data_dir)?;
    match choose::run(&manifest, target) {
        Ok(run) => restore_run(config, from, run, target).await,
        Err(not_there @ Error::NotThere { .. }) => {
            let completed = archived::complete(config, from, &manifest, target).await?;
            let completed = completed.ok_or(not_there)?;
            restore_run(config, completed.work.path(), &completed.run, target).await
        }
        Err(error) => Err(error),
    }
}

async fn restore_run(
    config: &Config,
    from: &Path,
    run: &BackupRun,
    target: RestoreTarget,
) -> Result<Restored, Error> {
    let log = choose::files(run, target);
    if let Some(snapshot) = &run.snapshot {
        folder::verify(from, &snapshot.info)?;
    }
    for file in log {
        folder::verify(from, &file.info)?;
    }
    let replayed = replay::replay(from, run, log, target)?;
    build::build(config, from, log, replayed).await
}

/// A time as people read it.
fn shown(time_ms: u64) -> String {
    let millis = i64::try_from(time_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{time_ms} ms"), |time| time.to_string())
}
