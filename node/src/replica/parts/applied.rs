//! The applied state: one writer (apply), many readers (proposer, reads, watches).
//!
//! The lock is held for a chunk of entries at a time by apply and for one look-up by a reader,
//! never across an await. `Applied::wait_for` lets a reader wait for an offset.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rstmdb_engine::{Compiled, Entry, State};

use super::signal::Signal;

/// A digest of the state at an offset.
pub type DigestAt = (u64, u128);

/// A digest is remembered at each multiple of this offset.
const CHECKPOINT_OFFSETS: u64 = 1_000;
/// How many are remembered.
const CHECKPOINTS_MAX: usize = 64;

/// The state machine's state and the offset up to which it was applied.
pub struct Applied {
    state: RwLock<State>,
    offset: AtomicU64,
    moved: Signal,
    checkpoints: Mutex<VecDeque<DigestAt>>,
    /// What this node compiled when it decided entries that it has still to apply, by offset.
    compiled: Mutex<VecDeque<(u64, Compiled)>>,
}

impl Applied {
    /// Starts from `state`, with its offset published.
    pub(crate) fn new(state: State) -> Self {
        let offset = AtomicU64::new(state.last_applied());
        Self {
            state: RwLock::new(state),
            offset,
            moved: Signal::default(),
            checkpoints: Mutex::default(),
            compiled: Mutex::default(),
        }
    }

    /// The state as it is now.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The state as it is now, unless something is being applied.
    pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, State>> {
        self.state.try_read()
    }

    /// The state, to apply to. `Applied::publish` must follow once the guard is dropped.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    /// The last applied offset that was published.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.load(Ordering::SeqCst)
    }

    /// Tells all waiting tasks that the state has reached `offset`.
    pub(crate) fn publish(&self, offset: u64) {
        self.offset.store(offset, Ordering::SeqCst);
        self.moved.change();
    }

    /// Remembers the digest of `state` if it has just reached a checkpoint: nodes apply in portions
    /// of different sizes, and only digests at equal offsets can be compared.
    pub(crate) fn checkpoint(&self, state: &State) {
        let offset = state.last_applied();
        if offset.is_multiple_of(CHECKPOINT_OFFSETS) {
            let mut checkpoints = self.checkpoints.lock();
            checkpoints.push_back((offset, state.digest()));
            if checkpoints.len() > CHECKPOINTS_MAX {
                checkpoints.pop_front();
            }
        }
    }

    /// The remembered digests, ascending by offset.
    pub(crate) fn checkpoints(&self) -> Vec<DigestAt> {
        self.checkpoints.lock().iter().copied().collect()
    }

    /// Forgets them: the state was replaced.
    pub(crate) fn forget_checkpoints(&self) {
        self.checkpoints.lock().clear();
    }

    /// Keeps what was compiled for the entry that is expected at this offset; they come in ascending order.
    pub(crate) fn keep_compiled(&self, offset: u64, compiled: Compiled) {
        if !compiled.is_empty() {
            self.compiled.lock().push_back((offset, compiled));
        }
    }

    /// What this node compiled for this entry, if it decided the entry. Forgets what belongs to earlier offsets.
    pub(crate) fn take_compiled(&self, offset: u64, entry: &Entry) -> Option<Compiled> {
        let mut kept = self.compiled.lock();
        let mut found = None;
        while let Some((_, compiled)) = kept.pop_front_if(|(expected, _)| *expected <= offset) {
            found = Some(compiled).filter(|compiled| compiled.covers(entry));
        }
        found
    }

    /// Forgets what was kept, because these entries did not come at the expected offsets.
    pub(crate) fn forget_compiled(&self) {
        self.compiled.lock().clear();
    }

    /// Returns once `offset` was applied here.
    pub(crate) async fn wait_for(&self, offset: u64) {
        loop {
            let moves = self.moved.count();
            if self.offset() >= offset {
                return;
            }
            self.moved.past(moves).await;
        }
    }
}
