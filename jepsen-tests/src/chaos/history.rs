//! The requests of all clients and their answers, with times: one line of JSON for each request.
//!
//! An entry holds the request and the answer as they were sent. Checkers interpret them.
//! A request without an answer stays open forever: it may take effect at any time, or never.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// What a request is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Reads, writes and compare-and-set of single instances.
    Register,
    /// A machine with guards and refusals.
    Machine,
    /// Keyed events, sent until answered.
    Once,
    /// Money moved between accounts by atomic batches.
    Bank,
    /// Instances created and deleted.
    Set,
    /// Local reads that must not go back.
    Monotonic,
    /// Reads by the leader's lease.
    Lease,
    /// Questions what an order allows, and what an event would do.
    Asking,
    /// A machine of format 2.
    Parcel,
    /// Automation paused and resumed.
    Automation,
    /// Timers that fire by themselves.
    Timer,
    /// Locks, and writes under them.
    Lock,
}

/// One request and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What it is part of.
    pub workload: Workload,
    /// The client. It has one request or one pipeline at a time.
    pub client: u32,
    /// The number of the pipeline it was sent in; 0: alone. The requests of a pipeline are sent on one connection, at
    /// one time, without waiting for answers. The history has them in the order in which they were sent.
    #[serde(default)]
    pub pipeline: u64,
    /// The node that was asked.
    pub node: u64,
    /// As whom; empty without a token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// When it was sent, in microseconds since the run began.
    pub begun: u64,
    /// When the answer came, or it was clear that none would.
    pub ended: u64,
    /// The operation of the protocol.
    pub op: String,
    /// Its parameters, as sent.
    #[serde(deserialize_with = "rstmdb_rcp::json::plain_value")]
    pub params: Value,
    /// Its outcome, as far as known.
    pub outcome: RequestOutcome,
}

/// A client's knowledge of its request's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// It was done; this is the result.
    Ok(#[serde(deserialize_with = "rstmdb_rcp::json::plain_value")] Value),
    /// It was certainly not done.
    Refused {
        /// The protocol's code.
        code: String,
        /// The protocol's details.
        #[serde(deserialize_with = "rstmdb_rcp::json::plain_value")]
        details: Value,
    },
    /// It may have been done, or be done at any later time.
    Unknown {
        /// Why the outcome is unknown.
        why: String,
    },
}

impl HistoryEntry {
    /// The result, where it was done.
    pub fn result(&self) -> Option<&Value> {
        match &self.outcome {
            RequestOutcome::Ok(result) => Some(result),
            RequestOutcome::Refused { .. } | RequestOutcome::Unknown { .. } => None,
        }
    }

    /// The latest time at which it can have taken effect.
    pub fn open_until(&self) -> u64 {
        match self.outcome {
            RequestOutcome::Unknown { .. } => u64::MAX,
            RequestOutcome::Ok(_) | RequestOutcome::Refused { .. } => self.ended,
        }
    }

    /// A parameter that is text.
    pub fn param(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Takes the entries of all clients of one run.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    began_ms: u64,
    pipelines: AtomicU64,
    taken: Mutex<Vec<HistoryEntry>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            began_ms: unix_ms(),
            pipelines: AtomicU64::default(),
            taken: Mutex::default(),
        }
    }
}

impl Recorder {
    /// Microseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When the run began, in Unix milliseconds.
    pub fn began_ms(&self) -> u64 {
        self.began_ms
    }

    /// The number of the next pipeline, from 1 on.
    pub fn next_pipeline(&self) -> u64 {
        self.pipelines.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes an entry.
    pub fn take(&self, entry: HistoryEntry) {
        self.taken.lock().push(entry);
    }

    /// How many requests were done so far.
    pub fn done(&self) -> usize {
        let taken = self.taken.lock();
        taken
            .iter()
            .filter(|entry| entry.result().is_some())
            .count()
    }

    /// All entries, in the order in which they were sent.
    pub fn finish(&self) -> Vec<HistoryEntry> {
        let mut entries = std::mem::take(&mut *self.taken.lock());
        // Stable: those of a pipeline keep their order.
        entries.sort_by_key(|entry| entry.begun);
        entries
    }
}

/// Writes a history.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, entries: &[HistoryEntry]) -> Result<(), Error> {
    let failed = || Error::io(path.display().to_string());
    let mut file = BufWriter::new(File::create(path).map_err(failed())?);
    for entry in entries {
        let line = serde_json::to_string(entry);
        let line = line.map_err(|error| Error::Protocol(error.to_string()))?;
        writeln!(file, "{line}").map_err(failed())?;
    }
    file.flush().map_err(failed())
}

/// Reads a history.
///
/// # Errors
/// When the file cannot be read, or a line is not an entry.
pub fn read(path: &Path) -> Result<Vec<HistoryEntry>, Error> {
    let failed = || Error::io(path.display().to_string());
    let file = BufReader::new(File::open(path).map_err(failed())?);
    let mut entries = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let line = line.map_err(failed())?;
        let entry = serde_json::from_str(&line);
        entries.push(entry.map_err(|error| {
            Error::Protocol(format!("{}:{}: {error}", path.display(), number + 1))
        })?);
    }
    Ok(entries)
}
