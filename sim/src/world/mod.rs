//! The cluster of one run: its disks, its processes, and the checks on them.

mod look;
mod machine;
mod peering;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use rstmdb::replica::{Formation, Replica};
use rstmdb::server::peer::Connections;
use rstmdb_engine::fact::level;
use rstmdb_raft_store::{MemFs, NodeInfo, Store};

use super::Sim;
use super::check::answers::ClientAnswers;
use super::check::chain::CommittedChain;
use super::check::leaders::Leaders;
use super::network::Network;
use super::runtime::NodeInstant;
use super::runtime::tasks;
use super::settings::{Settings, moved_info, node_info};
use super::trace;
use crate::rng::Rng;

pub use machine::right_ms;

/// The machine of a node: what outlives its processes.
pub struct Site {
    /// The disk.
    pub disk: MemFs,
    /// How far the wall clock is off, in milliseconds.
    pub wall_ms: Arc<AtomicI64>,
    formation: Formation,
    /// The highest feature level that the next program started there understands.
    understands: u32,
    /// Names its data folder to the other nodes.
    incarnation: u128,
    /// The process, where one has come up.
    pub process: Option<Up>,
    /// The node was removed from the cluster, or never joined it.
    pub left: bool,
    /// It is being shut down, and stops without a kill.
    pub troubled: bool,
    /// The nemesis must not end it at the moment.
    pub protected: bool,
    /// Its disk has no room.
    pub full: bool,
    /// How many planned ends of its process are pending.
    ends: u32,
    /// Something on its disk was damaged.
    damaged: bool,
    /// How often it was given other addresses.
    moves: u64,
}

impl Site {
    /// Whether something on its disk was damaged in this run.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether it runs, has no other damage, and is not about to be ended.
    #[must_use]
    pub fn may_be_damaged(&self) -> bool {
        self.process.is_some() && !self.protected && self.ends == 0 && !self.disk.has_lost_power()
    }
}

/// A process that has come up.
pub struct Up {
    /// Its replica.
    pub replica: Replica<Sim>,
    /// Its store.
    pub store: Store<MemFs>,
    /// Its connections to other nodes.
    pub connections: Connections<Sim>,
    /// How far what it has applied has been compared.
    seen: u64,
    term: u64,
    committed: u64,
    /// The offset of its snapshot, and how many it has taken itself.
    snapshot: (u64, u64),
    /// When, by its own clock, a majority has acknowledged it as the leader.
    acknowledged: Option<NodeInstant>,
}

/// A simulated cluster, its faults, and what it has promised so far.
pub struct World {
    /// How the cluster is set up.
    pub settings: Settings,
    /// Between the nodes.
    pub network: Network,
    /// The machines, by node id.
    pub sites: Mutex<BTreeMap<u64, Site>>,
    /// The committed log.
    pub chain: Mutex<CommittedChain>,
    /// The clients' requests and the answers.
    pub answers: Mutex<ClientAnswers>,
    rng: Mutex<Rng>,
    leaders: Mutex<BTreeMap<u64, u64>>,
    /// Whether a majority has a leader.
    majority: Mutex<Leaders>,
}

impl World {
    /// An empty cluster.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let mut chain = CommittedChain::default();
        if settings.clients_say {
            chain.expect_said();
        }
        Arc::new(Self {
            network: Network::new(&settings),
            sites: Mutex::default(),
            chain: Mutex::new(chain),
            answers: Mutex::default(),
            rng: Mutex::new(Rng::new(settings.seed ^ 0x3017d)),
            leaders: Mutex::default(),
            majority: Mutex::default(),
            settings,
        })
    }

    /// A machine with an empty disk.
    pub fn place(&self, id: u64, formation: Formation) {
        let mut rng = self.rng.lock();
        let site = Site {
            disk: MemFs::new(rng.number()),
            incarnation: u128::from(rng.number()) + 1,
            wall_ms: Arc::default(),
            left: formation == Formation::Join,
            understands: self.settings.understands,
            formation,
            process: None,
            troubled: false,
            protected: false,
            full: false,
            ends: 0,
            damaged: false,
            moves: 0,
        };
        self.sites.lock().insert(id, site);
    }

    /// The nodes that form the cluster at the start.
    pub fn place_first(&self) {
        let ids = 1..=self.settings.nodes;
        let members: BTreeMap<_, _> = ids.clone().map(|id| (id, node_info(id))).collect();
        for id in ids {
            self.place(id, Formation::Together(members.clone()));
        }
    }

    /// Where a node is reached, by its own configuration.
    pub fn info(&self, id: u64) -> NodeInfo {
        let sites = self.sites.lock();
        moved_info(id, sites.get(&id).map_or(0, |site| site.moves))
    }

    /// Gives a node that does not run other addresses. It announces them when it starts.
    pub fn relocate(&self, id: u64) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.moves += 1;
            self.network.moved(id, site.moves);
            trace::note(id, "moved", [site.moves, 0]);
        }
    }

    /// An id that no node has had.
    pub fn next_id(&self) -> u64 {
        self.sites
            .lock()
            .keys()
            .next_back()
            .map_or(1, |last| last + 1)
    }

    /// A node belongs to the cluster.
    pub fn joined(&self, id: u64) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.left = false;
        }
    }

    /// Installs another program on a node's machine, which understands feature levels up to this one. It runs from the
    /// next start on.
    pub fn install(&self, id: u64, understands: u32) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.understands = understands;
        }
    }

    /// The lowest feature level that the programs of these nodes understand.
    fn understood(&self, ids: impl IntoIterator<Item = u64>) -> u32 {
        let sites = self.sites.lock();
        let levels = ids
            .into_iter()
            .filter_map(|id| Some(sites.get(&id)?.understands));
        levels.min().unwrap_or(level::FIRST)
    }

    /// A node no longer belongs to the cluster.
    pub fn left(&self, id: u64) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.left = true;
        }
    }

    /// Something on a node's disk is damaged.
    pub fn damaged(&self, id: u64) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.damaged = true;
        }
    }

    /// Says whether the nemesis must leave a node running.
    pub fn protect(&self, id: u64, protected: bool) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.protected = protected;
        }
    }

    /// Says that a node is being shut down, and again once it was.
    pub fn stops(&self, id: u64, stops: bool) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.troubled = stops;
        }
    }

    /// Says that a node's process will be ended, and again once it was.
    pub fn dooms(&self, id: u64, doomed: bool) {
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.ends = match doomed {
                true => site.ends + 1,
                false => site.ends.saturating_sub(1),
            };
        }
    }

    /// Starts a process that was ended, unless the cluster has let its node go.
    pub fn boot_again(self: &Arc<Self>, id: u64) {
        if self.ids(|site| !site.left).contains(&id) {
            self.boot(id);
        }
    }

    /// Ends a process, by a kill or with the power of its machine.
    pub fn kill(&self, id: u64, power: bool) {
        self.observe(id);
        let (process, disk) = match self.sites.lock().get_mut(&id) {
            Some(site) => (site.process.take(), site.disk.clone()),
            None => return,
        };
        if !tasks::is_alive(id) {
            return;
        }
        self.majority.lock().changed(id);
        trace::note(id, if power { "power cut" } else { "kill" }, [0, 0]);
        tasks::kill(id, (process, self.network.detach(id, !power)));
        match power {
            true => disk.crash(),
            false => disk.kill(),
        }
    }

    /// Ends every process at the end of the run: a node and the network hold each other.
    pub fn dissolve(&self) {
        for id in self.ids(|_| true) {
            let process = self
                .sites
                .lock()
                .get_mut(&id)
                .map(|site| site.process.take());
            tasks::kill(id, (process, self.network.detach(id, false)));
        }
    }

    /// Ends the processes on machines whose power was cut by a planned cut.
    pub fn reap(&self) {
        let off = |site: &Site| site.disk.has_lost_power();
        for id in self.ids(off) {
            self.kill(id, true);
        }
    }

    /// The nodes that fulfil a condition.
    pub fn ids(&self, is_so: impl Fn(&Site) -> bool) -> Vec<u64> {
        let sites = self.sites.lock();
        let found = sites.iter().filter(|(_, site)| is_so(site));
        found.map(|(id, _)| *id).collect()
    }

    /// The nodes of the cluster, up or down.
    pub fn members(&self) -> Vec<u64> {
        self.ids(|site| !site.left)
    }

    /// A node's replica, if it is up.
    pub fn replica(&self, id: u64) -> Option<Replica<Sim>> {
        let sites = self.sites.lock();
        Some(sites.get(&id)?.process.as_ref()?.replica.clone())
    }

    /// The node that believes itself to be the leader, in the highest term.
    pub fn leader(&self) -> Option<u64> {
        let sites = self.sites.lock();
        let up = sites
            .iter()
            .filter_map(|(id, site)| Some((id, site.process.as_ref()?)));
        let leading = up.filter(|(_, up)| up.replica.raft().is_leader());
        leading.max_by_key(|(_, up)| up.term).map(|(id, _)| *id)
    }

    /// The machines that count for a majority now, as the leader has them; those of the start before.
    pub fn voters(&self) -> BTreeSet<u64> {
        let leader = self.leader().and_then(|id| self.replica(id));
        match leader {
            Some(leader) => leader.raft().voter_ids().collect(),
            None => self.members().into_iter().collect(),
        }
    }

    /// The end of the committed log, as far as any node has shown it.
    pub fn end(&self) -> u64 {
        self.chain.lock().end()
    }
}
