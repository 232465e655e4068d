//! The shape of a load, and the servers that it goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Error;
use crate::args::{BenchArgs, MixedOp};

/// How many connections and requests, and for how long.
#[derive(Debug, Clone)]
pub struct BenchLoad {
    /// How many connections.
    pub connections: u32,
    /// Requests in flight on each connection; with a rate, at most this many.
    pub in_flight: u32,
    /// How many threads make the load; at most as many as connections.
    pub threads: u32,
    /// How long the load runs before the measurement.
    pub warm_up: Duration,
    /// How long the measurement takes.
    pub duration: Duration,
    /// Requests a second of an open loop; `None` for a closed one.
    pub rate: Option<u32>,
    /// Set to end the run early.
    pub stop: Arc<AtomicBool>,
}

impl BenchLoad {
    /// As asked for; never more threads than connections.
    pub fn new(args: &BenchArgs) -> BenchLoad {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let threads = args.threads.unwrap_or((cores / 2).max(1));
        BenchLoad {
            connections: args.connections,
            in_flight: args.in_flight,
            threads: threads.min(args.connections),
            warm_up: args.warm_up,
            duration: args.duration,
            rate: args.rate,
            stop: Arc::default(),
        }
    }

    /// Whether the run is to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How many workers there are: each waits for its answer before it sends again.
    pub fn workers(&self) -> u32 {
        self.connections * self.in_flight
    }
}

/// The measured window: answers count if their request was sent, or was to be sent, within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeasuredWindow {
    pub begun: Instant,
    pub from: Instant,
    pub until: Instant,
}

impl MeasuredWindow {
    pub fn after_warm_up(load: &BenchLoad) -> MeasuredWindow {
        let begun = Instant::now();
        let from = begun + load.warm_up;
        MeasuredWindow {
            begun,
            from,
            until: from + load.duration,
        }
    }
}

/// The answer to one request.
pub struct LoadAnswer {
    /// What was asked for.
    pub kind: MixedOp,
    /// The name of the failure, if it failed.
    pub outcome: Result<(), String>,
}

/// A server under load. Each thread of the load has a runtime of its own, which its connections stay on.
pub trait LoadTarget: Sync {
    /// A connection; its workers share it.
    type Connection;
    /// What one worker keeps between its requests.
    type Worker;

    /// Called when all connections are open and no request has been sent: sets the moment from which requests count.
    fn counts_from(&self, _moment: Instant) {}

    /// Opens the connection of this number.
    fn connect(&self, number: u32) -> impl Future<Output = Result<Self::Connection, Error>>;

    /// What the worker of this number begins with.
    ///
    /// # Errors
    /// When its requests cannot be written.
    fn worker(&self, number: u32) -> Result<Self::Worker, Error>;

    /// Sends the worker's next request and waits for the answer. `sent` is when it is sent, or was to be.
    fn call(
        &self,
        connection: &Self::Connection,
        worker: &mut Self::Worker,
        sent: Instant,
    ) -> impl Future<Output = Result<LoadAnswer, Error>>;

    /// Ends a connection in an orderly way.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()>;
}
