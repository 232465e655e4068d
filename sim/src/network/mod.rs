//! The simulated network: messages with delays and losses, links that are cut or slow.
//!
//! A request to a node runs as a task of that node: on its clock, and frozen or killed with it. A message in
//! flight survives the death of its sender.
//!
//! | module | subject |
//! |---|---|
//! | [`wire`] | Raft's own messages |
//! | [`peers`] | the other messages of replicas |

pub mod peers;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use rstmdb::replica::Replica;
use rstmdb_raft_store::{MemFs, SnapshotReceiver};
use tokio::sync::oneshot;

use super::Sim;
use super::runtime::tasks;
use super::settings::Settings;
use super::trace;
use crate::rng::Rng;

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No process listens there, or the connection was reset.
    #[error("the connection was refused or reset")]
    Reset,
    /// There was no answer in time.
    #[error("no answer in time")]
    Silence,
}

/// What a node's process has for the network.
#[derive(Clone)]
pub struct Process {
    /// Its replica.
    pub replica: Replica<Sim>,
    /// The snapshots that are on their way to it.
    pub arriving: Arc<Mutex<BTreeMap<u64, SnapshotReceiver<MemFs>>>>,
}

struct Inner {
    rng: Rng,
    latency: [Duration; 2],
    loss_permille: u64,
    twice_permille: u64,
    limit: Duration,
    processes: BTreeMap<u64, Process>,
    /// Links that are cut, in this direction.
    cut: BTreeSet<(u64, u64)>,
    /// The extra delay, in this direction.
    slow: BTreeMap<(u64, u64), Duration>,
    /// When a link that was cut or slow became whole again.
    healed: BTreeMap<(u64, u64), Duration>,
    transfers: u64,
    /// From and to: entries do not arrive.
    losing: BTreeSet<(u64, u64)>,
    /// Bytes that arrived although their entries did not.
    taken: BTreeMap<(u64, u64), u64>,
    /// From and to: as if lost entries arrived in part.
    in_part: BTreeSet<(u64, u64)>,
}

/// The network of one run; clones are the same.
#[derive(Clone)]
pub struct Network(Arc<Mutex<Inner>>);

/// The fate of one message.
#[derive(Debug, Clone, Copy)]
enum Way {
    Arrives(Duration),
    Vanishes,
    Resets(Duration),
}

impl Network {
    /// A network without faults of its own but those of the settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rng: Rng::new(settings.seed ^ 0x4e7),
            latency: settings.latency,
            loss_permille: settings.loss_permille,
            twice_permille: settings.twice_permille,
            limit: settings.rpc_timeout,
            processes: BTreeMap::new(),
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            healed: BTreeMap::new(),
            transfers: 0,
            losing: BTreeSet::new(),
            taken: BTreeMap::new(),
            in_part: BTreeSet::new(),
        })))
    }

    /// A node's process listens.
    pub fn attach(&self, id: u64, process: Process) {
        self.0.lock().processes.insert(id, process);
    }

    /// A node's process stops listening. Returns what the network held for it.
    pub fn detach(&self, id: u64) -> Option<Process> {
        self.0.lock().processes.remove(&id)
    }

    /// Cuts a link in one direction.
    pub fn cut(&self, from: u64, to: u64) {
        self.0.lock().cut.insert((from, to));
    }

    /// Cuts every link of a node.
    pub fn isolate(&self, id: u64) {
        let mut inner = self.0.lock();
        let others: Vec<u64> = inner.processes.keys().copied().collect();
        let others = others.into_iter().filter(|other| *other != id);
        inner
            .cut
            .extend(others.flat_map(|other| [(id, other), (other, id)]));
    }

    /// From now on entries do not get from one node to another; everything else does.
    pub fn lose_entries(&self, from: u64, to: u64) {
        self.0.lock().losing.insert((from, to));
    }

    /// As if lost entries arrived in part.
    pub fn take_lost_entries_in_part(&self, from: u64, to: u64) {
        self.0.lock().in_part.insert((from, to));
    }

    /// As if a part of an entry had arrived just now.
    pub fn take_a_part(&self, from: u64, to: u64) {
        *self.0.lock().taken.entry((from, to)).or_default() += 1;
    }

    /// Whether entries are lost between two nodes.
    fn loses_entries(&self, from: u64, to: u64) -> bool {
        let mut inner = self.0.lock();
        let way = (from, to);
        if inner.losing.contains(&way) && inner.in_part.contains(&way) {
            *inner.taken.entry(way).or_default() += 1;
        }
        inner.losing.contains(&way)
    }

    /// How many bytes of entries have arrived from one node at another.
    fn taken(&self, from: u64, to: u64) -> u64 {
        self.0.lock().taken.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Makes a link slow in one direction.
    pub fn slow(&self, from: u64, to: u64, more: Duration) {
        self.0.lock().slow.insert((from, to), more);
    }

    /// All links are whole and fast again.
    pub fn heal(&self) {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let ways = inner.cut.iter().chain(inner.slow.keys());
        inner.healed.extend(ways.map(|way| (*way, trace::now())));
        inner.cut.clear();
        inner.slow.clear();
        inner.losing.clear();
    }

    /// From now on no message gets lost.
    pub fn calm(&self) {
        let mut inner = self.0.lock();
        inner.loss_permille = 0;
        inner.twice_permille = 0;
    }

    /// A number that no other transfer has.
    pub fn transfer(&self) -> u64 {
        let mut inner = self.0.lock();
        inner.transfers += 1;
        inner.transfers
    }

    /// Whether the next message arrives twice.
    pub fn doubles(&self) -> bool {
        let mut inner = self.0.lock();
        let permille = inner.twice_permille;
        permille > 0 && inner.rng.below(1000) < permille
    }

    /// Whether a link is cut in this direction.
    #[must_use]
    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        self.0.lock().cut.contains(&(from, to))
    }

    /// Since when a link is neither cut nor slow in this direction; never while it is.
    #[must_use]
    pub fn whole_since(&self, from: u64, to: u64) -> Option<Duration> {
        let inner = self.0.lock();
        let way = (from, to);
        let is_whole = !inner.cut.contains(&way) && !inner.slow.contains_key(&way);
        is_whole.then(|| inner.healed.get(&way).copied().unwrap_or_default())
    }

    /// How long the other side may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.0.lock().limit
    }

    fn process(&self, id: u64) -> Option<Process> {
        self.0.lock().processes.get(&id).cloned()
    }

    fn way(&self, from: u64, to: u64) -> Way {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let [least, more] = inner.latency;
        let more = u64::try_from(more.as_micros()).unwrap_or_default();
        let jitter = match more {
            0 => 0,
            // Most messages are fast; a few take the whole time.
            more if inner.rng.percent(10) => inner.rng.below(more),
            more => inner.rng.below(more / 10 + 1),
        };
        let slow = inner.slow.get(&(from, to)).copied().unwrap_or_default();
        let delay = least + slow + Duration::from_micros(jitter);
        if inner.loss_permille > 0 && inner.rng.below(1000) < inner.loss_permille {
            return match inner.rng.percent(50) {
                true => Way::Vanishes,
                false => Way::Resets(delay),
            };
        }
        Way::Arrives(delay)
    }

    /// Waits as long as a message of a stream is under way; a lost one breaks the stream.
    pub async fn pass(&self, from: u64, to: u64) -> Result<(), Lost> {
        let arrived = match self.way(from, to) {
            Way::Arrives(delay) => {
                SimRuntime::sleep(delay).await;
                !self.is_cut(from, to)
            }
            Way::Vanishes => false,
            Way::Resets(delay) => {
                SimRuntime::sleep(delay).await;
                return Err(Lost::Reset);
            }
        };
        if arrived {
            return Ok(());
        }
        SimRuntime::sleep(self.limit()).await;
        Err(Lost::Silence)
    }

    /// Asks node `to` a question of node `from`.
    ///
    /// # Errors
    /// When no answer comes. The node may have received the request anyway.
    pub async fn ask<R, Fut>(
        &self,
        from: u64,
        to: u64,
        question: impl FnOnce(Process) -> Fut + Send + 'static,
    ) -> Result<R, Lost>
    where
        R: Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let limit = self.limit();
        let Some(told) = self.send(from, to, question).await else {
            Sim::sleep(limit).await;
            return Err(Lost::Silence);
        };
        match Sim::timeout(limit, told).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Lost::Reset),
            Err(_) => Err(Lost::Silence),
        }
    }

    /// Sends a question, and gives where the answer comes; `None` when it gets lost.
    async fn send<R, Fut>(
        &self,
        from: u64,
        to: u64,
        question: impl FnOnce(Process) -> Fut + Send + 'static,
    ) -> Option<oneshot::Receiver<R>>
    where
        R: Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let delay = match self.way(from, to) {
            Way::Arrives(delay) => delay,
            Way::Vanishes => return None,
            Way::Resets(delay) => {
                SimRuntime::sleep(delay).await;
                return Some(told);
            }
        };
        if !tasks::is_alive(to) {
            SimRuntime::sleep(delay).await;
            return Some(told);
        }
        let network = self.clone();
        drop(tasks::spawn(to, async move {
            SimRuntime::sleep(delay).await;
            if network.is_cut(from, to) {
                return network.swallow(tell).await;
            }
            let Some(process) = network.process(to) else {
                return;
            };
            let answer = question(process).await;
            match network.way(to, from) {
                Way::Arrives(delay) => {
                    SimRuntime::sleep(delay).await;
                    if network.is_cut(to, from) {
                        return network.swallow(tell).await;
                    }
                    // The sender of the request may no longer wait.
                    let _ = tell.send(answer);
                }
                Way::Vanishes => network.swallow(tell).await,
                Way::Resets(_) => {}
            }
        }));
        Some(told)
    }

    /// Holds a channel as long as a sender may wait at its other end.
    async fn swallow<R>(&self, tell: oneshot::Sender<R>) {
        SimRuntime::sleep(self.limit() * 2).await;
        drop(tell);
    }

    /// Delivers a message once more, and drops its answer.
    pub fn deliver_again<R, Fut>(
        &self,
        from: u64,
        to: u64,
        question: impl FnOnce(Process) -> Fut + Send + 'static,
    ) where
        R: Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let delay = match (self.way(from, to), self.way(from, to)) {
            (Way::Arrives(first), Way::Arrives(second)) => first + second * 3,
            _ => return,
        };
        let network = self.clone();
        drop(tasks::spawn(to, async move {
            SimRuntime::sleep(delay).await;
            if !network.is_cut(from, to)
                && let Some(process) = network.process(to)
            {
                drop(question(process).await);
            }
        }));
    }
}
