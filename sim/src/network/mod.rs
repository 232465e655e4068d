//! The simulated network: connections that carry the bytes of the product's own peer code, over ways with delays and
//! losses that can be cut, slow or narrow.
//!
//! It takes the place of TCP and HTTP/2: bytes arrive in order or not at all. Lost bytes break the connection or arrive
//! late. Bytes in flight still arrive after their sender has died.
//!
//! | module | subject |
//! |---|---|
//! | [`channel`] | requests and their handlers |
//! | `pipe` | the bodies of a call, frame by frame |
//! | `connection` | what the calls of one connection share: order, and how it breaks |
//! | [`ways`] | the ways between nodes |

pub mod channel;
mod connection;
mod pipe;
pub mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tonic::service::Routes;

use self::connection::SimConnection;
use self::ways::Ways;
use crate::runtime::tasks;
use crate::settings::Settings;

/// Interval between signs of life on a connection.
const SIGN_OF_LIFE: Duration = Duration::from_millis(250);
/// Both ends give up a connection after this long without a sign of life. In the product it takes 3 s to 5 s.
const SILENCE: Duration = Duration::from_secs(4);

#[derive(Default)]
struct Inner {
    /// The services of each process that listens.
    listening: BTreeMap<u64, Routes>,
    /// The nodes whose machines have no power: they refuse no connection, because they answer nothing.
    dark: BTreeSet<u64>,
    /// How often nodes have moved: at an earlier address no process listens.
    moves: BTreeMap<u64, u64>,
    connections: Vec<Weak<SimConnection>>,
    /// Whether the task that looks for signs of life runs.
    is_kept: bool,
}

/// The network of one run; clones are the same.
#[derive(Clone)]
pub struct Network {
    /// The ways between the nodes.
    pub ways: Ways,
    inner: Arc<Mutex<Inner>>,
}

impl Network {
    /// A network without faults of its own but those of the settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            ways: Ways::new(settings),
            inner: Arc::default(),
        }
    }

    /// A node's process listens.
    pub fn attach(&self, id: u64, services: Routes) {
        let mut inner = self.inner.lock();
        inner.dark.remove(&id);
        inner.listening.insert(id, services);
    }

    /// A node's process ends, with the power of its machine or without. Returns what the network held of it.
    pub fn detach(&self, id: u64, has_power: bool) -> Option<Routes> {
        let connections: Vec<_> = {
            let inner = self.inner.lock();
            inner.connections.iter().filter_map(Weak::upgrade).collect()
        };
        for connection in connections {
            if let Some(end) = connection.end_of(id) {
                connection.die(end, has_power);
            }
        }
        let mut inner = self.inner.lock();
        if !has_power {
            inner.dark.insert(id);
        }
        inner.listening.remove(&id)
    }

    /// From now on something between two nodes, such as a firewall, resets their connections and refuses new ones.
    pub fn reject(&self, one: u64, other: u64) {
        self.ways.reject(one, other);
        let connections = self.inner.lock().connections.clone();
        for connection in connections.iter().filter_map(Weak::upgrade) {
            if connection.end_of(one).is_some() && connection.end_of(other).is_some() {
                connection.give_up();
            }
        }
    }

    /// Whether a node's machine refuses connections at the address after so many moves.
    fn refuses(&self, id: u64, moves: u64) -> bool {
        let inner = self.inner.lock();
        let is_there = inner.moves.get(&id).copied().unwrap_or(0) == moves;
        let listens = is_there && inner.listening.contains_key(&id);
        !listens && !inner.dark.contains(&id)
    }

    /// A node has other addresses from now on.
    pub fn moved(&self, id: u64, moves: u64) {
        self.inner.lock().moves.insert(id, moves);
    }

    /// Cuts every way of a node, in both directions.
    pub fn isolate(&self, id: u64) {
        let others: Vec<u64> = self.inner.lock().listening.keys().copied().collect();
        for other in others.into_iter().filter(|other| *other != id) {
            self.ways.cut(id, other);
            self.ways.cut(other, id);
        }
    }

    /// A connection to a node's process at the address after so many moves, and what it serves.
    fn open(&self, from: u64, to: u64, moves: u64) -> Option<(Arc<SimConnection>, Routes)> {
        let mut inner = self.inner.lock();
        if inner.moves.get(&to).copied().unwrap_or(0) != moves {
            return None;
        }
        let services = inner.listening.get(&to)?.clone();
        let connection = Arc::new(SimConnection::new(self.ways.clone(), from, to));
        inner.connections.push(Arc::downgrade(&connection));
        if !std::mem::replace(&mut inner.is_kept, true) {
            drop(tasks::spawn(0, keep(Arc::downgrade(&self.inner))));
        }
        Some((connection, services))
    }
}

/// Looks for signs of life on all connections, as both ends of each do in the product.
async fn keep(inner: Weak<Mutex<Inner>>) {
    loop {
        SimRuntime::sleep(SIGN_OF_LIFE).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let connections: Vec<_> = {
            let mut inner = inner.lock();
            let is_used =
                |weak: &Weak<SimConnection>| weak.upgrade().is_some_and(|one| !one.is_over());
            inner.connections.retain(is_used);
            inner.connections.iter().filter_map(Weak::upgrade).collect()
        };
        let runs = |id| tasks::is_alive(id) && !tasks::is_frozen(id);
        for connection in connections {
            connection.keep_alive(SIGN_OF_LIFE, SILENCE, runs);
        }
    }
}
