//! Connections whose other side is not known yet. They have places of their own, so that they take none from known
//! clients and nodes. When all places are taken, the oldest connection makes room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The places of one port. The places of connections whose other side is not known yet.
pub(crate) struct Strangers {
    places: usize,
    /// No connection has to make room within this time.
    patience: Duration,
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Default)]
struct Inside {
    next: u64,
    /// The oldest first.
    waiting: BTreeMap<u64, WaitingStranger>,
}

struct WaitingStranger {
    since: Instant,
    leave: CancellationToken,
}

/// A place. A connection gives it back by dropping this value when its other side becomes known.
pub(crate) struct Stranger {
    of: Arc<Strangers>,
    number: u64,
    leave: CancellationToken,
}

impl Strangers {
    /// As many places, at least one. No connection has to make room within `patience`: so silent connections keep
    /// others out only if more than `places` of them come in this time.
    pub(crate) fn new(places: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            places: places.max(1),
            patience,
            inside: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// A place for one more. Where all are taken by connections that came just now, it waits until one is
    /// given back or the oldest has had its time.
    pub(crate) async fn admit(self: &Arc<Self>) -> Stranger {
        loop {
            let wait = match self.try_admit(Instant::now()) {
                Ok(stranger) => return stranger,
                Err(wait) => wait,
            };
            tokio::select! {
                () = self.left.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn try_admit(self: &Arc<Self>, now: Instant) -> Result<Stranger, Duration> {
        let mut inside = self.inside.lock();
        if inside.waiting.len() >= self.places
            && let Some(oldest) = inside.waiting.first_entry()
        {
            let age = now.saturating_duration_since(oldest.get().since);
            if age < self.patience {
                return Err(self.patience - age);
            }
            oldest.remove().leave.cancel();
        }
        let number = inside.next;
        inside.next += 1;
        let leave = CancellationToken::new();
        let waiting = WaitingStranger {
            since: now,
            leave: leave.clone(),
        };
        inside.waiting.insert(number, waiting);
        Ok(Stranger {
            of: self.clone(),
            number,
            leave,
        })
    }
}

impl Stranger {
    /// Cancelled when the connection has to make room; never once the place was given back.
    pub(crate) fn leave(&self) -> CancellationToken {
        self.leave.clone()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.of.inside.lock().waiting.remove(&self.number);
        self.of.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn the_oldest_makes_room_once_it_has_had_its_time() {
        let strangers = Strangers::new(2, PATIENCE);
        let begin = Instant::now();
        let first = strangers.try_admit(begin).unwrap();
        let second = strangers.try_admit(begin + PATIENCE / 2).unwrap();
        let too_early = strangers.try_admit(begin + PATIENCE / 2);
        assert_eq!(too_early.err(), Some(PATIENCE / 2));
        let third = strangers.try_admit(begin + PATIENCE).unwrap();
        assert!(first.leave().is_cancelled());
        assert!(!second.leave().is_cancelled() && !third.leave().is_cancelled());
        // It ends, and takes no other connection's place with it.
        drop(first);
        assert!(strangers.try_admit(begin + PATIENCE).is_err());
    }

    #[test]
    fn who_is_known_makes_no_room() {
        let strangers = Strangers::new(1, PATIENCE);
        let begin = Instant::now();
        let known = strangers.try_admit(begin).unwrap();
        let leave = known.leave();
        drop(known);
        for later in 1..4 {
            strangers.try_admit(begin + PATIENCE * later).unwrap();
        }
        assert!(!leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_let_in_when_a_place_is_given_back() {
        let strangers = Strangers::new(1, PATIENCE);
        let first = strangers.admit().await;
        let next = strangers.admit();
        let (_next, ()) = tokio::join!(next, async { drop(first) });
    }
}
