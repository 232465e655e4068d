//! Answers of one connection that its client has not read, and when the node gives the client up: while other
//! connections wait for memory, a client that holds much memory has to keep reading, as in RCP. The end of a live
//! stream has to be read even if nobody waits: nothing follows it that would show that its client is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::server::clients::budget::{MemoryBudget, ReservedRoom};
use crate::server::clients::session::{STALL_MAX, given_up_at};

/// Interval between checks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The answer that a connection holds. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Option<Unread>>>);

#[derive(Clone)]
struct Unread {
    bytes: usize,
    since: Instant,
    /// When the client last read something.
    last: Instant,
    /// Of a live stream: the session that it comes from.
    session: Option<AbortHandle>,
}

impl Unread {
    fn new(bytes: usize, session: Option<AbortHandle>) -> Self {
        let now = Instant::now();
        Self {
            bytes,
            since: now,
            last: now,
            session,
        }
    }

    /// When the node gives the client up, and why. `pressed`: since when other connections wait.
    fn given_up(&self, pressed: Option<Instant>) -> Option<(Instant, &'static str)> {
        if self.session.as_ref().is_some_and(AbortHandle::is_finished) {
            let why = "its stream has ended, and its client does not read the end";
            return Some((self.last + STALL_MAX, why));
        }
        let why = "its client reads an answer too slowly while other connections wait for memory \
                   (network.buffers_max_mb)";
        let at = given_up_at(pressed?, self.since, self.last, self.bytes);
        Some((at, why))
    }
}

/// An answer, and the memory reserved for it; given back when it is dropped.
pub(crate) struct HeldBytes {
    held: Held,
    room: ReservedRoom,
}

impl Held {
    /// Resolves, with the reason, when the node has to give the client up.
    pub(crate) async fn stalled(&self, budget: &MemoryBudget) -> &'static str {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let unread = self.0.lock().clone();
            let given_up = unread.and_then(|unread| unread.given_up(budget.pressed_since()));
            if let Some((at, why)) = given_up
                && at <= Instant::now()
            {
                return why;
            }
        }
    }

    /// A live stream has ended: what is left of it has to be read soon.
    pub(crate) fn stream_ended(&self, session: AbortHandle) {
        *self.0.lock() = Some(Unread::new(0, Some(session)));
    }
}

impl HeldBytes {
    /// `session`: of a piece of a live stream, the session that it comes from.
    pub(crate) fn new(
        held: &Held,
        room: ReservedRoom,
        bytes: usize,
        session: Option<AbortHandle>,
    ) -> Self {
        *held.0.lock() = Some(Unread::new(bytes, session));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_last_piece_of_a_stream_has_to_be_read_though_nobody_waits() {
        let budget = MemoryBudget::new(1 << 20);
        let running = tokio::spawn(std::future::pending::<()>());
        let held = Held::default();
        let piece = HeldBytes::new(&held, budget.room(), 10, Some(running.abort_handle()));
        let unread = held.0.lock().clone().unwrap();
        assert_eq!(unread.given_up(None), None);
        let pressed = Instant::now();
        assert!(unread.given_up(Some(pressed)).is_some());
        running.abort();
        assert!(running.await.is_err());
        let (at, _) = unread.given_up(None).unwrap();
        assert_eq!(at, unread.last + STALL_MAX);
        drop(piece);
        assert!(held.0.lock().is_none());
    }
}
