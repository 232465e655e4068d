//! The clock that stands still until it is advanced, where the host has one.

use super::Replica;
use crate::replica::types::Types;

impl<T: Types> Replica<T> {
    /// What that clock shows, Unix milliseconds; `None` if this node's clock goes by itself.
    #[must_use]
    pub fn manual_now_ms(&self) -> Option<u64> {
        let manual = self.parts.clock.clocks.manual()?;
        Some(manual.now_ms())
    }

    /// Advances that clock and waits until every timer that is due by then was decided. Gives the time that it then
    /// shows; `None` if this node's clock goes by itself.
    pub async fn advance_clock(&self, by_ms: u64) -> Option<u64> {
        let manual = self.parts.clock.clocks.manual()?.clone();
        Some(manual.advance(by_ms).await)
    }
}
