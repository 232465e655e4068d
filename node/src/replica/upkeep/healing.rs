//! Finds damage on this node's disk that another node or the memory can repair: in the history, and in the snapshot.
//!
//! A read that fails on a file with history reports the damage. So does a check that reads these files one by one,
//! slowly enough not to affect clients. The node replaces the file as a whole, with the entries of the first other node
//! that has all of them. Until then everything around the file stays readable. In a cluster of one, or if no node has
//! the entries any more, the damage stays, and the node goes on reporting it.
//!
//! The node reads its snapshot from time to time, and when another node could not install it: a damaged snapshot would
//! be sent there again and again. The state that it was made from is in memory, so the node writes a new one.
//!
//! What Raft itself needs is never repaired: a node that lost any of it has forgotten what it promised.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_raft_store::Entry;

use super::backfill::FetchError;
use super::compaction::Compaction;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::log_page::{LogReader, blocking};
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::calls::Peer;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Interval between checks for reported damage.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between reads of one more file. Each has about 16 MiB.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Interval between reads of the snapshot, and the least interval when there is a reason to read it.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(600);
const SUSPICION_INTERVAL: Duration = Duration::from_secs(10);
/// Pause after no node had what is damaged.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The first and last index of a file.
type IndexRange = (u64, u64);

/// What may be damaged, and what it is replaced from.
pub(crate) struct Healing<T: Types> {
    pub log: Arc<LogReader<T::Fs>>,
    pub compaction: Arc<Compaction<T>>,
    pub neighbours: Arc<Neighbours<T>>,
    pub counters: Arc<Counters>,
}

/// Checks and heals until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Healing<T>>) {
    let mut healer = Healer::<T> {
        checked: (0, 0),
        check_at: T::now(),
        snapshot_at: T::now() + SNAPSHOT_INTERVAL,
        suspicion_at: T::now(),
        heal_at: T::now(),
    };
    while let Some(healing) = pace.next::<T>(LOOK_INTERVAL).await {
        healer.look(&healing).await;
    }
}

struct Healer<T: Types> {
    /// The file that was read last.
    checked: IndexRange,
    /// When the next one is read.
    check_at: InstantOf<T>,
    /// When the snapshot is read.
    snapshot_at: InstantOf<T>,
    /// When the snapshot is read at the earliest, if there is a reason.
    suspicion_at: InstantOf<T>,
    /// When a repair is attempted at the earliest.
    heal_at: InstantOf<T>,
}

impl<T: Types> Healer<T> {
    async fn look(&mut self, healing: &Healing<T>) {
        if T::now() >= self.check_at {
            self.check_at = T::now() + CHECK_INTERVAL;
            self.check_next(&healing.log);
        }
        let snapshots = healing.log.store.snapshots();
        let suspected = T::now() >= self.suspicion_at && snapshots.take_suspicion();
        if suspected || T::now() >= self.snapshot_at {
            self.snapshot_at = T::now() + SNAPSHOT_INTERVAL;
            self.suspicion_at = T::now() + SUSPICION_INTERVAL;
            healing.check_snapshot().await;
        }
        if T::now() < self.heal_at || healing.neighbours.gate.no_room_here().is_some() {
            return;
        }
        for range in healing.log.store.damaged_history() {
            if !healing.heal(range).await {
                self.heal_at = T::now() + RETRY_PAUSE;
            }
        }
    }

    fn check_next(&mut self, log: &LogReader<T::Fs>) {
        let files = log.store.history_files();
        let next = files.iter().find(|range| **range > self.checked);
        let Some(range) = next.or(files.first()) else {
            return;
        };
        self.checked = *range;
        // The store remembers the damage and logs it.
        let _ = blocking(&*log.host, || log.store.check_history(*range));
    }
}

impl<T: Types> Healing<T> {
    /// Reads the snapshot, and writes a new one if it is damaged.
    async fn check_snapshot(&self) {
        let snapshots = self.log.store.snapshots();
        let read = blocking(&*self.log.host, || match snapshots.current()? {
            Some(current) => {
                let mut records = snapshots.open_records(&current)?;
                records.try_for_each(|record| record.map(drop))
            }
            None => Ok(()),
        });
        let Err(error) = read else {
            return;
        };
        tracing::error!(%error, "the snapshot cannot be read; the node writes a new one");
        if let Err(error) = self.compaction.replace_snapshot().await {
            tracing::error!(%error, "the damaged snapshot was not replaced");
        }
    }

    /// Fetches the entries of a damaged file again; returns whether the file is whole now.
    async fn heal(&self, (first, last): IndexRange) -> bool {
        let (store, host) = (&self.log.store, &*self.log.host);
        // The disk may have failed only for a moment.
        if blocking(host, || store.check_history((first, last))).is_ok() {
            return true;
        }
        for peer in self.neighbours.others() {
            match self.heal_from(&peer, (first, last)).await {
                Ok(true) => {
                    self.counters.history_healed.add(1);
                    tracing::info!(first, last, from = peer.id, "damaged history was replaced");
                    return true;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(first, last, from = peer.id, %error, "damaged history was not fetched");
                }
            }
        }
        false
    }

    /// Replaces a file with the entries of `peer`; `false` when `peer` does not have all of them.
    async fn heal_from(&self, peer: &Peer, range: IndexRange) -> Result<bool, FetchError> {
        let (store, host) = (&self.log.store, &*self.log.host);
        let Some(runs) = self.collect(peer, range).await? else {
            return Ok(false);
        };
        blocking(host, || {
            let mut receiver = store.replace_history(range)?;
            for entries in runs {
                receiver.push(&entries)?;
            }
            receiver.finish()
        })?;
        Ok(true)
    }

    /// All entries of a range, in portions, ascending. Runs come newest first and a file is written
    /// oldest first, so a whole file is held in memory meanwhile.
    async fn collect(
        &self,
        peer: &Peer,
        (first, last): IndexRange,
    ) -> Result<Option<Vec<Vec<Entry>>>, FetchError> {
        let mut portions: Vec<Vec<Entry>> = Vec::new();
        let mut before = last + 1;
        while before > first {
            let run = self.neighbours.peers.history(peer, before).await?;
            let Some(mut run) = run.filter(|run| run.first < before) else {
                return Ok(None);
            };
            before = run.first;
            let mut earlier = Vec::new();
            while let Some(portion) = run.entries.next().await {
                let mut entries = portion?;
                entries.retain(|entry| (first..=last).contains(&entry.log_id.index));
                earlier.push(entries);
            }
            earlier.append(&mut portions);
            portions = earlier;
        }
        Ok(Some(portions))
    }
}
