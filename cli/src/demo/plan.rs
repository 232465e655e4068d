//! The folder of a demo: which nodes there are, where they listen, and a configuration for each.
//!
//! ```text
//! DIR/demo.json            the nodes and their addresses
//! DIR/secret               the nodes' shared secret
//! DIR/node1/config.yaml    written once; may be changed by hand
//! DIR/node1/log            the output of the process
//! DIR/node1/data/          its data folder
//! ```

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rstmdb_rcp::text::counted;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The file that makes a folder a demo's.
const DEMO_FILE: &str = "demo.json";
/// A node's configuration, in its folder.
pub const CONFIG: &str = "config.yaml";
/// The nodes' shared secret, in the demo's folder.
const SECRET: &str = "secret";
/// A node's output, in its folder.
pub const LOG: &str = "log";
/// How many nodes a new demo has.
const NODES: u8 = 3;
/// Ports of a node.
const PORTS: usize = 4;

/// What is to run.
#[derive(Debug)]
pub struct DemoPlan {
    /// Absolute.
    pub dir: PathBuf,
    /// By id.
    pub nodes: Vec<DemoNode>,
}

/// One node. Its addresses stay what they are: the cluster remembers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoNode {
    /// From 1.
    pub node_id: u64,
    /// Where clients reach it.
    pub rcp_addr: String,
    /// Where its peers reach it.
    pub peer_addr: String,
    /// Where its metrics are.
    pub metrics_addr: String,
    /// Where HTTP is served; an older demo has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_addr: Option<String>,
}

/// The content of [`DEMO_FILE`].
#[derive(Serialize, Deserialize)]
struct DemoFile {
    nodes: Vec<DemoNode>,
}

impl DemoPlan {
    /// The demo in `dir`, or a new one.
    pub fn open(dir: &Path, nodes: Option<u8>, base_port: Option<u16>) -> Result<DemoPlan, Error> {
        fs::create_dir_all(dir).map_err(|error| cannot(dir, "be made", &error))?;
        let dir = fs::canonicalize(dir).map_err(|error| cannot(dir, "be read", &error))?;
        let file = dir.join(DEMO_FILE);
        match fs::read_to_string(&file) {
            Ok(text) => {
                let known: DemoFile = serde_json::from_str(&text).map_err(|error| {
                    Error::Usage(format!(
                        "{} was not written by a demo: {error}",
                        file.display()
                    ))
                })?;
                DemoPlan {
                    dir,
                    nodes: known.nodes,
                }
                .reopened(nodes, base_port)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let plan = DemoPlan {
                    nodes: new_nodes(nodes.unwrap_or(NODES), base_port)?,
                    dir,
                };
                // A server that listens there already would be taken for a node of the demo.
                plan.must_be_free("Another program uses it: choose another --base-port")?;
                plan.write()?;
                Ok(plan)
            }
            Err(error) => Err(cannot(&file, "be read", &error)),
        }
    }

    /// Where a node's files are.
    pub fn folder(&self, node: &DemoNode) -> PathBuf {
        self.dir.join(format!("node{}", node.node_id))
    }

    /// What to give to `--server`.
    pub fn server_list(&self) -> String {
        let addresses: Vec<&str> = self.nodes.iter().map(|node| &*node.rcp_addr).collect();
        addresses.join(",")
    }

    /// Checks that the options fit the existing demo.
    fn reopened(self, nodes: Option<u8>, base_port: Option<u16>) -> Result<DemoPlan, Error> {
        let there = self.nodes.len();
        let wrong = |problem: String| {
            let message = format!("{problem}; leave the option out, or use another --dir",);
            Err(Error::Usage(message))
        };
        if nodes.is_some_and(|nodes| usize::from(nodes) != there) {
            return wrong(format!(
                "{} holds a demo of {}",
                self.dir.display(),
                counted(there as u64, "node", "nodes")
            ));
        }
        if let (Some(base), Some(first)) = (base_port, self.nodes.first())
            && first.rcp_addr != address(base)
        {
            return wrong(format!(
                "the demo in {} listens at {}",
                self.dir.display(),
                self.server_list()
            ));
        }
        self.must_be_free("Perhaps the demo runs already")?;
        Ok(self)
    }

    fn must_be_free(&self, perhaps: &str) -> Result<(), Error> {
        for addr in self.nodes.iter().flat_map(DemoNode::addresses) {
            TcpListener::bind(addr).map_err(|error| {
                Error::Failed(format!(
                    "cannot use {addr}, an address of the demo in {}: {error}. {perhaps}",
                    self.dir.display()
                ))
            })?;
        }
        Ok(())
    }

    /// Writes the configurations before [`DEMO_FILE`]: a folder with that file is complete.
    fn write(&self) -> Result<(), Error> {
        write_secret(&self.dir.join(SECRET))?;
        for node in &self.nodes {
            let folder = self.folder(node);
            fs::create_dir_all(&folder).map_err(|error| cannot(&folder, "be made", &error))?;
            write(&folder.join(CONFIG), &self.config(node))?;
        }
        let nodes = self.nodes.clone();
        let text = serde_json::to_string_pretty(&DemoFile { nodes }).map_err(Error::unexpected)?;
        write(&self.dir.join(DEMO_FILE), &text)
    }

    fn config(&self, node: &DemoNode) -> String {
        let peers: String = self
            .nodes
            .iter()
            .map(|peer| {
                format!(
                    "    - {{id: {}, peer_addr: '{}', rcp_addr: '{}'}}\n",
                    peer.node_id, peer.peer_addr, peer.rcp_addr
                )
            })
            .collect();
        format!(
            "# Node {id} of a demo. Run it by hand in this folder: rstmdb --config {CONFIG}\n\
             cluster:\n  node_id: {id}\n  name: demo\n  bind_addr: '{peer}'\n  secret_file: ../{SECRET}\n  peers:\n{peers}\
             network:\n  bind_addr: '{rcp}'\n\
             http:\n  bind_addr: '{http}'\n\
             metrics:\n  bind_addr: '{metrics}'\n\
             storage:\n  data_dir: data\n  min_free_mb: 64\n\
             logging:\n  format: pretty\n",
            id = node.node_id,
            peer = node.peer_addr,
            rcp = node.rcp_addr,
            http = node.http_addr.as_deref().unwrap_or("none"),
            metrics = node.metrics_addr,
        )
    }
}

impl DemoNode {
    fn addresses(&self) -> impl Iterator<Item = &str> {
        let others = [&self.rcp_addr, &self.peer_addr, &self.metrics_addr];
        others
            .into_iter()
            .chain(&self.http_addr)
            .map(String::as_str)
    }
}

fn new_nodes(count: u8, base_port: Option<u16>) -> Result<Vec<DemoNode>, Error> {
    let ports = match base_port {
        Some(base) => (base..=u16::MAX).take(usize::from(count) * PORTS).collect(),
        None => free_ports(usize::from(count) * PORTS)?,
    };
    if ports.len() < usize::from(count) * PORTS {
        return Err(Error::Usage(format!(
            "--base-port: the nodes need {} ports ({PORTS} each), and 65535 is the last one",
            usize::from(count) * PORTS
        )));
    }
    // The clients' ports first, in the order of the nodes, then those of one other purpose after the other.
    let port = |purpose: usize, node: usize| address(ports[purpose * usize::from(count) + node]);
    let node = |node: usize| DemoNode {
        node_id: node as u64 + 1,
        rcp_addr: port(0, node),
        peer_addr: port(1, node),
        metrics_addr: port(2, node),
        http_addr: Some(port(3, node)),
    };
    Ok((0..usize::from(count)).map(node).collect())
}

/// Ports that no program listens on now. All are held until the last is chosen, so that they differ.
fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let failed = |error| Error::Failed(format!("no port is free on 127.0.0.1: {error}"));
    let mut held = Vec::with_capacity(count);
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        ports.push(listener.local_addr().map_err(failed)?.port());
        held.push(listener);
    }
    debug_assert_eq!(ports.iter().collect::<HashSet<_>>().len(), count);
    Ok(ports)
}

fn address(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

/// Only the owner may read it: a program that knows the secret can act as a node.
fn write_secret(path: &Path) -> Result<(), Error> {
    let text: String = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]
        .iter()
        .map(|random| random.simple().to_string())
        .collect();
    let mut options = fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| cannot(path, "be written", &error))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| cannot(path, "be written", &error))
}

fn cannot(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::Usage(format!("{} can't {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_demo_from_a_base_port_has_its_ports_in_order_and_a_configuration_each() {
        let dir = tempfile::tempdir().unwrap();
        // Without the check whether the ports are free.
        let plan = DemoPlan {
            dir: dir.path().to_owned(),
            nodes: new_nodes(2, Some(7401)).unwrap(),
        };
        plan.write().unwrap();
        assert_eq!(plan.server_list(), "127.0.0.1:7401,127.0.0.1:7402");
        let config = fs::read_to_string(dir.path().join("node2").join(CONFIG)).unwrap();
        let expected = "\
# Node 2 of a demo. Run it by hand in this folder: rstmdb --config config.yaml
cluster:
  node_id: 2
  name: demo
  bind_addr: '127.0.0.1:7404'
  secret_file: ../secret
  peers:
    - {id: 1, peer_addr: '127.0.0.1:7403', rcp_addr: '127.0.0.1:7401'}
    - {id: 2, peer_addr: '127.0.0.1:7404', rcp_addr: '127.0.0.1:7402'}
network:
  bind_addr: '127.0.0.1:7402'
http:
  bind_addr: '127.0.0.1:7408'
metrics:
  bind_addr: '127.0.0.1:7406'
storage:
  data_dir: data
  min_free_mb: 64
logging:
  format: pretty
";
        assert_eq!(config, expected);
        let secret = fs::metadata(dir.path().join(SECRET)).unwrap();
        assert_eq!(
            (secret.len(), secret.permissions().mode() & 0o777),
            (64, 0o600)
        );
    }

    #[test]
    fn free_ports_are_all_different_and_three_nodes_are_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let plan = DemoPlan::open(dir.path(), None, None).unwrap();
        assert_eq!(plan.nodes.len(), 3);
        let addresses: HashSet<&str> = plan.nodes.iter().flat_map(DemoNode::addresses).collect();
        assert_eq!(addresses.len(), 12);
    }

    #[test]
    fn a_second_demo_in_the_folder_is_the_same_one_and_keeps_changes_made_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let first = DemoPlan::open(dir.path(), Some(5), None).unwrap();
        let config = first.folder(&first.nodes[4]).join(CONFIG);
        fs::write(&config, "changed").unwrap();
        for nodes in [None, Some(5)] {
            let second = DemoPlan::open(dir.path(), nodes, None).unwrap();
            assert_eq!(second.nodes, first.nodes);
        }
        assert_eq!(fs::read_to_string(&config).unwrap(), "changed");
    }

    #[test]
    fn what_does_not_fit_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let plan = DemoPlan::open(dir.path(), Some(3), None).unwrap();
        let error = DemoPlan::open(dir.path(), Some(5), None).unwrap_err();
        assert!(error.to_string().contains("a demo of 3 nodes"), "{error}");
        let error = DemoPlan::open(dir.path(), None, Some(1)).unwrap_err();
        assert!(error.to_string().contains("listens at"), "{error}");
        assert_eq!(error.exit_code(), 2);
        let _running = TcpListener::bind(&plan.nodes[1].peer_addr).unwrap();
        let error = DemoPlan::open(dir.path(), None, None).unwrap_err();
        assert!(
            error.to_string().contains(&plan.nodes[1].peer_addr),
            "{error}"
        );
        fs::write(dir.path().join(DEMO_FILE), "{").unwrap();
        assert_eq!(
            DemoPlan::open(dir.path(), None, None)
                .unwrap_err()
                .exit_code(),
            2
        );
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = DemoPlan::open(dir.path(), Some(7), Some(65_510)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(DemoPlan::open(dir.path(), Some(6), Some(65_510)).is_ok());
    }
}
