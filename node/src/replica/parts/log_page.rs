//! Pages of the log: what WAL_READ shows, and what a watch far behind reads.
//!
//! Only applied entries are shown: what is in the log but not committed may still vanish. Stale
//! entries changed nothing and are left out; the state remembers their offsets.

use std::sync::Arc;

use openraft::EntryPayload;
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_raft_store::{self as raft_store, FileSystem, Store};

use super::applied::Applied;
use crate::replica::error::Error;
use crate::replica::types::Host;

/// Bytes of entries one page of WAL_READ reads at most.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The content of one offset of the log.
#[derive(Debug, Clone)]
pub enum LogItem {
    /// The facts of one command, or of one atomic batch.
    Facts(Arc<Entry>),
    /// The cluster's members changed.
    Membership,
}

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// Offsets and their contents, ascending; offsets have gaps.
    pub items: Vec<(u64, LogItem)>,
    /// Where the next page begins.
    pub next_offset: u64,
}

/// Effective entries of facts from the log; everything below `next` is covered.
pub(crate) struct EffectivePage {
    pub entries: Vec<(u64, Arc<Entry>)>,
    pub next: u64,
}

/// Reads what was applied from the log.
pub(crate) struct LogReader<F: FileSystem> {
    pub store: Store<F>,
    pub applied: Arc<Applied>,
    pub host: Arc<dyn Host>,
}

impl<F: FileSystem> LogReader<F> {
    /// The first offset that can be delivered. Raft's first entry, at 0, exists only on nodes that formed the cluster.
    /// In a request 0 means the earliest offset, so no node shows that entry.
    pub(crate) fn earliest_offset(&self) -> u64 {
        self.store.earliest_index().max(1)
    }

    /// A page of at most `limit` entries from `from` on (0: from the earliest that is retained).
    pub(crate) fn page(&self, from: u64, limit: usize) -> Result<LogPage, Error> {
        let from = match from {
            0 => self.earliest_offset(),
            from => from,
        };
        let head = self.applied.offset();
        if from > head {
            return Ok(LogPage {
                items: Vec::new(),
                next_offset: from,
            });
        }
        self.read_page(from, head, limit, PAGE_BYTES)
    }

    /// Reads the log from `from` up to and including `head`, which must have been applied.
    pub(crate) fn read_effective(
        &self,
        from: u64,
        head: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<EffectivePage, Error> {
        let page = self.read_page(from, head, entries_max, bytes_max)?;
        let entries = page
            .items
            .into_iter()
            .filter_map(|(offset, item)| match item {
                LogItem::Facts(entry) => Some((offset, entry)),
                LogItem::Membership => None,
            })
            .collect();
        Ok(EffectivePage {
            entries,
            next: page.next_offset,
        })
    }

    /// Reads at most `entries_max` entries from `from` on, up to and including `head`, which must
    /// have been applied.
    pub(crate) fn read_page(
        &self,
        from: u64,
        head: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<LogPage, Error> {
        let raw = self.read_raw(from, head, entries_max, bytes_max)?;
        let next_offset = raw.last().map_or(head + 1, |entry| entry.log_id.index + 1);
        let mut items = Vec::with_capacity(raw.len());
        for entry in raw {
            let offset = entry.log_id.index;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(_) => items.push((offset, LogItem::Membership)),
                EntryPayload::Normal(data) => {
                    let entry = Entry::decode(data.0).map_err(|error| Error::Storage {
                        reason: format!("the entry at offset {offset} cannot be decoded: {error}"),
                        outcome_unknown: false,
                    })?;
                    items.push((offset, LogItem::Facts(Arc::new(entry))));
                }
            }
        }
        let state = self.applied.read();
        items.retain(|(offset, _)| !state.is_stale(*offset));
        Ok(LogPage { items, next_offset })
    }

    /// The entries as they are in the log, stale ones included.
    pub(crate) fn read_raw(
        &self,
        from: u64,
        head: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<raft_store::Entry>, Error> {
        let left = usize::try_from((head + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        let count = left.min(entries_max);
        if count == 0 {
            return Ok(Vec::new());
        }
        match blocking(&*self.host, || self.store.read(from, count, bytes_max)) {
            // An applied entry is in the log, or was.
            Ok(raw) if raw.is_empty() => Err(compacted(from, self.store.earliest_index())),
            Ok(raw) => Ok(raw),
            Err(error) => Err(self.read_error(from, &error)),
        }
    }

    fn read_error(&self, from: u64, error: &raft_store::Error) -> Error {
        // Retention has removed it, maybe during the read, or a snapshot has replaced it.
        let earliest = self.store.earliest_index();
        if from < earliest || matches!(error, raft_store::Error::Compacted { .. }) {
            return compacted(from, earliest);
        }
        Error::Storage {
            reason: error.to_string(),
            outcome_unknown: false,
        }
    }
}

fn compacted(wanted: u64, earliest: u64) -> Error {
    Error::OffsetCompacted {
        wanted,
        // The stored value may be out of date, and must not contradict the error that it explains.
        earliest: earliest.max(wanted + 1),
    }
}

/// Runs disk work where it delays no other task.
pub(crate) fn blocking<R>(
    host: &dyn Host,
    work: impl FnOnce() -> Result<R, raft_store::Error>,
) -> Result<R, raft_store::Error> {
    let mut work = Some(work);
    let mut done = Err(raft_store::Error::Closed);
    host.block(&mut || {
        if let Some(work) = work.take() {
            done = work();
        }
    });
    done
}
