//! Several nodes as one cluster, on loopback.
//!
//! | module | subject |
//! |---|---|
//! | [`containers`] | nodes as containers, by docker-compose.yml |

mod addresses;
mod agreement;
pub mod containers;
mod moving;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::addresses::Addresses;
use crate::Error;
use crate::harness::wait::within;
use crate::process::cli::Cli;
use crate::process::config::NodeConfig;
use crate::process::node::{Node, READY_TIMEOUT, SHUTDOWN_TIMEOUT};
use crate::rcp::raw::RawConnection;

pub use agreement::{Converged, SETTLE_TIMEOUT};

/// How long a node may take to report its status.
const INFO_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster. Dropping it kills every node; if the test is failing, the end of each log is printed.
#[derive(Debug)]
pub struct Cluster {
    config: NodeConfig,
    members: BTreeMap<u64, ClusterMember>,
}

#[derive(Debug)]
struct ClusterMember {
    node: Node,
    peer: SocketAddr,
    bind: SocketAddr,
    paused: bool,
    retired: bool,
}

impl Cluster {
    /// Starts nodes 1 to `nodes` and waits until each of them serves.
    ///
    /// # Errors
    /// When one cannot be started or does not serve in time.
    pub fn start(nodes: u64, config: &NodeConfig) -> Result<Self, Error> {
        let mut cluster = Self::prepare(nodes, config)?;
        let ids = cluster.ids();
        for id in &ids {
            cluster.launch(*id)?;
        }
        for id in &ids {
            cluster.wait_ready(*id)?;
        }
        Ok(cluster)
    }

    /// Writes the configuration of nodes 1 to `nodes` and starts nothing.
    ///
    /// # Errors
    /// When there are no ports or no room.
    pub fn prepare(nodes: u64, config: &NodeConfig) -> Result<Self, Error> {
        Self::prepare_behind(nodes, config, |_, bind| Ok(bind))
    }

    /// As [`Self::prepare`], but the nodes find each other at the addresses that `advertise` returns. `advertise` gets
    /// a node's id and the address on which the node listens.
    ///
    /// # Errors
    /// As [`Self::prepare`], and those of `advertise`.
    pub fn prepare_behind(
        nodes: u64,
        config: &NodeConfig,
        advertise: impl Fn(u64, SocketAddr) -> Result<SocketAddr, Error>,
    ) -> Result<Self, Error> {
        let place = |id| {
            let mut place = Addresses::find(id)?;
            place.peer = advertise(id, place.bind)?;
            Ok(place)
        };
        let places = (1..=nodes)
            .map(place)
            .collect::<Result<Vec<Addresses>, Error>>()?;
        let peers: Vec<String> = places.iter().map(Addresses::to_yaml).collect();
        let listed = config
            .clone()
            .with("cluster.peers", &format!("[{}]", peers.join(", ")));
        let mut cluster = Self {
            config: config.clone(),
            members: BTreeMap::new(),
        };
        for place in places {
            cluster.insert(&place, &listed)?;
        }
        Ok(cluster)
    }

    /// Writes the configuration of a node that is to join these, and starts nothing.
    ///
    /// # Errors
    /// When there are no ports or no room.
    pub fn prepare_joining(&mut self, id: u64) -> Result<(), Error> {
        self.prepare_joining_behind(id, |_, bind| Ok(bind))
    }

    /// As [`Self::prepare_joining`], with an address as in [`Self::prepare_behind`].
    ///
    /// # Errors
    /// As [`Self::prepare_joining`], and those of `advertise`.
    pub fn prepare_joining_behind(
        &mut self,
        id: u64,
        advertise: impl FnOnce(u64, SocketAddr) -> Result<SocketAddr, Error>,
    ) -> Result<(), Error> {
        let mut place = Addresses::find(id)?;
        place.peer = advertise(id, place.bind)?;
        let members = self.members.values().filter(|member| !member.retired);
        let peers = members.map(|member| member.peer.to_string());
        let join = serde_json::to_string(&peers.collect::<Vec<_>>());
        let join = join.map_err(|error| Error::Protocol(error.to_string()))?;
        let config = self
            .config
            .clone()
            .with("cluster.join", &join)
            .with("cluster.peers", &format!("[{}]", place.to_yaml()));
        self.insert(&place, &config)
    }

    fn insert(&mut self, place: &Addresses, config: &NodeConfig) -> Result<(), Error> {
        let config = place.configure(config);
        let node = Node::prepare_as(&format!("node {}", place.id), place.rcp_port, &config)?;
        let member = ClusterMember {
            node,
            peer: place.peer,
            bind: place.bind,
            paused: false,
            retired: false,
        };
        self.members.insert(place.id, member);
        Ok(())
    }

    /// Starts a node that was prepared to join, and waits until its peers can talk to it.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub fn launch_joining(&mut self, id: u64) -> Result<(), Error> {
        self.launch(id)?;
        let peer = self.peer_addr(id)?;
        within(READY_TIMEOUT, || {
            match TcpStream::connect_timeout(&peer, INFO_TIMEOUT) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("node {id}: {error}")),
            }
        })
    }

    /// Starts a node, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&mut self, id: u64) -> Result<(), Error> {
        self.node_mut(id)?.launch()
    }

    /// As [`Self::launch`], under another program ([`Node::launch_under`]).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_under(&mut self, id: u64, tool: Command) -> Result<(), Error> {
        self.node_mut(id)?.launch_under(tool)
    }

    /// Whether a node's process has ended without the test's doing.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn has_ended(&mut self, id: u64) -> Result<bool, Error> {
        Ok(self.node_mut(id)?.has_ended())
    }

    /// Waits until a node serves.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_ready(&mut self, id: u64) -> Result<(), Error> {
        self.node_mut(id)?.wait_ready()
    }

    /// Starts a node again and waits until it serves. Returns how long that took.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn restart(&mut self, id: u64) -> Result<Duration, Error> {
        self.node_mut(id)?.restart()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn kill(&mut self, id: u64) -> Result<(), Error> {
        self.node_mut(id)?.kill()
    }

    /// SIGTERM, then the exit status and how long it took.
    ///
    /// # Errors
    /// When the process does not end in time.
    pub fn stop(&mut self, id: u64) -> Result<(ExitStatus, Duration), Error> {
        self.node_mut(id)?.stop()
    }

    /// SIGTERM to every node at once, then the exit status of each. A node gets one signal only: at a second one it
    /// exits without closing its log.
    ///
    /// # Errors
    /// When a process does not end in time.
    pub fn stop_all(&mut self) -> Result<Vec<(u64, ExitStatus)>, Error> {
        let ids = self.ids();
        for id in &ids {
            self.node(*id)?.signal(Signal::TERM)?;
        }
        let ended = |id| Ok((id, self.node_mut(id)?.wait_exit(SHUTDOWN_TIMEOUT)?));
        ids.into_iter().map(ended).collect()
    }

    /// SIGSTOP: the process and its sockets exist, but nothing happens.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn pause(&mut self, id: u64) -> Result<(), Error> {
        let member = self.member_mut(id)?;
        member.paused = true;
        member.node.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn resume(&mut self, id: u64) -> Result<(), Error> {
        let member = self.member_mut(id)?;
        member.paused = false;
        member.node.signal(Signal::CONT)
    }

    /// Removes all that a stopped node has on disk.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn empty_folder(&self, id: u64) -> Result<(), Error> {
        std::fs::remove_dir_all(self.node(id)?.data_dir()).map_err(Error::io("the data folder"))
    }

    /// Notes that a node was removed from the cluster. Its process still runs.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn retire(&mut self, id: u64) -> Result<(), Error> {
        self.member_mut(id)?.retired = true;
        Ok(())
    }

    /// The nodes that were taken out of the cluster.
    pub fn retired(&self) -> Vec<u64> {
        let retired = self.members.iter().filter(|(_, member)| member.retired);
        retired.map(|(id, _)| *id).collect()
    }

    /// Every node that was ever started.
    pub fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// The nodes of the cluster that are neither stopped nor paused.
    pub fn running(&self) -> Vec<u64> {
        let runs =
            |member: &ClusterMember| member.node.is_running() && !member.paused && !member.retired;
        let running = self.members.iter().filter(|(_, member)| runs(member));
        running.map(|(id, _)| *id).collect()
    }

    /// A node.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn node(&self, id: u64) -> Result<&Node, Error> {
        let member = self.members.get(&id).ok_or_else(|| unknown(id))?;
        Ok(&member.node)
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut Node, Error> {
        Ok(&mut self.member_mut(id)?.node)
    }

    fn member_mut(&mut self, id: u64) -> Result<&mut ClusterMember, Error> {
        self.members.get_mut(&id).ok_or_else(|| unknown(id))
    }

    /// Where clients reach a node.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn addr(&self, id: u64) -> Result<SocketAddr, Error> {
        Ok(self.node(id)?.addr())
    }

    /// Where its peers reach a node.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn peer_addr(&self, id: u64) -> Result<SocketAddr, Error> {
        let member = self.members.get(&id).ok_or_else(|| unknown(id))?;
        Ok(member.peer)
    }

    /// Where a node listens for its peers.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn bind_addr(&self, id: u64) -> Result<SocketAddr, Error> {
        let member = self.members.get(&id).ok_or_else(|| unknown(id))?;
        Ok(member.bind)
    }

    /// Where clients reach every node, beginning with this one and going round.
    pub fn addrs_from(&self, id: u64) -> Vec<SocketAddr> {
        let from = self.members.range(id..);
        let before = self.members.range(..id);
        from.chain(before)
            .map(|(_, member)| member.node.addr())
            .collect()
    }

    /// The command line, pointed at one node.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn cli(&self, id: u64) -> Result<Cli, Error> {
        Ok(Cli::new(self.addr(id)?))
    }

    /// A connection to one node.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self, id: u64) -> Result<RawConnection, Error> {
        RawConnection::connect(self.addr(id)?)
    }

    /// A node's answer to INFO.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn info(&self, id: u64) -> Result<Value, Error> {
        let mut connection = self.connect(id)?;
        connection.set_timeout(INFO_TIMEOUT)?;
        connection.call("INFO", &json!({}))
    }

    /// CLUSTER_STATUS, asked of one node.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub fn status(&self, id: u64) -> Result<ClusterStatusResult<'static>, Error> {
        let status = self.connect(id)?.call("CLUSTER_STATUS", &json!({}))?;
        serde_json::from_value(status.clone())
            .map_err(|error| Error::Protocol(format!("CLUSTER_STATUS: {error}: {status}")))
    }
}

fn unknown(id: u64) -> Error {
    Error::Protocol(format!("the test has no node {id}"))
}
