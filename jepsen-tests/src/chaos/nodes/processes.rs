//! The nodes as processes of this machine, with the suite's proxies between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::links::{LinkRule, Links};
use super::origin::NodeOrigins;
use super::proxy::Proxies;
use super::{Nodes, Port};
use rstmdb::planted::LEVEL_VARIABLE;
use serde_json::json;
use tempfile::TempDir;

use crate::Error;
use crate::cluster::Cluster;
use crate::faults::disk::Disk;
use crate::faults::faketime::{Library, WallClock};
use crate::harness::wait::within;
use crate::process::config::NodeConfig;
use crate::process::node::{Node, READY_TIMEOUT};
use crate::process::tokens::RunTokens;
use crate::rcp::raw::RawConnection;

/// Rules of [`Nodes::isolate`] are numbered from here on, by the node's id. So they never meet the rules of the faults.
const ISOLATION: u64 = 1 << 32;

/// A program of util-linux that sets limits and then becomes another program.
const LIMITER: &str = "prlimit";
/// Half of these are for clients. The other half is enough for the log, the proxies' connections and admin HTTP.
const FILES_MAX: u64 = 512;

/// A cluster of processes.
#[derive(Debug)]
pub struct Processes {
    // Dropped before the disks that its nodes use.
    cluster: Cluster,
    proxies: Proxies,
    links: Links,
    origins: NodeOrigins,
    disks: Option<BTreeMap<u64, Disk>>,
    clocks: Option<(Library, BTreeMap<u64, WallClock>)>,
    /// How many files a node may open; no limit when absent.
    files_max: Option<u64>,
    /// The nodes that run the program before, and the level that it understands.
    older: BTreeMap<u64, u32>,
    tokens: RunTokens,
    /// The folder of the file with the tokens.
    _folder: TempDir,
    ids_given: u64,
}

/// The resources that each node has for itself, so that a fault can disturb them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own {
    /// A file system each.
    pub disks: bool,
    /// A wall clock each.
    pub clocks: bool,
    /// A limit of open files so low that clients can reach it.
    pub few_files: bool,
    /// The program before, which understands this level.
    pub understands: Option<u32>,
}

/// Why nodes cannot act as the program before; the programs that users get cannot.
///
/// # Errors
/// When they cannot.
pub fn can_be_older(level: u32) -> Result<(), String> {
    let level_of = || {
        let mut node = Node::prepare(&NodeConfig::for_tests())?;
        let mut tool = Command::new("env");
        tool.env(LEVEL_VARIABLE, level.to_string());
        node.launch_under(tool)?;
        node.wait_ready()?;
        RawConnection::connect(node.addr())?.call("INFO", &json!({}))
    };
    let info = level_of().map_err(|error| error.to_string())?;
    match info["understands_level"].as_u64() == Some(level.into()) {
        true => Ok(()),
        false => Err("these programs cannot act as older ones".to_owned()),
    }
}

/// Whether the tool is there; without it nodes have as many files as the system allows.
fn can_limit_files() -> bool {
    let mut tool = Command::new(LIMITER);
    let limit = format!("--nofile={FILES_MAX}:{FILES_MAX}");
    let ended = tool.arg(limit).arg("true").output();
    ended.is_ok_and(|ended| ended.status.success())
}

impl Processes {
    /// Starts nodes 1 to `nodes` and waits until each serves.
    ///
    /// # Errors
    /// When one does not start in time, or cannot have what it is to have of its own.
    pub fn start(nodes: u64, config: &NodeConfig, own: Own) -> Result<Self, Error> {
        let library = own.clocks.then(Library::find).transpose();
        let library = library.map_err(Error::Command)?;
        let (links, origins) = (Links::default(), NodeOrigins::default());
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let tokens = RunTokens::begin(folder.path())?;
        let file = tokens.file().unwrap_or_default();
        let config = &config
            .clone()
            .with("auth.secrets_file", &file.display().to_string());
        let proxies = Proxies::new(&links, &origins)?;
        let cluster =
            Cluster::prepare_behind(nodes, config, |id, bind| proxies.stand_before(id, bind))?;
        let mut processes = Self {
            cluster,
            proxies,
            links,
            origins,
            disks: own.disks.then(BTreeMap::new),
            clocks: library.map(|library| (library, BTreeMap::new())),
            files_max: (own.few_files && can_limit_files()).then_some(FILES_MAX),
            older: BTreeMap::new(),
            tokens,
            _folder: folder,
            ids_given: nodes,
        };
        for id in 1..=nodes {
            processes.install(id, own.understands);
            processes.give_own(id)?;
            Nodes::start(&mut processes, id)?;
        }
        for id in 1..=nodes {
            processes.cluster.wait_ready(id)?;
        }
        Ok(processes)
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster itself.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// The file system of a node, if the node has one of its own.
    pub fn disk(&self, id: u64) -> Option<&Disk> {
        self.disks.as_ref()?.get(&id)
    }

    /// The wall clock of a node, if the node has one of its own.
    pub fn clock(&self, id: u64) -> Option<&WallClock> {
        self.clocks.as_ref()?.1.get(&id)
    }

    /// From its next start on, a node runs the program before, which understands this level, or the present one.
    pub fn install(&mut self, id: u64, understands: Option<u32>) {
        match understands {
            Some(level) => self.older.insert(id, level),
            None => self.older.remove(&id),
        };
    }

    /// The level that the program of a node understands, if that is the program before.
    pub fn understands(&self, id: u64) -> Option<u32> {
        self.older.get(&id).copied()
    }

    /// Gives a node that does not run other addresses.
    ///
    /// # Errors
    /// When there are no ports, or its configuration cannot be written.
    pub fn relocate(&mut self, id: u64) -> Result<(), Error> {
        let proxies = &self.proxies;
        let advertise = |id, bind| proxies.stand_before(id, bind);
        self.cluster.relocate_behind(id, advertise)
    }

    /// A new id, which no other node gets.
    pub fn new_id(&mut self) -> u64 {
        self.ids_given += 1;
        self.ids_given
    }

    /// Starts a new node with this id, which waits to be added.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start_joining(&mut self, id: u64) -> Result<SocketAddr, Error> {
        let proxies = &self.proxies;
        self.cluster
            .prepare_joining_behind(id, |id, bind| proxies.stand_before(id, bind))?;
        self.give_own(id)?;
        Nodes::start(self, id)?;
        let admin = self.cluster.node(id)?.admin_addr();
        within(READY_TIMEOUT, || {
            std::net::TcpStream::connect(admin)
                .map_err(|error| format!("node {id} at {admin}: {error}"))
        })?;
        self.cluster.peer_addr(id)
    }

    /// Starts a node under another program, which becomes the node. The node gets its own limit of open files and its
    /// own clock.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_under(&mut self, id: u64, mut tool: Command) -> Result<(), Error> {
        if let Some(own) = self.own_tool(id) {
            // The node's own tool comes after `tool`: the limit and the clock are meant for the node only.
            tool.arg(own.get_program()).args(own.get_args());
        }
        self.start_with(id, tool)
    }

    /// As [`Self::start_under`], without a limit and a clock of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(&mut self, id: u64, mut tool: Command) -> Result<(), Error> {
        if let Some(level) = self.understands(id) {
            tool.env(LEVEL_VARIABLE, level.to_string());
        }
        self.cluster.launch_under(id, tool)?;
        self.note_process(id)
    }

    fn give_own(&mut self, id: u64) -> Result<(), Error> {
        let node = self.cluster.node(id)?;
        if let Some(disks) = &mut self.disks {
            let disk = Disk::mount_new()?;
            disk.hold_data_of(node)?;
            disks.insert(id, disk);
        }
        if let Some((library, clocks)) = &mut self.clocks {
            clocks.insert(id, WallClock::new(library, node.folder())?);
        }
        Ok(())
    }

    /// What a node is started under, so that it has its own limit of open files and its own clock.
    fn own_tool(&self, id: u64) -> Option<Command> {
        let clock = self.clock(id).map(WallClock::tool);
        let Some(files_max) = self.files_max else {
            return clock;
        };
        let mut limited = Command::new(LIMITER);
        limited.arg(format!("--nofile={files_max}:{files_max}"));
        if let Some(clock) = clock {
            limited.arg(clock.get_program()).args(clock.get_args());
        }
        Some(limited)
    }

    fn note_process(&self, id: u64) -> Result<(), Error> {
        if let Some(process) = self.cluster.node(id)?.process() {
            self.origins.set(id, process);
        }
        Ok(())
    }
}

impl Nodes for Processes {
    fn ids(&self) -> Vec<u64> {
        let retired = self.cluster.retired();
        let ids = self.cluster.ids().into_iter();
        ids.filter(|id| !retired.contains(id)).collect()
    }

    fn ever(&self) -> Vec<u64> {
        self.cluster.ids()
    }

    fn addr(&self, id: u64) -> Result<SocketAddr, Error> {
        self.cluster.addr(id)
    }

    fn ports(&self, id: u64) -> Result<Vec<(Port, SocketAddr)>, Error> {
        // The node's own port, because the proxy before it lets only nodes pass.
        Ok(vec![
            (Port::Rcp, self.cluster.addr(id)?),
            (Port::Admin, self.cluster.node(id)?.admin_addr()),
            (Port::Peer, self.cluster.bind_addr(id)?),
        ])
    }

    fn kill(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.kill(id)
    }

    fn stop(&mut self, id: u64) -> Result<(), Error> {
        let (status, _) = self.cluster.stop(id)?;
        if status.success() {
            return Ok(());
        }
        let tail = self.cluster.node(id)?.log_tail();
        Err(Error::Command(format!(
            "node {id} ended with {status} after SIGTERM:\n{tail}"
        )))
    }

    fn start(&mut self, id: u64) -> Result<(), Error> {
        let tool = self.own_tool(id);
        let tool = tool.or_else(|| self.understands(id).map(|_| Command::new("env")));
        match tool {
            Some(tool) => self.start_with(id, tool),
            None => {
                self.cluster.launch(id)?;
                self.note_process(id)
            }
        }
    }

    fn pause(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.pause(id)
    }

    fn resume(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.resume(id)
    }

    fn isolate(&mut self, id: u64) -> Result<(), Error> {
        let others = self.cluster.ids().into_iter().filter(|other| *other != id);
        let cut =
            others.flat_map(|other| [((id, other), LinkRule::Cut), ((other, id), LinkRule::Cut)]);
        self.links.add(ISOLATION + id, cut.collect());
        Ok(())
    }

    fn rejoin(&mut self, id: u64) -> Result<(), Error> {
        self.links.remove(ISOLATION + id);
        Ok(())
    }

    fn has_ended(&mut self, id: u64) -> Result<bool, Error> {
        self.cluster.has_ended(id)
    }

    fn log(&self, id: u64) -> Result<String, Error> {
        Ok(self.cluster.node(id)?.log_text())
    }

    fn data(&self, id: u64, _into: &Path) -> Result<PathBuf, Error> {
        Ok(self.cluster.node(id)?.data_dir())
    }

    fn links(&self) -> Option<&Links> {
        Some(&self.links)
    }

    fn tokens(&self) -> Option<RunTokens> {
        Some(self.tokens.clone())
    }

    fn processes(&mut self) -> Option<&mut Processes> {
        Some(self)
    }
}
