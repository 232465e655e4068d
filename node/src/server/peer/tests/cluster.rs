//! Raft over the wire: votes, appends in a pipeline, heartbeats, handing over, snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_raft_store::Data;

use super::replicas::Node;
use super::support::{PATIENCE, Served, eventually, options};

/// An entry that changes nothing, because the place in the log that it was decided for never comes.
fn idle_entry() -> Data {
    Data(Entry::default().encode_to_vec().into())
}

async fn three() -> Vec<Node> {
    let nodes = vec![
        Node::fresh(1).await,
        Node::fresh(2).await,
        Node::fresh(3).await,
    ];
    let members: BTreeMap<_, _> = (1_u64..)
        .zip(nodes.iter().map(|node| node.info.clone()))
        .collect();
    nodes[0].replica.raft().initialize(members).await.unwrap();
    eventually("all follow one leader", || leader(&nodes).is_some()).await;
    nodes
}

/// The position of the leader that all nodes agree on.
fn leader(nodes: &[Node]) -> Option<usize> {
    let named = nodes.iter().map(|node| node.metrics().current_leader);
    let named: Vec<_> = named.collect();
    let first = named[0]?;
    let agreed = named.iter().all(|name| *name == Some(first));
    agreed.then(|| usize::try_from(first).unwrap() - 1)
}

/// Writes entries at once and gives the last one's index. A leader that has not heard of the others
/// lately, as a new one, takes no writes: they are tried again.
async fn write(node: &Node, count: usize) -> u64 {
    let writes = (0..count).map(|_| async {
        loop {
            if let Ok(written) = node.replica.raft().client_write(idle_entry()).await {
                return written.log_id.index;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let written = tokio::time::timeout(PATIENCE, futures_util::future::join_all(writes)).await;
    written.expect("written in time").into_iter().max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_agree_on_a_leader_and_on_what_it_appends() {
    let nodes = three().await;
    let leader = leader(&nodes).unwrap();
    let last = write(&nodes[leader], 500).await;
    eventually("all have applied it", || {
        nodes.iter().all(|node| node.applied() >= last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_is_handed_over_and_kept_by_heartbeats() {
    let nodes = three().await;
    let before = leader(&nodes).unwrap();
    let to = (before + 1) % 3;
    let raft = nodes[before].replica.raft();
    raft.trigger().transfer_leader(to as u64 + 1).await.unwrap();
    eventually("the other one leads", || leader(&nodes) == Some(to)).await;

    // No client writes, so only heartbeats can tell the leader that it still leads.
    let acked = nodes[to].metrics().last_quorum_acked;
    eventually("heartbeats are answered", || {
        nodes[to].metrics().last_quorum_acked > acked
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_go_on_and_the_third_catches_up_by_the_log() {
    let mut nodes = three().await;
    let leads = leader(&nodes).unwrap();
    nodes.swap(0, leads);
    let Node {
        replica, served, ..
    } = nodes.remove(1);
    let addr = served.addr;
    // The node hears nothing any more. Its server ends although streams are open.
    served.stop().await;
    let last = write(&nodes[0], 50).await;

    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let back = Served::on(listener, |addr| options(replica.node().0, addr));
    back.server.set_replica(replica.clone());
    let applied = || replica.raft().metrics().borrow_watched().last_applied;
    eventually("it has caught up", || {
        applied().is_some_and(|id| id.index >= last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lacks_what_was_purged_gets_a_snapshot() {
    let first = Node::fresh(1).await;
    let raft = first.replica.raft();
    let alone = BTreeMap::from([(1, first.info.clone())]);
    raft.initialize(alone).await.unwrap();
    eventually("it leads", || first.metrics().current_leader == Some(1)).await;
    let last = write(&first, 20).await;
    eventually("it has applied all", || first.applied() >= last).await;
    first.replica.compact(true).await.unwrap();
    eventually("a snapshot is there", || first.metrics().snapshot.is_some()).await;
    raft.trigger().purge_log(last).await.unwrap();
    eventually("the log is purged", || first.metrics().purged.is_some()).await;

    let second = Node::fresh(2).await;
    raft.add_learner(2, second.info.clone(), false)
        .await
        .unwrap();
    eventually("it has what the snapshot holds", || {
        second.applied() >= last
    })
    .await;
    assert!(!second.replica.snapshots().list().is_empty());
    let more = write(&first, 5).await;
    eventually("it follows", || second.applied() >= more).await;
}
