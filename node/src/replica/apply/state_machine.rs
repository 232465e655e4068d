//! openraft's state machine: applies committed entries, takes and installs snapshots.
//!
//! Apply is total: it never asks for the role of the node and refuses nothing. An entry that cannot be decoded, or that
//! the engine calls corrupt, stops the node. If the node went on, its state would differ from the other nodes' state.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use parking_lot::Mutex;
use rstmdb_engine::chain::EntryHash;
use rstmdb_engine::fact::{self, Entry, Fact, Message};
use rstmdb_engine::{Compiled, EntryOutcome, State};
use rstmdb_raft_store::{LogId, SnapshotHandle, Store, StoredMembership};

use super::hash::{entry_hash, hash_of_facts};
use super::notices::Notices;
use super::snapshot::{Builder, into_openraft, load_state};
use crate::replica::parts::applied::Applied;
use crate::replica::parts::backfilled_log::BackfilledLog;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::options::levels::Levels;
use crate::replica::types::trace::Stage;
use crate::replica::types::{Host, Types};
use crate::replica::watch::hub::{self, Hub};

/// Entries applied under one hold of the state's lock, so that readers get their turn.
const CHUNK_ENTRIES: usize = 256;
/// Bytes of entries applied under one hold of the lock. A larger entry is applied alone.
const CHUNK_BYTES: usize = 1 << 20;
/// Pause before a retry when a snapshot could not be opened because the node had no file descriptor left.
const OPEN_PAUSE: Duration = Duration::from_millis(200);

/// The state machine of one replica, as openraft drives it.
pub struct StateMachine<T: Types> {
    pub(crate) applied: Arc<Applied>,
    pub(crate) hub: Arc<Hub>,
    backfilled: Arc<BackfilledLog>,
    store: Store<T::Fs>,
    pub(crate) host: Arc<dyn Host>,
    counters: Arc<Counters>,
    levels: Arc<Levels>,
    notices: Notices,
    /// A snapshot that is on the disk and that openraft does not know yet.
    written: Arc<Mutex<Option<SnapshotHandle<T::Fs>>>>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

/// What apply needs from an entry; there before the state is locked.
enum DecodedEntry {
    /// A blank or a membership entry: only the offset moves.
    Nothing,
    Facts(Arc<Entry>, usize, Compiled),
}

struct ApplyItem<T: Types> {
    offset: u64,
    /// What goes into the chain; there before the state is locked.
    hash: EntryHash,
    decoded: DecodedEntry,
    responder: Option<ApplyResponder<T>>,
}

impl<T: Types> ApplyItem<T> {
    fn bytes(&self) -> usize {
        match &self.decoded {
            DecodedEntry::Nothing => 0,
            DecodedEntry::Facts(_, bytes, _) => *bytes,
        }
    }
}

impl<T: Types> StateMachine<T> {
    /// A state machine that has applied nothing; openraft restores it from the last snapshot
    /// and the committed log.
    pub(crate) fn new(
        applied: Arc<Applied>,
        hub: Arc<Hub>,
        backfilled: Arc<BackfilledLog>,
        store: Store<T::Fs>,
        host: Arc<dyn Host>,
        counters: Arc<Counters>,
        levels: Arc<Levels>,
    ) -> Self {
        Self {
            applied,
            hub,
            backfilled,
            store,
            host,
            counters,
            levels,
            notices: Notices::default(),
            written: Arc::default(),
            last_applied: None,
            membership: StoredMembership::default(),
        }
    }

    fn decode(&mut self, (entry, responder): EntryResponder<T>) -> io::Result<ApplyItem<T>> {
        let log_id = entry.log_id();
        self.last_applied = Some(log_id);
        let (hash, decoded) = match entry.payload {
            EntryPayload::Normal(data) => {
                let payload = data.0;
                let (facts, compiled) = match self.applied.decided.take(log_id.index, &payload) {
                    Some(decided) => {
                        let again = || Entry::decode(payload.clone());
                        debug_assert_eq!(again().as_ref(), Ok(&*decided.entry));
                        (decided.entry, decided.compiled)
                    }
                    None => {
                        let entry = Entry::decode(payload.clone());
                        let entry = entry.map_err(|error| corrupt(log_id.index, &error))?;
                        let compiled = self.compile(&entry);
                        (Arc::new(entry), compiled)
                    }
                };
                let hash = hash_of_facts(log_id, &payload, &facts);
                (hash, DecodedEntry::Facts(facts, payload.len(), compiled))
            }
            EntryPayload::Blank => (entry_hash(&entry), DecodedEntry::Nothing),
            EntryPayload::Membership(_) => {
                let hash = entry_hash(&entry);
                if let EntryPayload::Membership(membership) = entry.payload {
                    self.membership = StoredMembership::new(Some(log_id), membership);
                }
                (hash, DecodedEntry::Nothing)
            }
        };
        Ok(ApplyItem {
            offset: log_id.index,
            hash,
            decoded,
            responder,
        })
    }

    /// Compiles the entry's machines. This takes long, so it happens before the state is locked.
    fn compile(&self, entry: &Entry) -> Compiled {
        let defines = |fact: &Fact| matches!(fact.body, Some(fact::Body::PutMachine(_)));
        let mut compiled = Compiled::default();
        if entry.facts.iter().any(defines) {
            self.host.block(&mut || compiled = Compiled::of(entry));
        }
        compiled
    }

    fn apply_chunk(&self, items: Vec<ApplyItem<T>>) -> io::Result<()> {
        let Some(head) = items.last().map(|item| item.offset) else {
            return Ok(());
        };
        self.applied.traced.reached(head, Stage::Applying);
        let mut effective = Vec::with_capacity(items.len());
        let mut answers = Vec::with_capacity(items.len());
        let mut state = self.applied.write();
        for item in items {
            let outcome = match item.decoded {
                DecodedEntry::Nothing => {
                    state.skip(item.offset);
                    EntryOutcome::Applied
                }
                DecodedEntry::Facts(entry, bytes, compiled) => {
                    let outcome = state
                        .apply_compiled(&entry, item.offset, &compiled)
                        .map_err(|error| corrupt(item.offset, &error))?;
                    match outcome {
                        EntryOutcome::Applied => effective.push(hub::Effective {
                            offset: item.offset,
                            entry,
                            bytes,
                        }),
                        EntryOutcome::Stale => self.counters.facts_stale.add(1),
                    }
                    outcome
                }
            };
            state
                .link(item.offset, &item.hash)
                .map_err(|error| corrupt(item.offset, &error))?;
            self.applied.checkpoint(&state);
            answers.extend(item.responder.map(|responder| (responder, outcome)));
        }
        self.notices.look(&state);
        let level = state.level();
        drop(state);
        self.levels.reach(level);
        // Readers and watches must see the effect before its client gets the answer.
        self.applied.publish(head);
        self.hub.dispatch(effective, head);
        self.applied.traced.applied(head);
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    /// What a snapshot of everything applied so far is made from.
    pub(crate) fn builder(&self) -> Builder<T> {
        Builder {
            state: self.applied.read().clone(),
            last_applied: self.last_applied,
            membership: self.membership.clone(),
            snapshots: self.store.snapshots(),
            host: self.host.clone(),
            counters: self.counters.clone(),
            slot: self.written.clone(),
            written: None,
        }
    }

    fn load(&self, snapshot: &SnapshotHandle<T::Fs>) -> io::Result<State> {
        let mut loaded = Err(io::Error::other("the snapshot was not read"));
        self.host.block(&mut || {
            loaded = load_state(&self.store.snapshots(), snapshot, self.levels.understands());
        });
        loaded
    }

    /// Replaces the log by the snapshot, which has been durable since it was received.
    fn replace_log(&self, snapshot: &SnapshotHandle<T::Fs>) -> io::Result<()> {
        let mut replaced = Ok(());
        self.host.block(&mut || {
            replaced = self.store.install(snapshot);
        });
        Ok(replaced?)
    }
}

fn corrupt(offset: u64, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the committed entry at offset {offset} cannot be applied: {error}"),
    )
}

impl<T: Types> RaftStateMachine<T> for StateMachine<T> {
    type SnapshotData = SnapshotHandle<T::Fs>;
    type SnapshotBuilder = Builder<T>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<T>>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(CHUNK_ENTRIES);
        while let Some(chunk) = chunks.next().await {
            let items = chunk
                .into_iter()
                .map(|entry| self.decode(entry?))
                .collect::<io::Result<Vec<_>>>()?;
            let mut portion = Vec::with_capacity(items.len());
            let mut bytes = 0;
            for item in items {
                if bytes + item.bytes() > CHUNK_BYTES && !portion.is_empty() {
                    self.apply_chunk(std::mem::take(&mut portion))?;
                    bytes = 0;
                }
                bytes += item.bytes();
                portion.push(item);
            }
            self.apply_chunk(portion)?;
        }
        Ok(())
    }

    /// Gives openraft a snapshot that is already written (see `Builder::write`), or none. With `force`, at the start,
    /// openraft needs one, so the builder writes it.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder<T>> {
        let written = self.written.lock().take();
        (force || written.is_some()).then(|| Builder {
            written,
            ..self.builder()
        })
    }

    async fn get_snapshot_builder(&mut self) -> Builder<T> {
        self.builder()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<T>,
        snapshot: SnapshotHandle<T::Fs>,
    ) -> io::Result<()> {
        let state = self.load(&snapshot)?;
        let head = state.last_applied();
        if Some(head) != meta.last_log_id.map(|id| id.index) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the snapshot claims to end at {:?} but its state ends at {head}",
                    meta.last_log_id
                ),
            ));
        }
        let stale_known_from = state.stale_known_from();
        let level = state.level();
        self.notices.look(&state);
        // Done before the offset is published: entries below it that were never committed must not become visible.
        self.replace_log(&snapshot)?;
        *self.applied.write() = state;
        self.levels.reach(level);
        self.applied.forget_checkpoints();
        // The snapshot has replaced this node's log, but other nodes still have those entries. `backfilled` learns of
        // it before the offset is published, so that no watch takes the gap for a loss.
        self.backfilled.fetch(stale_known_from);
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.applied.publish(head);
        self.hub.reset(head);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<T, SnapshotHandle<T::Fs>>>> {
        loop {
            match self.store.snapshots().current() {
                // openraft ends the node at any failure. A lack of file descriptors passes, so it must not reach
                // openraft.
                Err(error) if error.is_shortage() => T::sleep(OPEN_PAUSE).await,
                current => return Ok(current?.map(into_openraft::<T>)),
            }
        }
    }
}
