//! What is known of the way to one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;

use super::pace::SendWindow;
use crate::replica::Types;
use crate::server::peer::wire;

/// How long connections are opened in small segments after large ones did not get through.
pub(crate) const SMALL_FOR: Duration = Duration::from_secs(600);

/// How long the silence of a connection counts: a node that was gone meanwhile would take longer to come back.
const SILENT_FOR: Duration = Duration::from_secs(1);
/// The first wait before something is sent again; it doubles each time.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest of these waits.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// The connection, the round trip and the window of one node.
#[derive(Default)]
pub(crate) struct PeerPath<T: Types> {
    pub(crate) window: Arc<SendWindow>,
    /// Bytes of entries that have arrived there.
    taken: AtomicU64,
    /// Grows when something has arrived there, even if only the next stream learns of it.
    progress: AtomicU64,
    /// How often nothing arrived although heartbeats or other small calls were answered.
    stalls: AtomicU64,
    /// How often another node has answered in place of this one.
    turn: AtomicU64,
    known: Mutex<PathFacts<T>>,
}

#[derive(Default)]
struct PathFacts<T: Types> {
    /// When a heartbeat was answered last.
    beat: Option<InstantOf<T>>,
    /// Which entry had arrived in part when the last stream began, and how much of it.
    held: Option<(Option<wire::LogId>, u64)>,
    /// When a connection with forwarded commands fell silent last.
    silent: Option<InstantOf<T>>,
    /// Until when connections are opened in small segments.
    small_until: Option<InstantOf<T>>,
}

impl<T: Types> PeerPath<T> {
    /// Which of the node's addresses is tried first.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Another node has answered over a connection that was opened in this turn. Such a connection may have carried
    /// several calls, but only one turn ends.
    pub(crate) fn misdirected(&self, turn: u64) {
        let ended =
            self.turn
                .compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        // Another call was faster.
        let _ = ended;
    }

    pub(crate) fn beat(&self) {
        self.known.lock().beat = Some(T::now());
    }

    pub(crate) fn taken(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The bytes of an entry that the other side has at the beginning of a stream. A connection that broke soon may
    /// have brought some of them without any report.
    pub(crate) fn held(&self, held: Option<&wire::HeldEntry>) {
        let now = held.map(|held| (held.log_id, held.bytes));
        let before = std::mem::replace(&mut self.known.lock().held, now);
        let is_more = match (now, before) {
            (Some((entry, now)), Some((same, before))) if entry == same => now > before,
            (now, _) => now.is_some(),
        };
        if is_more {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long to wait before each attempt to send something again: longer each time, and not at all if the last
    /// connection has brought something. After the longest wait it begins again with the first: if connections never
    /// live that long, a shorter wait lets one of them bring something.
    pub(crate) fn waits(self: Arc<Self>) -> impl Iterator<Item = Duration> + Send + 'static {
        let mut seen = self.progress.load(Ordering::Relaxed);
        let mut next = WAIT_MIN;
        std::iter::from_fn(move || {
            let progress = self.progress.load(Ordering::Relaxed);
            if progress != seen {
                seen = progress;
                next = WAIT_MIN;
                return Some(Duration::ZERO);
            }
            let wait = next;
            next = if wait < WAIT_MAX { wait * 2 } else { WAIT_MIN };
            Some(wait)
        })
    }

    /// Nothing has arrived for `silence`. Returns whether heartbeats were answered meanwhile: then the path drops only
    /// large packets.
    pub(crate) fn stalled(&self, silence: Duration) -> bool {
        self.window.close();
        let now = T::now();
        let mut known = self.known.lock();
        let beats = known.beat.is_some_and(|at| now - at < silence / 2);
        if beats {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            known.small_until = Some(now + SMALL_FOR);
        }
        beats
    }

    /// A connection with forwarded commands fell silent and broke.
    pub(crate) fn fell_silent(&self) {
        self.known.lock().silent = Some(T::now());
    }

    /// A call was answered. Returns whether the last connection fell silent just before: then small packets get
    /// through, and large ones do not.
    pub(crate) fn loses_what_is_large(&self) -> bool {
        let now = T::now();
        let mut known = self.known.lock();
        let silent = known.silent.take();
        let is_small = known.small_until.is_some_and(|until| now < until);
        let loses = !is_small && silent.is_some_and(|at| now - at < SILENT_FOR);
        if loses {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            known.small_until = Some(now + SMALL_FOR);
        }
        loses
    }

    /// Whether the connection that is opened now is to send small segments.
    pub(crate) fn small_segments(&self) -> bool {
        let until = self.known.lock().small_until;
        until.is_some_and(|until| T::now() < until)
    }

    pub(crate) fn bytes_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn stall_count(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::product::Product;

    fn held(index: u64, bytes: u64) -> wire::HeldEntry {
        wire::HeldEntry {
            log_id: Some(wire::LogId { term: 1, index }),
            entry: None,
            bytes,
        }
    }

    #[test]
    fn the_calls_of_one_connection_end_one_turn() {
        let path = PeerPath::<Product>::default();
        for (turn, next) in [(0, 1), (0, 1), (1, 2), (0, 2), (1, 2), (2, 3)] {
            path.misdirected(turn);
            assert_eq!(path.turn(), next);
        }
    }

    #[test]
    fn a_node_is_tried_again_at_once_after_a_connection_that_has_brought_something() {
        let path = Arc::new(PeerPath::<Product>::default());
        let mut waits = path.clone().waits().map(|wait| wait.as_millis());
        let mut next = |count| waits.by_ref().take(count).collect::<Vec<_>>();
        assert_eq!(next(5), [50, 100, 200, 400, 50]);
        path.taken(10);
        assert_eq!(next(3), [0, 50, 100]);
        // Bytes that arrived without a report count too, but only if they are more than the last time.
        for (said, waited) in [
            (Some(held(9, 100)), [0, 50]),
            (Some(held(9, 100)), [100, 200]),
            (Some(held(9, 101)), [0, 50]),
            (Some(held(10, 5)), [0, 50]),
            (None, [100, 200]),
        ] {
            path.held(said.as_ref());
            assert_eq!(next(2), waited, "{said:?}");
        }
    }
}
