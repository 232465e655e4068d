//! One connection between two nodes: bytes keep their order, and each end learns at its own time that the connection
//! broke.

use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::ways::{DataFate, Way, Ways};
use crate::runtime::tasks;
use crate::trace;

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The node that has opened it.
    Caller,
    /// The node that listens.
    Callee,
}

impl ConnectionEnd {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// The last bytes from one end.
#[derive(Default)]
struct SentBytes {
    /// When they have left the sender.
    gone: Duration,
    /// When the bytes arrive, if the way is whole by then.
    arrives: Duration,
}

/// A connection.
pub struct SimConnection {
    ways: Ways,
    nodes: [u64; 2],
    /// Cancelled where the node at this end knows that the connection is broken, or is dead.
    broken: [CancellationToken; 2],
    /// What is under way from each end.
    sent: Mutex<[SentBytes; 2]>,
    /// For how long the ends have not heard of each other.
    silent: Mutex<Duration>,
}

impl SimConnection {
    pub(super) fn new(ways: Ways, caller: u64, callee: u64) -> Self {
        Self {
            ways,
            nodes: [caller, callee],
            broken: Default::default(),
            sent: Mutex::default(),
            silent: Mutex::default(),
        }
    }

    pub(super) fn node(&self, end: ConnectionEnd) -> u64 {
        self.nodes[end as usize]
    }

    /// The end that is a node's.
    pub(super) fn end_of(&self, node: u64) -> Option<ConnectionEnd> {
        [ConnectionEnd::Caller, ConnectionEnd::Callee]
            .into_iter()
            .find(|end| self.node(*end) == node)
    }

    fn way(&self, from: ConnectionEnd) -> Way {
        (self.node(from), self.node(from.other()))
    }

    /// Whether an end knows that the connection is broken.
    pub(super) fn is_broken(&self, end: ConnectionEnd) -> bool {
        self.broken[end as usize].is_cancelled()
    }

    /// Waits until an end knows that the connection is broken.
    pub(super) async fn broken(&self, end: ConnectionEnd) {
        self.broken[end as usize].cancelled().await;
    }

    /// Sends bytes. Returns when they arrive, as far as it is known now.
    pub(super) fn send(&self, from: ConnectionEnd, bytes: usize) -> Duration {
        let way = self.way(from);
        let (delay, resets) = match self.ways.fate(way) {
            DataFate::Arrives(delay) => (delay, false),
            DataFate::Resets(delay) => (delay, true),
        };
        let mut sent = self.sent.lock();
        let sent = &mut sent[from as usize];
        sent.gone = sent.gone.max(trace::now()) + self.ways.width_delay(way, bytes);
        sent.arrives = sent.arrives.max(sent.gone + delay);
        let at = sent.arrives;
        if resets {
            trace::note(way.1, "connection reset", [way.0, 0]);
            let broken = self.broken.clone();
            drop(tasks::spawn(0, async move {
                SimRuntime::sleep(delay).await;
                broken.iter().for_each(CancellationToken::cancel);
            }));
        }
        at
    }

    /// Waits until bytes that were to arrive at this time do.
    pub(super) async fn arrive(&self, from: ConnectionEnd, at: Duration, call: &str) {
        SimRuntime::sleep(at.saturating_sub(trace::now())).await;
        self.ways.passes(self.way(from), call).await;
    }

    /// The process at one end has ended. If its machine has power, the machine resets the connection for the other end.
    pub(super) fn die(&self, end: ConnectionEnd, has_power: bool) {
        self.broken[end as usize].cancel();
        if has_power {
            let (ways, way) = (self.ways.clone(), self.way(end));
            let other = self.broken[end.other() as usize].clone();
            drop(tasks::spawn(0, async move {
                SimRuntime::sleep(ways.delay(way)).await;
                ways.passes(way, "").await;
                other.cancel();
            }));
        }
    }

    /// Both ends give the connection up.
    pub(super) fn give_up(&self) {
        self.broken.iter().for_each(CancellationToken::cancel);
    }

    /// Called again and again, with the time in between. `runs`: whether a process runs on a node.
    pub(super) fn keep_alive(&self, passed: Duration, limit: Duration, runs: impl Fn(u64) -> bool) {
        let [caller, callee] = self.nodes;
        let is_whole = !self.ways.is_cut(caller, callee) && !self.ways.is_cut(callee, caller);
        let both_run = runs(caller) && runs(callee);
        let is_half =
            self.is_broken(ConnectionEnd::Caller) != self.is_broken(ConnectionEnd::Callee);
        if is_whole && both_run && is_half {
            // The new process does not know the connection, so its machine resets it.
            return self.give_up();
        }
        let mut silent = self.silent.lock();
        *silent = match is_whole && both_run {
            true => Duration::ZERO,
            false => *silent + passed,
        };
        if *silent >= limit {
            self.give_up();
        }
    }

    /// Whether neither end uses it any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_broken(ConnectionEnd::Caller) && self.is_broken(ConnectionEnd::Callee)
    }
}
