//! The options of a data folder.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::crypto::{self, Cipher, Keyring};
use crate::error::Error;
use crate::format::codec::{Codec, Sealer};

/// When the store syncs its writes.
///
/// Every policy but [`FsyncPolicy::EveryWrite`] acknowledges a write before it is on disk. A power cut or a
/// kernel crash can then lose acknowledged writes. Votes are always synced, unless the
/// policy is [`FsyncPolicy::Never`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before anything is acknowledged.
    #[default]
    EveryWrite,
    /// After this many entries.
    EveryN(u64),
    /// At most this many milliseconds after a write.
    EveryMs(u64),
    /// When a segment is full and at shutdown only.
    Never,
}

/// Unix time in milliseconds, as a function so that a simulation can bring its own.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The time since some fixed moment; it never goes back. A function, so that a simulation can bring its own.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a [`Store`](crate::Store) is opened.
#[derive(Clone)]
pub struct Options {
    /// The data folder; created when absent.
    pub dir: PathBuf,
    /// Preallocated size of one log segment.
    pub segment_bytes: u64,
    /// When to sync.
    pub fsync_policy: FsyncPolicy,
    /// How many bytes of recent entries stay in memory, beyond those not yet written or committed.
    pub cache_bytes: usize,
    /// Written into each new segment; 0 until the cluster is known. A folder whose identity names
    /// another cluster is refused; a log without an identity keeps the cluster that it names.
    pub cluster_id: u128,
    /// Whether to keep the catalog (a real folder, so only where the file system is real).
    pub catalog: bool,
    /// What new files are encrypted with, and old ones read with.
    pub keys: Keyring,
    /// Whether payloads are compressed where that saves something.
    pub compress: bool,
    /// How long the log may be idle before the writer adds a closing mark.
    pub idle_mark: Duration,
    /// The clock for the time in batches. Only retention depends on it.
    pub clock: Clock,
    /// The clock that times syncs, for the statistics only.
    pub stopwatch: Stopwatch,
}

impl Options {
    /// The defaults, for the data folder `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Options {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            fsync_policy: FsyncPolicy::EveryWrite,
            cache_bytes: 64 << 20,
            cluster_id: 0,
            catalog: true,
            keys: Keyring::default(),
            compress: true,
            idle_mark: Duration::from_millis(500),
            clock: Arc::new(system_clock_ms),
            stopwatch: system_stopwatch(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// How the payloads of a file with this cipher are written, from this opening of it on.
    pub(crate) fn codec(&self, cipher: Option<Arc<Cipher>>) -> Result<Codec, Error> {
        let sealer = match cipher {
            Some(cipher) => Some(Sealer {
                cipher,
                session: crypto::random()?,
            }),
            None => None,
        };
        Ok(Codec {
            compress: self.compress,
            sealer,
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("segment_bytes", &self.segment_bytes)
            .field("fsync_policy", &self.fsync_policy)
            .field("cache_bytes", &self.cache_bytes)
            .field("catalog", &self.catalog)
            .finish_non_exhaustive()
    }
}

fn system_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

fn system_stopwatch() -> Stopwatch {
    let begin = Instant::now();
    Arc::new(move || begin.elapsed())
}

/// How much history [`Store::retain`](crate::Store::retain) keeps. Each bound that is set drops
/// whole segments and history files, oldest first, as soon as they lie entirely beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Keep at least this many of the latest entries; older ones may go.
    pub events: Option<u64>,
    /// Keep entries younger than this; older ones may be dropped. Entries fetched from another node as
    /// history count from their arrival here.
    pub hours: Option<u64>,
    /// Drop the oldest while the log is larger than this many MiB.
    pub mb: Option<u64>,
    /// Move dropped segments and history files here instead of deleting them.
    pub archive_dir: Option<PathBuf>,
}

/// What [`Store::retain`](crate::Store::retain) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Segments and history files deleted or archived.
    pub segments_deleted: u64,
    /// Their size.
    pub bytes: u64,
}
