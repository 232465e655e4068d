//! Warnings about other nodes, each only once in a while: a refused node retries many times a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The same warning of the same node is logged at most once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Different warnings remembered for [`LOG_INTERVAL`].
const LOGGED_MAX: usize = 1024;

/// Decides whether a warning about another node is due again.
#[derive(Default)]
pub(crate) struct Warnings {
    /// When, by the node and the reason.
    logged: Mutex<HashMap<(String, String), Instant>>,
}

impl Warnings {
    /// Logs a warning, unless the same one was logged a moment ago.
    pub(crate) fn warn(&self, peer: &str, said: &'static str, reason: &str) {
        let now = Instant::now();
        let mut logged = self.logged.lock();
        logged.retain(|_, at| now.duration_since(*at) < LOG_INTERVAL);
        let key = (peer.to_owned(), reason.to_owned());
        if logged.contains_key(&key) || logged.len() >= LOGGED_MAX {
            return;
        }
        logged.insert(key, now);
        drop(logged);
        tracing::warn!(peer, reason, "{said}");
    }
}
