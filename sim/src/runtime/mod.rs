//! The runtime of a simulated cluster: openraft's simulated one, in which tasks belong to nodes, and
//! each node's clock has a speed of its own.

pub mod tasks;

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::{Elapsed, SimJoinError, SimJoinHandle, SimRuntime, SimSleep, SimTimeout};

use self::tasks::RATE_EXACT;
use super::trace;

/// What a clock shows at the start, so that subtracting from it does not underflow.
const CLOCK_BEGINS: Duration = Duration::from_secs(86_400);

/// A point on the clock of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeInstant(Duration);

impl fmt::Debug for NodeInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.saturating_sub(CLOCK_BEGINS))
    }
}

impl Add<Duration> for NodeInstant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more))
    }
}

impl AddAssign<Duration> for NodeInstant {
    fn add_assign(&mut self, more: Duration) {
        *self = *self + more;
    }
}

impl Sub<Duration> for NodeInstant {
    type Output = Self;

    fn sub(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(less))
    }
}

impl SubAssign<Duration> for NodeInstant {
    fn sub_assign(&mut self, less: Duration) {
        *self = *self - less;
    }
}

impl Sub for NodeInstant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl openraft::Instant for NodeInstant {
    fn now() -> Self {
        Self(CLOCK_BEGINS + scaled(trace::now(), tasks::rate(), RATE_EXACT))
    }
}

/// `duration * by / of`, rounded up: a task that waits by a slow clock must not wake too early.
fn scaled(duration: Duration, by: u64, of: u64) -> Duration {
    if by == of {
        return duration;
    }
    let nanos = (duration.as_nanos() * u128::from(by)).div_ceil(u128::from(of));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
}

/// How long it takes until the present node's clock has moved on by `duration`.
fn real(duration: Duration) -> Duration {
    // A wait "for ever" must not overflow the clock.
    let bounded = duration.min(Duration::from_secs(1 << 32));
    scaled(bounded, RATE_EXACT, tasks::rate())
}

fn until(deadline: NodeInstant) -> Duration {
    real(deadline - <NodeInstant as openraft::Instant>::now())
}

/// The runtime in which tasks belong to nodes.
#[derive(Debug)]
pub struct NodeRuntime(SimRuntime);

impl AsyncRuntime for NodeRuntime {
    type JoinError = SimJoinError;
    type JoinHandle<T: OptionalSend + 'static> = SimJoinHandle<T>;
    type Sleep = SimSleep;
    type Instant = NodeInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = SimTimeout<T>;
    type ThreadLocalRng = <SimRuntime as AsyncRuntime>::ThreadLocalRng;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tasks::spawn_here(future)
    }

    fn sleep(duration: Duration) -> SimSleep {
        SimRuntime::sleep(real(duration))
    }

    fn sleep_until(deadline: NodeInstant) -> SimSleep {
        SimRuntime::sleep(until(deadline))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> SimTimeout<F> {
        SimRuntime::timeout(real(duration), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: NodeInstant,
        future: F,
    ) -> SimTimeout<F> {
        SimRuntime::timeout(until(deadline), future)
    }

    fn is_panic(error: &SimJoinError) -> bool {
        SimRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SimRuntime::thread_rng()
    }

    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = <SimRuntime as AsyncRuntime>::Watch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    fn new(threads: usize) -> Self {
        Self(SimRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        SimRuntime::spawn_blocking(work)
    }
}
