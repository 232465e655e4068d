//! Nodes whose configurations contradict each other, which must not become one cluster.

use std::time::Duration;

use rstmdb::server::node::StartedNode;
use rstmdb::server::{Config, Listeners};
use tempfile::TempDir;

use super::support::config_on;

/// How long the test waits. Nodes that form a cluster need far less time.
const WAITED_FOR: Duration = Duration::from_secs(4);

/// A node that may be told of others: its folder, its sockets, its addresses as a list entry.
struct Prepared {
    dir: TempDir,
    id: &'static str,
    listeners: Listeners,
    entry: String,
    secret_file: String,
}

async fn prepare(id: &'static str) -> Prepared {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("RSTMDB_NODE_ID", id), ("RSTMDB_PEER_BIND", "127.0.0.1:0")];
    let listeners = Listeners::bind(&config_on(dir.path(), &variables))
        .await
        .unwrap();
    let peer = listeners.peers.as_ref().unwrap().local_addr().unwrap();
    let rcp = listeners.rcp.local_addr().unwrap();
    Prepared {
        dir,
        id,
        listeners,
        entry: format!("{id}={peer}/{rcp}"),
        secret_file: String::new(),
    }
}

impl Prepared {
    fn config(&self, peers: &str) -> Config {
        let variables = [
            ("RSTMDB_NODE_ID", self.id),
            ("RSTMDB_PEER_BIND", "127.0.0.1:0"),
            ("RSTMDB_PEERS", peers),
            ("RSTMDB_CLUSTER_SECRET_FILE", &self.secret_file),
        ];
        config_on(self.dir.path(), &variables)
    }

    async fn start(&mut self, peers: &str) -> Result<StartedNode, String> {
        let config = self.config(peers);
        let started = StartedNode::start(&config, self.listeners.peers.take());
        match tokio::time::timeout(WAITED_FOR, started).await {
            Ok(started) => started.map_err(|error| error.to_string()),
            Err(_) => Err("waits for the others".to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_node_does_not_force_itself_into_a_cluster_that_does_not_know_it() {
    let (mut alone, mut fresh) = (prepare("1").await, prepare("2").await);
    let both = format!("{},{}", alone.entry, fresh.entry);
    let own = alone.entry.clone();
    let node = alone.start(&own).await.unwrap();
    let refused = fresh.start(&both).await.err().unwrap();
    assert!(
        refused.contains("not a member of") && refused.contains("cluster add"),
        "{refused}"
    );
    assert_eq!(node.replica().status().members.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_list_different_nodes_do_not_form_a_cluster() {
    let mut nodes = [prepare("1").await, prepare("2").await, prepare("3").await];
    let entries = nodes.each_ref().map(|node| node.entry.clone());
    let all = entries.join(",");
    let two = entries[..2].join(",");
    let [first, second, third] = &mut nodes;
    let lists = [all.as_str(), two.as_str(), all.as_str()];
    let started = tokio::join!(
        first.start(lists[0]),
        second.start(lists[1]),
        third.start(lists[2])
    );
    let refused = [started.0.err(), started.1.err(), started.2.err()];
    // A node that notices the difference ends, and the others may wait for it. No node may have formed a cluster.
    assert!(
        refused.iter().flatten().any(|text| text.contains("lists")),
        "{refused:?}"
    );
    assert!(refused.iter().all(Option::is_some), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_secret_form_a_cluster() {
    let (mut first, mut second) = (prepare("1").await, prepare("2").await);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "sixteen bytes, or more than that\n").unwrap();
    for node in [&mut first, &mut second] {
        node.secret_file = file.display().to_string();
    }
    let both = format!("{},{}", first.entry, second.entry);
    let (first, second) = tokio::join!(first.start(&both), second.start(&both));
    let (first, _second) = (first.unwrap(), second.unwrap());
    let led = async {
        while first.replica().status().leader.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAITED_FOR, led).await.unwrap();
    assert_eq!(first.replica().status().members.len(), 2);
}
