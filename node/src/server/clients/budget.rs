//! One budget of bytes for what all client connections hold: frames that are not complete, commands that wait,
//! answers that were not read.
//!
//! A connection reserves bytes before it holds them. What it holds below [`GRAIN_BYTES`] is free: the number of
//! connections bounds that. Where the budget is used up, connections get bytes in the order in which they asked for
//! them, as other connections give theirs back. Meanwhile the node closes connections that hold bytes for a client that
//! stands still (see the session's `buffers`), so that each reservation is granted in the end.
//!
//! One case could block this: connections that hold requests, and can give back nothing before they have room for the
//! answers. So one connection at a time has the *turn*, and may exceed the budget by [`TURN_GRAINS`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Bytes are reserved in steps of this many, so that small requests cost no shared counter.
pub(crate) const GRAIN_BYTES: usize = 64 * 1024;
/// How far the connection that has the turn may go beyond the budget: a request and its answer, and what it holds
/// besides.
const TURN_GRAINS: u32 = 33 * 16;
/// What a busy connection may keep reserved beyond what it holds, so that it need not ask for each request.
const KEPT_GRAINS: u32 = 16;

/// Interval between checks whether connections have given back much.
const RETURN_INTERVAL: Duration = Duration::from_secs(2);
/// Giving back less than this is not worth the work.
const RETURN_BYTES_MIN: u64 = 4 << 20;
/// How often the allocator is asked after that: memory that one thread has freed for another needs a second request.
const RETURN_ROUNDS: u32 = 3;

/// The bytes that all client connections may hold together, and who waits for them.
pub(crate) struct MemoryBudget {
    grains_max: u32,
    free: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    /// How many connections wait, readable without a lock.
    waiting: AtomicUsize,
    pressure: Mutex<Pressure>,
}

/// The connections that wait for bytes of the budget.
#[derive(Default)]
struct Pressure {
    waiting: usize,
    since: Option<Instant>,
}

/// What one connection has reserved of the budget; given back when it is dropped.
pub(crate) struct ReservedRoom {
    budget: Arc<MemoryBudget>,
    grains: u32,
    wait: Option<Wait>,
    turn: Option<OwnedSemaphorePermit>,
}

/// A place in the queue for more.
struct Wait {
    budget: Arc<MemoryBudget>,
    grains: u32,
    room: PollSemaphore,
    turn: Option<PollSemaphore>,
}

impl MemoryBudget {
    /// A budget of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        let grains = bytes_max / GRAIN_BYTES as u64;
        let grains_max = u32::try_from(grains).unwrap_or(u32::MAX);
        Arc::new(Self {
            grains_max,
            free: Arc::new(Semaphore::new(grains_max as usize)),
            turn: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            pressure: Mutex::default(),
        })
    }

    /// Bytes that all connections have reserved.
    pub(crate) fn used(&self) -> u64 {
        let grains = (self.grains_max as usize).saturating_sub(self.free.available_permits());
        grains as u64 * GRAIN_BYTES as u64
    }

    /// Since when connections have been waiting for bytes; `None` while none does.
    pub(crate) fn pressed_since(&self) -> Option<Instant> {
        if self.is_pressed() {
            self.pressure().since
        } else {
            None
        }
    }

    /// Whether connections wait for bytes.
    pub(crate) fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// For a connection that holds nothing yet.
    pub(crate) fn room(self: &Arc<Self>) -> ReservedRoom {
        ReservedRoom {
            budget: self.clone(),
            grains: 0,
            wait: None,
            turn: None,
        }
    }

    fn pressure(&self) -> MutexGuard<'_, Pressure> {
        // Two fields that are set together: a panic elsewhere does not spoil them.
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn grains_of(bytes: usize) -> u32 {
    u32::try_from(bytes / GRAIN_BYTES).unwrap_or(u32::MAX)
}

impl ReservedRoom {
    /// Reserves what is missing to hold `bytes` in all. `false`: the budget has too little, and the task is woken when
    /// there is more. `or_turn`: the connection can give back what it holds only by going on, so it may exceed the
    /// budget when it has the turn.
    pub(crate) fn reserve(&mut self, cx: &mut Context<'_>, bytes: usize, or_turn: bool) -> bool {
        let has_room = self.try_reserve(cx, bytes, or_turn);
        self.check_invariants();
        has_room
    }

    fn try_reserve(&mut self, cx: &mut Context<'_>, bytes: usize, or_turn: bool) -> bool {
        // A connection that has reserved the whole budget may hold anything: no other could give it more.
        let wanted = grains_of(bytes).min(self.budget.grains_max);
        loop {
            let missing = wanted.saturating_sub(self.grains);
            if missing == 0 || (or_turn && self.turn.is_some() && missing <= TURN_GRAINS) {
                return true;
            }
            let free = &self.budget.free;
            if self.wait.is_none()
                && let Ok(permit) = free.try_acquire_many(missing)
            {
                permit.forget();
                self.grains += missing;
                continue;
            }
            let wait = self
                .wait
                .get_or_insert_with(|| Wait::new(&self.budget, missing));
            if let Poll::Ready(permit) = wait.room.poll_acquire_many(cx, wait.grains) {
                if let Some(permit) = permit {
                    permit.forget();
                    self.grains += wait.grains;
                }
                self.wait = None;
                continue;
            }
            if !or_turn || missing > TURN_GRAINS {
                wait.turn = None;
                return false;
            }
            let turn = self.budget.turn.clone();
            let turn = wait.turn.get_or_insert_with(|| PollSemaphore::new(turn));
            match turn.poll_acquire(cx) {
                Poll::Ready(permit) => self.turn = permit,
                Poll::Pending => return false,
            }
        }
    }

    /// Gives up its place in the queue.
    pub(crate) fn stop_waiting(&mut self) {
        self.wait = None;
    }

    /// Gives back what is not needed for holding `bytes`; a busy connection keeps a little, and one that waits for more
    /// keeps what it has.
    pub(crate) fn settle(&mut self, bytes: usize, is_busy: bool) {
        let needed = grains_of(bytes);
        if self.grains < needed {
            return;
        }
        self.turn = None;
        let spare = self.grains - needed;
        let keeps = is_busy && spare <= KEPT_GRAINS && !self.budget.is_pressed();
        if spare > 0 && !keeps && self.wait.is_none() {
            self.give_back(spare);
        }
        self.check_invariants();
    }

    /// What must hold between any two calls, for any requests of clients.
    fn check_invariants(&self) {
        let waits_for = self.wait.as_ref().map_or(0, |wait| wait.grains);
        debug_assert!(
            self.grains + waits_for <= self.budget.grains_max,
            "a connection reserves more than the whole budget"
        );
        debug_assert!(
            self.budget.free.available_permits() <= self.budget.grains_max as usize,
            "more was given back than was reserved"
        );
        debug_assert!(
            self.wait.is_none() || self.budget.is_pressed(),
            "a connection waits for bytes and is not counted"
        );
    }

    /// Whether `bytes` in all are reserved.
    pub(crate) fn covers(&self, bytes: usize) -> bool {
        grains_of(bytes) <= self.grains
    }

    fn give_back(&mut self, grains: u32) {
        self.grains -= grains;
        self.budget.free.add_permits(grains as usize);
    }
}

impl Drop for ReservedRoom {
    fn drop(&mut self) {
        self.give_back(self.grains);
    }
}

impl Wait {
    fn new(budget: &Arc<MemoryBudget>, grains: u32) -> Self {
        let mut pressure = budget.pressure();
        pressure.waiting += 1;
        pressure.since.get_or_insert_with(Instant::now);
        budget.waiting.store(pressure.waiting, Ordering::Relaxed);
        Self {
            budget: budget.clone(),
            grains,
            room: PollSemaphore::new(budget.free.clone()),
            turn: None,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut pressure = self.budget.pressure();
        pressure.waiting -= 1;
        if pressure.waiting == 0 {
            pressure.since = None;
        }
        self.budget
            .waiting
            .store(pressure.waiting, Ordering::Relaxed);
    }
}

/// Gives memory back to the system after connections have given up much of it, as long as this future is polled. The
/// allocator does so only when it is asked for more memory, a second after the memory was freed. An idle node may not
/// ask for long.
pub(crate) async fn return_memory(budget: Arc<MemoryBudget>) {
    let mut look = tokio::time::interval(RETURN_INTERVAL);
    let (mut held, mut rounds) = (0, 0);
    loop {
        look.tick().await;
        let used = budget.used();
        if used + RETURN_BYTES_MIN <= held {
            rounds = RETURN_ROUNDS;
        }
        held = used;
        if rounds > 0 {
            rounds -= 1;
            ask_for_memory();
        }
    }
}

/// Makes the allocator of each thread give memory back, because each thread has a heap of its own.
fn ask_for_memory() {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    for _ in 0..threads * 2 {
        tokio::spawn(async {
            for _ in 0..2 {
                drop(std::hint::black_box(vec![
                    0u8;
                    RETURN_BYTES_MIN as usize / 4
                ]));
                tokio::task::yield_now().await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::Waker;

    use super::*;

    const GRAINS_MAX: usize = 512;

    fn asks(room: &mut ReservedRoom, grains: usize, or_turn: bool) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        room.reserve(&mut cx, grains * GRAIN_BYTES, or_turn)
    }

    fn budget() -> Arc<MemoryBudget> {
        MemoryBudget::new((GRAINS_MAX * GRAIN_BYTES) as u64)
    }

    #[test]
    fn what_is_reserved_is_counted_until_it_is_dropped() {
        let budget = budget();
        let (mut one, mut other) = (budget.room(), budget.room());
        assert!(one.reserve(
            &mut Context::from_waker(Waker::noop()),
            GRAIN_BYTES - 1,
            false
        ));
        assert_eq!(budget.used(), 0);
        assert!(asks(&mut one, 100, false) && asks(&mut other, 412, false));
        assert_eq!(budget.used(), (GRAINS_MAX * GRAIN_BYTES) as u64);
        one.settle(50 * GRAIN_BYTES, false);
        assert_eq!(budget.used(), (462 * GRAIN_BYTES) as u64);
        drop((one, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn reservations_are_given_in_the_order_of_asking() {
        let budget = budget();
        let (mut holder, mut large, mut small) = (budget.room(), budget.room(), budget.room());
        assert!(asks(&mut holder, 500, false));
        assert!(budget.pressed_since().is_none());
        assert!(!asks(&mut large, 100, false));
        assert!(!asks(&mut small, 1, false));
        assert!(budget.pressed_since().is_some());
        holder.settle(490 * GRAIN_BYTES, false);
        assert!(!asks(&mut small, 1, false), "the large one was first");
        drop(holder);
        assert!(asks(&mut large, 100, false) && asks(&mut small, 1, false));
        assert!(budget.pressed_since().is_none());
        assert_eq!(budget.used(), (101 * GRAIN_BYTES) as u64);
    }

    #[test]
    fn one_at_a_time_goes_beyond_the_budget_to_get_done() {
        let budget = budget();
        let (mut one, mut other) = (budget.room(), budget.room());
        assert!(asks(&mut one, 256, false) && asks(&mut other, 256, false));
        assert!(!asks(&mut one, 300, false), "reading has no turn");
        assert!(asks(&mut one, 300, true));
        assert!(!asks(&mut one, 300, false) && !asks(&mut other, 300, true));
        one.settle(256 * GRAIN_BYTES, true);
        assert!(asks(&mut other, 300, true), "the turn was passed on");
    }

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_refused_is_woken_when_there_is_more_however_much_it_wants() {
        for wanted in [10, 256 + 600, 2 * GRAINS_MAX] {
            let budget = budget();
            let (mut holder, mut asker) = (budget.room(), budget.room());
            let mut turn = budget.room();
            assert!(asks(&mut holder, GRAINS_MAX, false));
            assert!(asks(&mut turn, 1, true), "it has the turn");
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            let mut cx = Context::from_waker(&waker);
            assert!(!asker.reserve(&mut cx, wanted * GRAIN_BYTES, true));
            asker.settle(0, false);
            drop((holder, turn));
            assert!(woken.0.load(Ordering::Relaxed) > 0, "{wanted}");
            assert!(
                asker.reserve(&mut cx, wanted * GRAIN_BYTES, true),
                "{wanted}"
            );
            assert!(!budget.is_pressed());
        }
    }

    #[test]
    fn a_place_in_the_queue_is_kept_when_more_is_wanted() {
        let budget = budget();
        let (mut holder, mut first, mut second) = (budget.room(), budget.room(), budget.room());
        assert!(asks(&mut holder, 500, false) && asks(&mut first, 10, false));
        assert!(!asks(&mut first, 110, false) && !asks(&mut second, 100, false));
        first.settle(0, true);
        holder.settle(400 * GRAIN_BYTES, false);
        assert!(!asks(&mut second, 100, false), "the other one was first");
        assert!(
            !asks(&mut first, 120, false),
            "it has got what it had asked for"
        );
        drop(holder);
        assert!(asks(&mut first, 120, false) && asks(&mut second, 100, false));
    }

    #[test]
    fn a_connection_that_stops_waiting_holds_up_no_other() {
        let budget = budget();
        let (mut holder, mut gone, mut next) = (budget.room(), budget.room(), budget.room());
        assert!(asks(&mut holder, 400, false));
        assert!(!asks(&mut gone, 200, false) && !asks(&mut next, 100, false));
        drop(gone);
        assert!(asks(&mut next, 100, false));
        assert!(!asks(&mut holder, 500, false));
        holder.stop_waiting();
        assert!(budget.pressed_since().is_none());
    }
}
