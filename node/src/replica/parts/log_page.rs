//! Pages of the log: what WAL_READ shows, and what a watch far behind reads.
//!
//! Only applied entries are shown: what is in the log but not committed may still vanish. Stale
//! entries changed nothing and are left out; the state remembers their offsets.

pub(crate) mod archived;
mod covered;
mod damaged;

use std::sync::Arc;

use openraft::EntryPayload;
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_raft_store::{self as raft_store, Expired, FileSystem, Store};

use archived::{ArchivedLog, HeldArchive, Safety};

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
    /// What has left the node and can still be read.
    pub archived: Option<Arc<ArchivedLog<F>>>,
}

impl<F: FileSystem> LogReader<F> {
    /// The first offset that can be delivered, from here or from the archive. Raft's first entry, at 0, exists only on nodes that formed the cluster.
    /// In a request 0 means the earliest offset, so no node shows that entry.
    pub(crate) fn earliest_offset(&self) -> u64 {
        let here = self.earliest_here();
        match &self.archived {
            Some(archived) => archived.earliest_below(here),
            None => here,
        }
    }

    /// The bounds of retention. Raft no longer needs the log below this index, and the age of history counts up to this
    /// time. A clock that is ahead for a moment must not remove history that the log's time still keeps.
    pub(crate) fn retention_bounds(&self) -> (u64, u64) {
        let floor = self.store.purged().map_or(0, |id| id.index);
        let log_time_ms = self.applied.read().last_time_ms();
        (floor, self.host.now_ms().min(log_time_ms))
    }

    /// The first offset that this node itself has.
    pub(crate) fn earliest_here(&self) -> u64 {
        self.store.earliest_index().max(1)
    }

    /// Makes sure that `offset` (0: the earliest that is retained) can be read, for as long as the result lives, if it
    /// has left the node for the archive. `None` when there is nothing to do: the offset is here, or nowhere.
    ///
    /// # Errors
    /// [`Error::ArchiveUnavailable`].
    pub(crate) async fn hold(&self, offset: u64) -> Result<Option<HeldArchive<F>>, Error> {
        let Some(archived) = &self.archived else {
            return Ok(None);
        };
        let here = self.earliest_here();
        self.wait_for_archive(offset).await?;
        let offset = match offset {
            0 => self.earliest_offset(),
            offset => offset,
        };
        match offset < here {
            true => archived.hold(offset).await,
            false => Ok(None),
        }
    }

    /// Waits until it is known whether `offset` (0: the earliest that is retained) is in the archive.
    ///
    /// # Errors
    /// [`Error::ArchiveUnavailable`].
    pub(crate) async fn wait_for_archive(&self, offset: u64) -> Result<(), Error> {
        let here = self.earliest_here();
        match &self.archived {
            // Below the first offset of all there is nothing to know.
            Some(archived) if offset < here && here > 1 => {
                archived.wait_for_names(offset, here).await
            }
            _ => Ok(()),
        }
    }

    /// Whether retention may drop the file: the archive, if there is one, has all its entries that may be shown.
    pub(crate) fn may_drop(&self, file: &Expired) -> bool {
        self.safety(file) == Safety::Safe
    }

    /// What has to be done before retention may drop the file.
    pub(crate) fn safety(&self, file: &Expired) -> Safety {
        let (Some(archived), Some((first, last))) = (&self.archived, file.range()) else {
            return Safety::Safe;
        };
        let first = first.max(self.applied.read().stale_known_from());
        match first > last {
            true => Safety::Safe,
            false => archived.safety(first, last),
        }
    }

    /// Whether there is an archive that is not known to lead to `offset`: entries right before it would be lost with their
    /// files on the nodes.
    pub(crate) fn is_behind_a_gap(&self, offset: u64) -> bool {
        let archived = self.archived.as_ref();
        archived.is_some_and(|archived| offset > 1 && archived.lacks(offset - 1))
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
        let archived = self.held(from);
        let raw = match &archived {
            Some(file) => self.read_archived(file, (from, head), entries_max, bytes_max)?,
            None => self.read_raw(from, head, entries_max, bytes_max)?,
        };
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
        match archived {
            Some(file) => items.retain(|(offset, _)| !file.is_stale(*offset)),
            None => {
                let state = self.applied.read();
                items.retain(|(offset, _)| !state.is_stale(*offset));
            }
        }
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
        if let Some(file) = self.held(from) {
            return self.read_archived(&file, (from, head), entries_max, bytes_max);
        }
        let count = count(from, head, entries_max);
        if count == 0 {
            return Ok(Vec::new());
        }
        match blocking(&*self.host, || self.store.read(from, count, bytes_max)) {
            // An applied entry is in the log, or was.
            Ok(raw) if raw.is_empty() => Err(self.unreadable(from)),
            Ok(raw) => Ok(raw),
            Err(error) => Err(self.read_error(from, &error)),
        }
    }

    /// The file of the archive in which `from` is read, if it has left the node and the file is held.
    fn held(&self, from: u64) -> Option<HeldArchive<F>> {
        let archived = self.archived.as_ref()?;
        match from < self.store.earliest_index() {
            true => archived.held(from),
            false => None,
        }
    }

    fn read_archived(
        &self,
        file: &HeldArchive<F>,
        (from, head): (u64, u64),
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<raft_store::Entry>, Error> {
        let count = count(from, head, entries_max);
        blocking(&*self.host, || file.read(from, count, bytes_max)).map_err(|error| {
            // The copy has become unreadable, not the object: the next try fetches it again.
            if let Some(archived) = &self.archived {
                archived.forget(file);
            }
            Error::ArchiveUnavailable {
                wanted: from,
                reason: error.to_string(),
            }
        })
    }

    /// Why an entry that has left this node cannot be read: the archive has it and cannot give it, or it is gone.
    pub(crate) fn unreadable(&self, wanted: u64) -> Error {
        let here = self.earliest_here();
        if let Some(archived) = &self.archived {
            if let Some(damaged) = archived.damage_between(wanted, here) {
                return damaged;
            }
            if wanted < here && wanted >= archived.earliest_below(here) {
                return Error::ArchiveUnavailable {
                    wanted,
                    reason: "it has left the node just now; ask again".to_owned(),
                };
            }
        }
        Error::OffsetCompacted {
            wanted,
            // The stored value may be out of date, and must not contradict the error that it explains.
            earliest: self.earliest_offset().max(wanted + 1),
        }
    }

    fn read_error(&self, from: u64, error: &raft_store::Error) -> Error {
        // Retention has removed it, maybe during the read, or a snapshot has replaced it.
        let earliest = self.store.earliest_index();
        if from < earliest || matches!(error, raft_store::Error::Compacted { .. }) {
            return self.unreadable(from);
        }
        Error::Storage {
            reason: error.to_string(),
            outcome_unknown: false,
        }
    }
}

/// How many entries of `from..=head` may be read at once.
fn count(from: u64, head: u64, entries_max: usize) -> usize {
    let left = usize::try_from((head + 1).saturating_sub(from)).unwrap_or(usize::MAX);
    left.min(entries_max)
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
