//! Members whose names lead to other addresses than before, as after a restart of containers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::ports;
use rstmdb_jepsen::process::node::Node;
use tempfile::TempDir;

const IDS: [u8; 3] = [1, 2, 3];
/// How long the other members may take to find a node at its new address.
const FIND_TIMEOUT: Duration = Duration::from_secs(20);

/// A file in place of `/etc/hosts`, for processes that are started under it.
struct Names {
    folder: TempDir,
    /// The last number of each node's address.
    hosts: [u8; 3],
}

impl Names {
    fn begin() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let names = Self { folder, hosts: IDS };
        names.write();
        let tried = names.tool().arg("true").output();
        match tried.map_err(|error| error.to_string())? {
            output if output.status.success() => Ok(names),
            output => Err(format!(
                "names cannot be given: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    /// Changes the file in its place: running processes see it.
    fn write(&self) {
        let lines = IDS.iter().zip(self.hosts);
        let lines = lines.map(|(id, host)| format!("127.0.0.{host} node{id}.test\n"));
        let text = format!("127.0.0.1 localhost\n{}", lines.collect::<String>());
        fs::write(self.path(), text).unwrap();
    }

    /// Becomes the program whose command line follows.
    fn tool(&self) -> Command {
        let mut command = Command::new("unshare");
        let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        command.args(["-m", "sh", "-c", script]).arg(self.path());
        command
    }
}

struct Named {
    names: Names,
    nodes: Vec<Node>,
    peer_ports: Vec<u16>,
    rcp_ports: Vec<u16>,
}

impl Named {
    fn start(names: Names) -> Self {
        let free = |_| ports::free().unwrap();
        let mut named = Self {
            names,
            nodes: Vec::new(),
            peer_ports: IDS.map(free).to_vec(),
            rcp_ports: IDS.map(free).to_vec(),
        };
        for (at, id) in IDS.iter().enumerate() {
            let config = named.config(at);
            let name = format!("node {id}");
            let node = Node::prepare_as(&name, named.rcp_ports[at], &config);
            named.nodes.push(node.unwrap());
        }
        for node in &mut named.nodes {
            node.launch_under(named.names.tool()).unwrap();
        }
        for node in &mut named.nodes {
            node.wait_ready().unwrap();
        }
        named
    }

    fn config(&self, at: usize) -> NodeConfig {
        let item = |at: usize| {
            let (id, peer, rcp) = (IDS[at], self.peer_ports[at], self.rcp_ports[at]);
            format!(
                r#"{{id: {id}, peer_addr: "node{id}.test:{peer}", rcp_addr: "127.0.0.1:{rcp}"}}"#
            )
        };
        let peers: Vec<String> = (0..IDS.len()).map(item).collect();
        let bind = format!("127.0.0.{}:{}", self.names.hosts[at], self.peer_ports[at]);
        NodeConfig::for_tests()
            .with("cluster.name", "tests")
            .with("cluster.node_id", &IDS[at].to_string())
            .with("cluster.bind_addr", &bind)
            .with("cluster.peers", &format!("[{}]", peers.join(", ")))
    }

    /// Every member reaches every other one.
    fn wait_for_all(&self) {
        within(FIND_TIMEOUT, || {
            for node in &self.nodes {
                let status = Cli::new(node.addr()).json(&["cluster", "status", "--json"]);
                let status = status.map_err(|error| error.to_string())?;
                let members = status["nodes"].as_array().cloned().unwrap_or_default();
                if members.len() != IDS.len() || members.iter().any(|one| one["reachable"] != true)
                {
                    return Err(status.to_string());
                }
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_member_whose_name_leads_elsewhere_is_found_there_without_any_change_of_the_cluster() {
    let _turn = turns::heavy();
    let Some(names) = or_skipped(Names::begin()) else {
        return;
    };
    let mut named = Named::start(names);
    named.wait_for_all();
    // One of them leads.
    for at in 0..IDS.len() {
        named.nodes[at].stop().unwrap();
        named.names.hosts[at] += 10;
        named.names.write();
        let (config, port) = (named.config(at), named.rcp_ports[at]);
        named.nodes[at].reconfigure(port, &config).unwrap();
        let tool = named.names.tool();
        named.nodes[at].launch_under(tool).unwrap();
        named.nodes[at].wait_ready().unwrap();
        named.wait_for_all();
    }
    let cli = Cli::new(named.nodes[0].addr());
    let machine = r#"{"states":["a"],"initial":"a","transitions":[]}"#;
    let put = cli.run(&["put-machine", "-n", "m", "-v", "1", machine]);
    assert_eq!(put.unwrap().code, Some(0));
}
