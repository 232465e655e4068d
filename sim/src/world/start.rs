//! How a node's process comes up.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Formation, LeaderChange, Levels, Options, Replica};
use rstmdb::server::peer::{Connections, PeerServer};
use rstmdb_raft_store::{MemFs, Store, Writer};

use super::machine::SimHost;
use super::{Up, World, peering};
use crate::network::channel::SimDial;
use crate::runtime::tasks::{self, RATE_EXACT};
use crate::{Sim, trace};

/// Interval between announcements of new addresses.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(100);

impl World {
    /// Starts a process on a machine that runs none.
    pub fn boot(self: &Arc<Self>, id: u64) {
        let found = {
            let sites = self.sites.lock();
            let site = sites.get(&id).filter(|_| !tasks::is_alive(id));
            site.map(|site| {
                let machine = SimHost {
                    wall_ms: site.wall_ms.clone(),
                    disk: site.disk.clone(),
                };
                (machine, site.formation.clone(), site.incarnation)
            })
        };
        let Some((machine, formation, incarnation)) = found else {
            return;
        };
        trace::note(id, "boot", [0, 0]);
        let skew = self.settings.skew;
        let rate = RATE_EXACT - skew + self.rng.lock().below(2 * skew + 1);
        tasks::give_life(id, machine.disk.clone(), rate);
        let started = self.clone().start(id, machine, formation, incarnation);
        drop(tasks::spawn(id, started));
    }

    async fn start(
        self: Arc<Self>,
        id: u64,
        machine: SimHost,
        formation: Formation,
        incarnation: u128,
    ) {
        let disk = machine.disk.clone();
        match self
            .start_replica(id, machine, formation, incarnation)
            .await
        {
            Ok(up) => self.attach(id, up),
            // A power cut came during the start. The folder is opened again later.
            Err(_) if disk.has_lost_power() => {}
            Err(error) => trace::violated("a node comes up again", format!("node {id}: {error}")),
        }
    }

    /// Runs a node's writer, on a disk of the settings' speed.
    fn drive(&self, writer: Writer<MemFs>) {
        let slowest = u64::try_from(self.settings.disk.as_micros()).unwrap_or_default();
        let mut rng = self.rng.lock().fork();
        drop(tasks::spawn_here(
            writer.drive_slowly(SimRuntime::sleep, move || {
                (slowest > 0).then(|| Duration::from_micros(rng.below(slowest)))
            }),
        ));
    }

    async fn start_replica(
        &self,
        id: u64,
        machine: SimHost,
        formation: Formation,
        incarnation: u128,
    ) -> Result<Up, Box<dyn std::error::Error + Send + Sync>> {
        let (store, writer) = Store::open(machine.disk.clone(), self.settings.store_options())?;
        self.drive(writer);
        let levels = Arc::new(Levels::understanding(self.understood([id])));
        if let Formation::Together(members) = &formation {
            // What nodes that form a cluster tell each other.
            levels.begin_at(self.understood(members.keys().copied()));
        }
        let options = peering::options(
            &self.settings,
            (id, self.info(id)),
            incarnation,
            self.listed(&formation),
            (store.roster()?, levels.clone()),
        )?;
        let dial = SimDial {
            network: self.network.clone(),
            from: id,
        };
        let connections = Connections::over(&options, dial);
        let server = PeerServer::new(&options);
        self.network.attach(id, server.service());
        let options = Options {
            levels,
            node: self.info(id),
            ..self.settings.options(id, formation)
        };
        let peers = Arc::new(connections.clone());
        let network = connections.clone();
        let started = Replica::start(store.clone(), options, Arc::new(machine), network, peers);
        let replica = started.await?;
        server.set_replica(replica.clone());
        let join = self.members().into_iter().map(|id| self.info(id).peer_addr);
        drop(tasks::spawn_here(
            connections.clone().keep_asking(join.collect()),
        ));
        drop(tasks::spawn_here(async move { server.sweep().await }));
        drop(tasks::spawn_here(announce(replica.clone())));
        Ok(Up {
            snapshot: (replica.status().snapshot_offset, 0),
            replica,
            store,
            connections,
            seen: 0,
            term: 0,
            committed: 0,
            acknowledged: None,
        })
    }

    /// The nodes of a node's configuration, at their present addresses.
    fn listed(&self, formation: &Formation) -> Vec<(u64, String)> {
        let listed = match formation {
            Formation::Together(members) => members.keys().copied().collect(),
            Formation::Join => self.members(),
            Formation::Alone => Vec::new(),
        };
        let listed = listed.into_iter();
        listed.map(|id| (id, self.info(id).peer_addr)).collect()
    }

    fn attach(&self, id: u64, up: Up) {
        trace::note(id, "up", [up.replica.log_end(), 0]);
        if let Some(site) = self.sites.lock().get_mut(&id) {
            site.process = Some(up);
            self.majority.lock().changed(id);
        }
        if let Err((invariant, seen)) = self.check(id) {
            trace::violated(invariant, seen);
        }
    }
}

/// A node that has moved asks for its addresses to be changed, until they are, as the product does.
async fn announce(replica: Replica<Sim>) {
    let (node_id, node) = replica.node();
    let node = node.clone();
    loop {
        let (_, members) = replica.membership();
        let known = members.iter().find(|(id, _)| *id == node_id);
        if known.is_none_or(|(_, known)| *known == node) {
            SimRuntime::sleep(ANNOUNCE_INTERVAL).await;
            continue;
        }
        let change = LeaderChange::SetAddress {
            node_id,
            node: node.clone(),
            by_itself: true,
        };
        // A refusal, or no answer, is followed by another attempt.
        let _ = replica.change(&change).await;
        SimRuntime::sleep(ANNOUNCE_INTERVAL).await;
    }
}
