//! Paths that drop large packets, as far as the beginning of a connection shows it: the TLS handshake has large ones.
//!
//! A handshake that hangs on an open connection is retried in small segments. If it succeeds in these, connections to
//! that address use them for a while. If it hangs in these too, large packets are not the reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::path::SMALL_FOR;

/// A handshake hangs when it gets no answer within this time. The time to connect is longer.
const HANGS_AFTER: Duration = Duration::from_millis(250);

/// Logged when small segments get through and others do not.
pub(crate) const LARGE_PACKETS: &str = "the likely cause is a path that drops large packets: check the MTU of every \
                                        link between the two nodes";
/// By address. The addresses to which large packets are lost, with the time until which this is believed.
#[derive(Default)]
pub(crate) struct Holes(Mutex<HashMap<String, Hole>>);

struct Hole {
    /// Until when connections are opened in small segments.
    until: Instant,
    /// A handshake in small segments has succeeded.
    is_certain: bool,
}

/// One connection that begins; if it is dropped without an answer, it has hung.
pub(crate) struct ConnectAttempt {
    holes: Arc<Holes>,
    addr: String,
    small: bool,
    since: Instant,
    is_over: bool,
}

impl Holes {
    /// Whether the connection that is opened now is to send small segments.
    pub(crate) fn small_segments(&self, addr: &str) -> bool {
        let holes = self.0.lock();
        let hole = holes.get(addr);
        hole.is_some_and(|hole| Instant::now() < hole.until)
    }

    /// A connection to this address is open, and its handshake begins.
    pub(crate) fn attempt(self: &Arc<Self>, addr: &str, small: bool) -> ConnectAttempt {
        ConnectAttempt {
            holes: self.clone(),
            addr: addr.to_owned(),
            small,
            since: Instant::now(),
            is_over: false,
        }
    }

    fn hung(&self, addr: &str, small: bool) {
        let now = Instant::now();
        let mut holes = self.0.lock();
        holes.retain(|_, hole| now < hole.until);
        if small {
            holes.remove(addr);
            return;
        }
        let hole = Hole {
            until: now + SMALL_FOR,
            is_certain: false,
        };
        holes.insert(addr.to_owned(), hole);
    }

    /// Whether this is the first connection that succeeded in small segments after a large one has hung.
    fn answered(&self, addr: &str) -> bool {
        let mut holes = self.0.lock();
        match holes.get_mut(addr) {
            Some(hole) => !std::mem::replace(&mut hole.is_certain, true),
            None => false,
        }
    }
}

impl ConnectAttempt {
    /// The other side has answered; `true` if that is news about the path.
    pub(crate) fn answered(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.is_over, true);
        is_first && self.small && self.holes.answered(&self.addr)
    }

    /// The connection failed for a known reason.
    pub(crate) fn failed(mut self) {
        self.is_over = true;
    }
}

impl Drop for ConnectAttempt {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= HANGS_AFTER {
            self.holes.hung(&self.addr, self.small);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: &str = "db2:7402";

    async fn hangs(holes: &Arc<Holes>) {
        let attempt = holes.attempt(ADDR, holes.small_segments(ADDR));
        tokio::time::advance(HANGS_AFTER).await;
        drop(attempt);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_handshake_that_hangs_the_next_one_is_tried_in_small_segments() {
        let holes = Arc::new(Holes::default());
        assert!(!holes.small_segments(ADDR));
        hangs(&holes).await;
        assert!(holes.small_segments(ADDR));
        assert!(!holes.small_segments("db3:7402"));
        // A successful connection stays, and it is news only once.
        assert!(holes.attempt(ADDR, true).answered());
        assert!(!holes.attempt(ADDR, true).answered());
        assert!(holes.small_segments(ADDR));
        tokio::time::advance(SMALL_FOR).await;
        assert!(!holes.small_segments(ADDR));
    }

    #[tokio::test(start_paused = true)]
    async fn where_small_segments_hang_too_or_another_reason_is_known_they_are_not_used() {
        let holes = Arc::new(Holes::default());
        hangs(&holes).await;
        hangs(&holes).await;
        assert!(!holes.small_segments(ADDR));
        let refused = holes.attempt(ADDR, false);
        tokio::time::advance(HANGS_AFTER).await;
        refused.failed();
        drop(holes.attempt(ADDR, false));
        assert!(!holes.small_segments(ADDR));
    }
}
