//! The clock that stands still until it is advanced, where the host has one.

use super::Replica;
use crate::replica::types::Types;

impl<T: Types> Replica<T> {
    /// What that clock shows, Unix milliseconds; `None` if this node's clock goes by itself.
    #[must_use]
    pub fn manual_now_ms(&self) -> Option<u64> {
        self.parts.clock.clocks.manual()?;
        // Not the clock itself: the log of an earlier process may have come further.
        Some(self.parts.clock.now_ms())
    }

    /// Advances that clock and waits until everything that is due by then was decided. Gives the time that it then
    /// shows; `None` if this node's clock goes by itself, or cannot show such a time.
    pub async fn advance_clock(&self, by_ms: u64) -> Option<u64> {
        let manual = self.parts.clock.clocks.manual()?.clone();
        manual.advance(by_ms).await
    }
}
