//! A clock that stands still until a client advances it: for tests of what depends on time.
//!
//! An advance goes in steps. The clock stops at the time at which the next timer is due, goes on once that timer was
//! decided, and ends at the time that the client asked for. So a test sees what it would see if it had waited.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The last millisecond of the year 9999.
const LATEST_MS: u64 = 253_402_300_799_999;

/// A clock that stands still until it is advanced. It never goes back.
#[derive(Debug)]
pub struct ManualClock {
    hands: Mutex<Hands>,
    /// Notified when there is a way to go.
    asked: Notify,
    /// Notified when an advance has come to its end.
    arrived: Notify,
    /// One advance at a time waits for its end.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Hands {
    shows_ms: u64,
    /// Where the advances that were asked for end.
    goal_ms: u64,
    /// How many were asked for.
    asked: u64,
    /// How many of them have come to their end.
    arrived: u64,
}

impl ManualClock {
    /// A clock that shows this time, Unix milliseconds.
    #[must_use]
    pub fn new(begins_ms: u64) -> Self {
        Self {
            hands: Mutex::new(Hands {
                shows_ms: begins_ms,
                goal_ms: begins_ms,
                asked: 0,
                arrived: 0,
            }),
            asked: Notify::new(),
            arrived: Notify::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// What it shows, Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.hands.lock().shows_ms
    }

    /// What it shows, after it was set to `least_ms` if it showed less: the log of an earlier process may have
    /// come further.
    pub(crate) fn raised_ms(&self, least_ms: u64) -> u64 {
        let mut hands = self.hands.lock();
        let behind_ms = least_ms.saturating_sub(hands.shows_ms);
        hands.shows_ms += behind_ms;
        // An advance that was asked for before goes as far as it was to go.
        hands.goal_ms = hands.goal_ms.saturating_add(behind_ms);
        hands.shows_ms
    }

    /// Advances it, waits until everything that is due by then was decided, and gives the time that it then shows;
    /// `None` if that is later than the year 9999.
    ///
    /// If the caller stops waiting, the clock still goes to where the advance ends.
    pub(crate) async fn advance(&self, by_ms: u64) -> Option<u64> {
        let number = {
            let mut hands = self.hands.lock();
            let goal_ms = hands.goal_ms.checked_add(by_ms)?;
            if by_ms > 0 && goal_ms > LATEST_MS {
                return None;
            }
            hands.goal_ms = goal_ms;
            hands.asked += 1;
            hands.asked
        };
        self.asked.notify_one();
        let _turn = self.turn.lock().await;
        loop {
            {
                let hands = self.hands.lock();
                if hands.arrived >= number {
                    return Some(hands.shows_ms);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Returns once an advance was asked for.
    pub(crate) async fn wait(&self) {
        self.asked.notified().await;
    }

    /// Where the advances that were asked for end, and how many they are.
    pub(crate) fn goal(&self) -> (u64, u64) {
        let hands = self.hands.lock();
        (hands.goal_ms, hands.asked)
    }

    /// Takes the next step. Call it when nothing is due at the time that the clock shows. The step goes to the time at
    /// which the next timer is due, or to the goal. If it is there, the first `asked` advances have come to their end.
    ///
    /// Gives whether it has moved.
    pub(crate) fn step(&self, next_due_ms: Option<u64>, asked: u64) -> bool {
        let mut hands = self.hands.lock();
        if hands.shows_ms < hands.goal_ms {
            let next_ms = next_due_ms.unwrap_or(u64::MAX).max(hands.shows_ms);
            hands.shows_ms = hands.goal_ms.min(next_ms);
            return true;
        }
        if hands.arrived < asked {
            hands.arrived = asked;
            self.arrived.notify_one();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn it_steps_from_one_due_time_to_the_next_and_answers_at_its_goal() {
        let clock = ManualClock::new(1_000);
        let mut advance = Box::pin(clock.advance(500));
        assert!(advance.as_mut().now_or_never().is_none());
        let (goal_ms, asked) = clock.goal();
        assert_eq!((goal_ms, asked, clock.now_ms()), (1_500, 1, 1_000));
        assert!(clock.step(Some(1_200), asked));
        assert_eq!(clock.now_ms(), 1_200);
        assert!(clock.step(Some(1_900), asked));
        assert!(advance.as_mut().now_or_never().is_none());
        assert!(!clock.step(Some(1_900), asked));
        assert_eq!(advance.as_mut().now_or_never(), Some(Some(1_500)));
    }

    #[test]
    fn advances_add_up_and_an_abandoned_one_still_counts() {
        let clock = ManualClock::new(1_000);
        assert!(clock.advance(500).now_or_never().is_none());
        let mut second = Box::pin(clock.advance(100));
        assert!(second.as_mut().now_or_never().is_none());
        let (_, asked) = clock.goal();
        assert!(clock.step(None, asked) && !clock.step(None, asked));
        assert_eq!(second.as_mut().now_or_never(), Some(Some(1_600)));
    }

    #[test]
    fn an_advance_that_comes_before_the_log_is_read_goes_on_from_the_log() {
        let clock = ManualClock::new(1_000);
        let mut advance = Box::pin(clock.advance(500));
        assert!(advance.as_mut().now_or_never().is_none());
        assert_eq!(clock.raised_ms(4_000), 4_000);
        assert!(clock.step(None, 1) && !clock.step(None, 1));
        assert_eq!(advance.as_mut().now_or_never(), Some(Some(4_500)));
    }

    #[test]
    fn it_never_goes_back_and_stands_still_otherwise() {
        let clock = ManualClock::new(1_000);
        assert_eq!(clock.raised_ms(4_000), 4_000);
        assert_eq!(clock.raised_ms(2_000), 4_000);
        assert!(!clock.step(Some(5_000), 0));
        assert_eq!(clock.now_ms(), 4_000);
        for beyond_ms in [LATEST_MS - 3_999, u64::MAX] {
            assert_eq!(clock.advance(beyond_ms).now_or_never(), Some(None));
        }
        assert_eq!((clock.now_ms(), clock.goal()), (4_000, (4_000, 0)));
    }
}
