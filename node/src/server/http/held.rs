//! Answers of one connection that its client has not read, and when the node gives the client up: while other
//! connections wait for memory, a client that holds much memory has to keep reading, as in RCP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::server::clients::budget::{MemoryBudget, ReservedRoom};
use crate::server::clients::session::given_up_at;

/// Interval between checks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The answer that a connection holds. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Option<Unread>>>);

#[derive(Clone, Copy)]
struct Unread {
    bytes: usize,
    since: Instant,
    /// When the client last read something.
    last: Instant,
}

/// An answer, and the memory reserved for it; given back when it is dropped.
pub(crate) struct HeldBytes {
    held: Held,
    room: ReservedRoom,
}

impl Held {
    /// Resolves when the node has to give the client up.
    pub(crate) async fn stalled(&self, budget: &MemoryBudget) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let unread = *self.0.lock();
            if let (Some(unread), Some(pressed)) = (unread, budget.pressed_since())
                && given_up_at(pressed, unread.since, unread.last, unread.bytes) <= Instant::now()
            {
                return;
            }
        }
    }
}

impl HeldBytes {
    pub(crate) fn new(held: &Held, room: ReservedRoom, bytes: usize) -> Self {
        let now = Instant::now();
        *held.0.lock() = Some(Unread {
            bytes,
            since: now,
            last: now,
        });
        Self {
            held: held.clone(),
            room,
        }
    }

    /// The client has read something; `left` bytes are left.
    pub(crate) fn moved(&mut self, left: usize) {
        if let Some(unread) = &mut *self.held.0.lock() {
            unread.last = Instant::now();
        }
        if left == 0 {
            self.room.settle(0, false);
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        *self.held.0.lock() = None;
    }
}
