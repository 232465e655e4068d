//! What the integration tests share: a configuration, and a state machine small enough to trust.
#![allow(dead_code, clippy::unwrap_used)]

pub mod log;
pub mod model;
pub mod points;
pub mod story;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use rstmdb_raft_store::{
    CommittedLeaderId, Data, Entry, FileSystem, LogId, NodeInfo, SnapshotHandle, SnapshotMeta,
    SnapshotStore, Store, StoreConfig, StoredMembership, log_id,
};

macro_rules! config {
    ($name:ident, $runtime:ty) => {
        openraft::declare_raft_types!(
            pub $name:
                D = rstmdb_raft_store::Data,
                R = (),
                NodeId = u64,
                Node = rstmdb_raft_store::NodeInfo,
                Term = u64,
                LeaderId = rstmdb_raft_store::LeaderId,
                Vote = rstmdb_raft_store::Vote,
                AsyncRuntime = $runtime,
        );
    };
}

config!(OnTokio, openraft_rt_tokio::TokioRuntime);
config!(OnSim, openraft_rt_sim::SimRuntime);

/// Remembers what was applied; its snapshot is the list of applied payloads.
pub struct Machine<F: FileSystem> {
    state: Arc<Mutex<State>>,
    snapshots: SnapshotStore<F>,
    /// Also keeps the writer running: dropping the last store closes the log.
    store: Store<F>,
}

#[derive(Clone, Default)]
struct State {
    applied: Option<LogId>,
    membership: StoredMembership,
    payloads: Vec<Bytes>,
}

impl<F: FileSystem> Machine<F> {
    pub fn new(store: &Store<F>) -> Self {
        Machine {
            state: Arc::default(),
            snapshots: store.snapshots(),
            store: store.clone(),
        }
    }
}

type Taken<F> = Snapshot<CommittedLeaderId, u64, NodeInfo, SnapshotHandle<F>>;

pub struct Builder<F: FileSystem> {
    state: State,
    snapshots: SnapshotStore<F>,
}

impl<C: StoreConfig<R = ()>, F: FileSystem> RaftSnapshotBuilder<C> for Builder<F> {
    type SnapshotData = SnapshotHandle<F>;

    async fn build_snapshot(&mut self) -> Result<Taken<F>, io::Error> {
        let meta = SnapshotMeta {
            last_log_id: self.state.applied,
            last_membership: self.state.membership.clone(),
        };
        let snapshot = self
            .snapshots
            .write(&meta, 7, self.state.payloads.clone().into_iter())?;
        Ok(Snapshot { meta, snapshot })
    }
}

impl<C: StoreConfig<R = ()>, F: FileSystem> RaftStateMachine<C> for Machine<F> {
    type SnapshotData = SnapshotHandle<F>;
    type SnapshotBuilder = Builder<F>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<C>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut state = self.state.lock();
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(data) => state.payloads.push(data.0),
                EntryPayload::Membership(members) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<F> {
        Builder {
            state: self.state.lock().clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotHandle<F>,
    ) -> Result<(), io::Error> {
        // Another node's snapshot would arrive in blocks.
        let mut receiver = self.snapshots.receive()?;
        loop {
            let block = snapshot.read_block(receiver.bytes(), 1000)?;
            if block.is_empty() {
                break;
            }
            receiver.write_block(&block)?;
        }
        let snapshot = receiver.finish()?;
        let records = self.snapshots.open_records(&snapshot)?;
        *self.state.lock() = State {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
            payloads: records.collect::<Result<_, _>>()?,
        };
        self.store.install(&snapshot)?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Taken<F>>, io::Error> {
        let current = self.snapshots.current()?;
        Ok(current.map(|snapshot| Snapshot {
            meta: snapshot.meta().clone(),
            snapshot,
        }))
    }
}

pub fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Data(payload.into())),
    }
}
