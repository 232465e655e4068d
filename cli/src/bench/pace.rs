//! The moments of an open loop. They are fixed before the run, whatever the server does.
//!
//! One thread waits for the moments and lets the workers send. If all workers wait for answers, a moment passes without
//! a request. The next free worker makes up for it, and the latency counts from the moment that was intended. So if the
//! server stalls, the latency of every request that was due meanwhile shows it, not only that of the requests that the
//! server had received.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::load::{BenchLoad, MeasuredWindow};

/// The shortest pause of the thread that waits: shorter ones would cost a core at high rates.
const PAUSE_MIN: Duration = Duration::from_micros(50);
/// The longest, so that it notices the end of an interrupted run.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long after the window requests are sent whose moment was within it.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Lets the threads of a load send at the right moments.
pub(super) struct SendPace {
    rate: u32,
    /// For each thread of the load, the moments that have come and that no worker has taken.
    due: Vec<Arc<Semaphore>>,
}

impl SendPace {
    /// The pace of this load, if it has one.
    pub fn of(load: &BenchLoad) -> Option<SendPace> {
        let due = || (0..load.threads).map(|_| Arc::new(Semaphore::new(0)));
        load.rate.map(|rate| SendPace {
            rate,
            due: due().collect(),
        })
    }

    /// Waits for one moment after the other until the window ends, then until the workers have taken all of them.
    pub fn run(&self, load: &BenchLoad, window: MeasuredWindow) {
        let threads = self.due.len() as u64;
        let all = due_before(window.until - window.begun, self.rate);
        let mut released = 0;
        while released < all && !load.is_stopped() {
            let due = due_by(window.begun.elapsed(), self.rate).min(all);
            for (thread, semaphore) in self.due.iter().enumerate() {
                let new =
                    share(due, thread as u64, threads) - share(released, thread as u64, threads);
                semaphore.add_permits(usize::try_from(new).unwrap_or(Semaphore::MAX_PERMITS));
            }
            released = due;
            let next = window.begun + moment(released, self.rate);
            let pause = next.saturating_duration_since(Instant::now());
            thread::sleep(pause.clamp(PAUSE_MIN, PAUSE_MAX));
        }
        let are_late = || self.due.iter().any(|due| due.available_permits() > 0);
        while are_late() && window.until.elapsed() < LATE_MAX && !load.is_stopped() {
            thread::sleep(PAUSE_MIN);
        }
        for semaphore in &self.due {
            semaphore.close();
        }
    }

    /// The moments of one thread of the load.
    pub fn ticks(&self, thread: u32, window: MeasuredWindow) -> Ticks {
        Ticks {
            begun: window.begun,
            until: window.until,
            rate: self.rate,
            thread: u64::from(thread),
            threads: self.due.len() as u64,
            due: self.due[thread as usize].clone(),
            taken: Cell::new(0),
        }
    }
}

/// The moments of one thread, which its workers share.
pub(super) struct Ticks {
    begun: Instant,
    until: Instant,
    rate: u32,
    thread: u64,
    threads: u64,
    due: Arc<Semaphore>,
    taken: Cell<u64>,
}

impl Ticks {
    /// Waits until the next moment has come, and returns it; `None` at the end.
    pub async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let taken = self.taken.replace(self.taken.get() + 1);
        Some(self.at(taken))
    }

    fn at(&self, number: u64) -> Instant {
        self.begun + moment(number * self.threads + self.thread, self.rate)
    }

    /// The moments that have passed without a request: no worker became free in time.
    pub fn missed(&self) -> impl Iterator<Item = Instant> {
        let due = due_before(self.until - self.begun, self.rate);
        let due = share(due, self.thread, self.threads);
        (self.taken.get()..due).map(|number| self.at(number))
    }
}

/// The moment of a number, counted from 0, after the beginning.
fn moment(number: u64, rate: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How many moments are at or before this time after the beginning.
fn due_by(elapsed: Duration, rate: u32) -> u64 {
    let number = elapsed.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(number).unwrap_or(u64::MAX - 1) + 1
}

/// How many moments are before this time after the beginning.
fn due_before(elapsed: Duration, rate: u32) -> u64 {
    let number = (elapsed.as_nanos() * u128::from(rate)).div_ceil(1_000_000_000);
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// How many of the first `count` moments belong to one thread. The threads take turns.
fn share(count: u64, thread: u64, threads: u64) -> u64 {
    (count + threads - 1 - thread) / threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_evenly_spaced_and_none_is_lost_over_a_long_time() {
        assert_eq!(moment(0, 3), Duration::ZERO);
        assert_eq!(moment(3, 3), Duration::from_secs(1));
        assert_eq!(moment(1_000, 1_000), Duration::from_secs(1));
        for rate in [1, 3, 7, 1_000, 999_983] {
            let hour = Duration::from_secs(3_600);
            assert_eq!(due_by(hour, rate), u64::from(rate) * 3_600 + 1);
            assert_eq!(due_before(hour, rate), u64::from(rate) * 3_600);
            // A moment is due when it has come, and not before.
            for number in [0, 1, 2, 10, 4_711] {
                let at = moment(number, rate) + Duration::from_nanos(1);
                assert!(due_by(at, rate) > number, "{number} at {rate}/s");
            }
        }
    }

    #[test]
    fn each_moment_belongs_to_one_thread() {
        for threads in 1..=4 {
            for count in 0..20 {
                let shares = (0..threads).map(|thread| share(count, thread, threads));
                assert_eq!(shares.sum::<u64>(), count, "{threads} threads");
            }
        }
        assert_eq!(share(1, 0, 3), 1);
        assert_eq!(share(1, 2, 3), 0);
    }
}
