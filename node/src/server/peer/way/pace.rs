//! How many bytes may be in flight to a node: what arrives within a moment.
//!
//! If a connection breaks, the bytes in the buffers of a slow link are lost, and everything behind them has to wait. So
//! the window shrinks while bytes arrive late, and grows while they arrive at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::type_config::alias::InstantOf;

use crate::replica::Types;

/// The bounds of the window, in bytes, and where it begins.
const WINDOW_MIN: u64 = 64 * 1024;
const WINDOW_START: u64 = 1024 * 1024;
const WINDOW_MAX: u64 = 32 * 1024 * 1024;
/// The bounds of the bytes of entries in one message. On a link that needs longer than the silence
/// timeout for the least, nothing gets through.
const MESSAGE_MIN: u64 = 16 * 1024;
const MESSAGE_MAX: u64 = 64 * 1024;

/// The window of one node, which outlives the streams to it.
#[derive(Debug)]
pub(crate) struct SendWindow(AtomicU64);

impl Default for SendWindow {
    fn default() -> Self {
        Self(AtomicU64::new(WINDOW_START))
    }
}

impl SendWindow {
    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        let bytes = bytes.clamp(WINDOW_MIN, WINDOW_MAX);
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of entries in one message: several messages fill the window.
    pub(crate) fn message_bytes(&self) -> usize {
        let bytes = (self.bytes() / 4).clamp(MESSAGE_MIN, MESSAGE_MAX);
        // At most MESSAGE_MAX.
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Nothing has arrived for long.
    pub(crate) fn close(&self) {
        self.set(WINDOW_MIN);
    }
}

/// What one stream has in flight.
pub(crate) struct Flight<T: Types> {
    window: Arc<SendWindow>,
    /// Bytes that arrive within this time arrive at once. Bytes that take more than twice this time are late.
    prompt: Duration,
    sent: u64,
    arrived: u64,
    /// For each message that has not arrived: where it ends, and when it was sent.
    messages: VecDeque<(u64, InstantOf<T>)>,
}

impl<T: Types> Flight<T> {
    pub(crate) fn new(window: Arc<SendWindow>, silence_timeout: Duration) -> Self {
        Self {
            window,
            prompt: silence_timeout / 4,
            sent: 0,
            arrived: 0,
            messages: VecDeque::new(),
        }
    }

    /// Whether the next message may be sent.
    pub(crate) fn may_send(&self) -> bool {
        self.has_landed() || self.sent - self.arrived < self.window.bytes()
    }

    /// Whether everything that was sent has arrived.
    pub(crate) fn has_landed(&self) -> bool {
        self.sent == self.arrived
    }

    /// The position where the bytes sent so far end.
    pub(crate) fn end(&self) -> u64 {
        self.sent
    }

    pub(crate) fn sent(&mut self, bytes: u64, now: InstantOf<T>) {
        if bytes > 0 {
            self.sent += bytes;
            self.messages.push_back((self.sent, now));
        }
    }

    /// Everything up to `end` has arrived; returns how many of these bytes are news.
    pub(crate) fn arrived(&mut self, end: u64, now: InstantOf<T>) -> u64 {
        let end = end.min(self.sent);
        let news = end.saturating_sub(self.arrived);
        if news == 0 {
            return 0;
        }
        let under_way = self.sent - self.arrived;
        let mut took = None;
        while let Some((last, at)) = self.messages.front()
            && *last <= end
        {
            took = Some(now - *at);
            self.messages.pop_front();
        }
        self.arrived = end;
        let window = self.window.bytes();
        match took {
            Some(took) if took > self.prompt * 2 => self.window.set(window / 2),
            // A window that is not used says nothing about a larger one.
            Some(took) if took <= self.prompt && under_way >= window / 2 => {
                self.window.set(window * 2);
            }
            _ => {}
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use openraft::type_config::TypeConfigExt;

    use super::*;
    use crate::server::product::Product;

    const SILENCE: Duration = Duration::from_secs(2);

    fn flight() -> (Arc<SendWindow>, Flight<Product>, InstantOf<Product>) {
        let window = Arc::new(SendWindow::default());
        let flight = Flight::new(window.clone(), SILENCE);
        (window, flight, Product::now())
    }

    #[test]
    fn as_much_is_under_way_as_the_window_has() {
        let (_, mut flight, now) = flight();
        while flight.may_send() {
            flight.sent(MESSAGE_MAX, now);
        }
        assert_eq!(flight.end(), WINDOW_START);
        flight.arrived(MESSAGE_MAX, now + SILENCE / 3);
        assert!(flight.may_send());
    }

    #[test]
    fn the_window_grows_while_it_is_filled_and_what_is_sent_arrives_at_once() {
        let (window, mut flight, now) = flight();
        flight.sent(WINDOW_START, now);
        assert_eq!(flight.arrived(WINDOW_START, now), WINDOW_START);
        assert_eq!(window.bytes(), 2 * WINDOW_START);
        flight.sent(1000, now);
        flight.arrived(flight.end(), now);
        assert_eq!(window.bytes(), 2 * WINDOW_START);
        assert!(flight.has_landed());
    }

    #[test]
    fn the_window_and_the_messages_shrink_while_what_is_sent_arrives_late() {
        let (window, mut flight, now) = flight();
        for _ in 0..10 {
            flight.sent(MESSAGE_MAX, now);
            flight.arrived(flight.end(), now + SILENCE);
        }
        assert_eq!(window.bytes(), WINDOW_MIN);
        assert_eq!(window.message_bytes() as u64, MESSAGE_MIN);
        assert!(flight.may_send());
    }

    #[test]
    fn what_arrived_is_news_once_and_never_more_than_was_sent() {
        let (_, mut flight, now) = flight();
        flight.sent(10, now);
        assert_eq!(flight.arrived(7, now), 7);
        assert_eq!(flight.arrived(5, now), 0);
        assert_eq!(flight.arrived(100, now), 3);
        assert!(flight.has_landed());
    }
}
