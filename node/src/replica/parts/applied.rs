//! The applied state: one writer (apply), many readers (proposer, reads, watches).
//!
//! The lock is held for a chunk of entries at a time by apply and for one look-up by a reader,
//! never across an await. `Applied::wait_for` lets a reader wait for an offset.

pub(crate) mod decided;
pub(crate) mod traced;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rstmdb_engine::State;
use rstmdb_engine::chain::{Chain, Head};

use super::invariants::{BrokenInvariant, assert_sound, ensure};
use super::signal::Signal;
use decided::DecidedEntries;
use traced::TracedEntries;

/// A digest of the state at an offset.
pub type DigestAt = (u64, u128);
/// The head of the chain over the log at an offset.
pub type HeadAt = (u64, Head);

/// What nodes compare at an offset.
#[derive(Clone, Copy)]
struct Checkpoint {
    digest: DigestAt,
    head: Option<Head>,
}

/// A digest is remembered at each multiple of this offset.
const CHECKPOINT_OFFSETS: u64 = 1_000;
/// How many are remembered.
const CHECKPOINTS_MAX: usize = 64;

/// The state machine's state and the offset up to which it was applied.
pub struct Applied {
    state: RwLock<State>,
    offset: AtomicU64,
    moved: Signal,
    checkpoints: Mutex<VecDeque<Checkpoint>>,
    /// What this node has decided and has still to apply.
    pub(crate) decided: DecidedEntries,
    /// Of these, the ones whose requests are traced.
    pub(crate) traced: TracedEntries,
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
            decided: DecidedEntries::default(),
            traced: TracedEntries::default(),
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
        assert_sound(|| {
            let (before, reached) = (self.offset(), self.read().last_applied());
            ensure(before <= offset && offset == reached, || {
                format!("offset {offset} is published behind {before}, the state is at {reached}")
            })
        });
        self.offset.store(offset, Ordering::SeqCst);
        self.moved.change();
    }

    /// Takes the index up to which the log is on disk, for the entries that are traced.
    pub(crate) fn flushes(self: &Arc<Self>) -> Arc<dyn Fn(u64) + Send + Sync> {
        let applied = self.clone();
        Arc::new(move |index| applied.traced.flushed(index))
    }

    /// Forgets what this node has decided and not applied: nothing is in flight any more.
    pub(crate) fn forget_in_flight(&self) {
        self.decided.forget();
        self.traced.forget();
    }

    /// Remembers the digest of `state` and the head of its chain if it has just reached a checkpoint: nodes apply in portions
    /// of different sizes, and only digests at equal offsets can be compared.
    pub(crate) fn checkpoint(&self, state: &State) {
        let offset = state.last_applied();
        if offset.is_multiple_of(CHECKPOINT_OFFSETS) {
            let mut checkpoints = self.checkpoints.lock();
            checkpoints.push_back(Checkpoint {
                digest: (offset, state.digest()),
                head: state.chain().map(Chain::head),
            });
            if checkpoints.len() > CHECKPOINTS_MAX {
                checkpoints.pop_front();
            }
        }
    }

    /// The remembered digests, ascending by offset.
    pub(crate) fn checkpoints(&self) -> Vec<DigestAt> {
        let checkpoints = self.checkpoints.lock();
        checkpoints.iter().map(|at| at.digest).collect()
    }

    /// The remembered heads of the chain, ascending by offset.
    pub(crate) fn heads(&self) -> Vec<HeadAt> {
        let checkpoints = self.checkpoints.lock();
        let heads = checkpoints.iter();
        heads
            .filter_map(|at| Some((at.digest.0, at.head?)))
            .collect()
    }

    /// Forgets them: the state was replaced.
    pub(crate) fn forget_checkpoints(&self) {
        self.checkpoints.lock().clear();
    }

    /// Checks the offset and the digests against the state and each other, and what was decided.
    pub(crate) fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        // The state is asked last, and no lock is held meanwhile: apply may go on, and never goes back.
        let (checkpoints, offset) = (self.checkpoints(), self.offset());
        let (last_applied, chained) = {
            let state = self.read();
            let chained = state.chain().map(Chain::last);
            (state.last_applied(), chained)
        };
        ensure(chained.is_none_or(|last| last == last_applied), || {
            format!("the chain ends at {chained:?}, the state is at {last_applied}")
        })?;
        ensure(offset <= last_applied, || {
            format!("offset {offset} is published, the state is at {last_applied}")
        })?;
        let offsets: Vec<u64> = checkpoints.iter().map(|(offset, _)| *offset).collect();
        let is_checkpoint = |offset: &u64| offset.is_multiple_of(CHECKPOINT_OFFSETS);
        let ascends = offsets.is_sorted_by(|one, next| one < next);
        let is_applied = offsets.last().is_none_or(|last| *last <= last_applied);
        let are_few = offsets.len() <= CHECKPOINTS_MAX;
        let is_right = ascends && is_applied && are_few && offsets.iter().all(is_checkpoint);
        ensure(is_right, || {
            format!("digests are remembered of {offsets:?}, the state is at {last_applied}")
        })?;
        self.decided.check_invariants()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_ascend_and_nothing_is_published_that_is_not_applied() {
        let applied = Applied::new(State::new());
        for offset in 1..=2 * CHECKPOINT_OFFSETS {
            let mut state = applied.write();
            state.skip(offset);
            applied.checkpoint(&state);
        }
        applied.publish(2 * CHECKPOINT_OFFSETS);
        assert_eq!(applied.checkpoints().len(), 2);
        assert_eq!(applied.check_invariants(), Ok(()));
        let twice = applied.read().clone();
        applied.checkpoint(&twice);
        assert!(applied.check_invariants().is_err());
        applied.forget_checkpoints();
        assert_eq!(applied.check_invariants(), Ok(()));
        applied.offset.fetch_add(1, Ordering::SeqCst);
        assert!(applied.check_invariants().is_err());
    }
}
