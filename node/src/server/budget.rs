//! One budget of bytes for what all client connections hold: frames that are not complete, commands that wait,
//! answers that were not read.
//!
//! Over it a connection that holds much is read only in its turn, one at a time, and gets no further answer before it
//! has read the last one; so each goes on, and together they hold little more than the budget. What a connection holds
//! below [`GRAIN_BYTES`] is not counted: the number of connections bounds that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Counted in steps of this many bytes, so that small requests cost no shared counter.
pub(crate) const GRAIN_BYTES: u64 = 64 * 1024;

/// How often it is looked whether much was given up.
const RETURN_INTERVAL: Duration = Duration::from_secs(2);
/// Less than this is not worth while.
const RETURN_BYTES_MIN: u64 = 4 << 20;
/// So often is the allocator asked then: what one thread has freed for another takes a second time.
const RETURN_ROUNDS: u32 = 3;

/// See the module documentation.
pub(crate) struct Budget {
    bytes_max: u64,
    used: AtomicU64,
    /// Whose turn it is while the budget is used up.
    turn: Arc<Semaphore>,
}

/// What one connection holds of the budget; given back when it is dropped.
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicU64::new(0),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Bytes that all connections hold.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether it is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// Waited for in the order of coming.
    pub(crate) fn turn(&self) -> Arc<Semaphore> {
        self.turn.clone()
    }

    /// For a connection that holds nothing yet.
    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Charge {
    /// The connection holds this much now.
    pub(crate) fn set(&mut self, bytes: u64) {
        let bytes = bytes - bytes % GRAIN_BYTES;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            self.budget.used.fetch_add(more, Ordering::Relaxed);
        } else if bytes < self.bytes {
            let less = self.bytes - bytes;
            self.budget.used.fetch_sub(less, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Gives memory back to the system after connections have given up much of it, for as long as it is polled. The
/// allocator does so when it is asked for more, a second after the memory was freed, which an idle node may not do for long.
pub(crate) async fn return_memory(budget: Arc<Budget>) {
    let mut look = tokio::time::interval(RETURN_INTERVAL);
    let (mut held, mut rounds) = (0, 0);
    loop {
        look.tick().await;
        let used = budget.used();
        if used + RETURN_BYTES_MIN <= held {
            rounds = RETURN_ROUNDS;
        }
        held = used;
        if rounds > 0 {
            rounds -= 1;
            ask_for_memory();
        }
    }
}

/// On each thread, because each has a heap of its own.
fn ask_for_memory() {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    for _ in 0..threads * 2 {
        tokio::spawn(async {
            for _ in 0..2 {
                drop(std::hint::black_box(vec![
                    0u8;
                    RETURN_BYTES_MIN as usize / 4
                ]));
                tokio::task::yield_now().await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let budget = Budget::new(GRAIN_BYTES * 3);
        let (mut one, mut other) = (budget.charge(), budget.charge());
        one.set(GRAIN_BYTES * 2 + 1);
        other.set(GRAIN_BYTES - 1);
        assert_eq!(budget.used(), GRAIN_BYTES * 2);
        assert!(!budget.is_over());
        other.set(GRAIN_BYTES);
        assert!(budget.is_over());
        one.set(0);
        assert_eq!(budget.used(), GRAIN_BYTES);
        drop((one, other));
        assert_eq!(budget.used(), 0);
    }
}
