//! What is known of the way to one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pace::Window;

/// For so long connections are opened in small segments after large ones did not get through.
const SMALL_FOR: Duration = Duration::from_secs(600);

/// See the module documentation.
#[derive(Default)]
pub(super) struct Path {
    pub(super) window: Arc<Window>,
    /// Bytes of entries that have arrived there.
    taken: AtomicU64,
    /// How often nothing arrived although heartbeats did.
    stalls: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When a heartbeat was answered last.
    beat: Option<Instant>,
    /// Until when connections are opened in small segments.
    small_until: Option<Instant>,
}

impl Path {
    pub(super) fn beat(&self) {
        self.known.lock().beat = Some(Instant::now());
    }

    pub(super) fn taken(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing has arrived for `silence`; whether heartbeats were answered meanwhile, which takes a
    /// path that drops only what is large.
    pub(super) fn stalled(&self, silence: Duration) -> bool {
        self.window.close();
        let now = Instant::now();
        let mut known = self.known.lock();
        let beats = known.beat.is_some_and(|at| now - at < silence / 2);
        if beats {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            known.small_until = Some(now + SMALL_FOR);
        }
        beats
    }

    /// Whether the connection that is opened now is to send small segments.
    pub(super) fn small_segments(&self) -> bool {
        let until = self.known.lock().small_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn bytes_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn stall_count(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }
}
