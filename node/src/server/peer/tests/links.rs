//! Large entries over links that are slow, that break, or that lose what is large.

use std::time::{Duration, Instant};

use rstmdb_raft_store::NodeInfo;

use super::relay::{Way, relay};
use super::replica_calls::{create, put};
use super::replicas::Node;
use super::snapshots::noise;
use super::support::eventually;

const MIB: usize = 1024 * 1024;

/// Node 1, which leads alone, and node 2, which learns from it over a link.
pub struct Pair {
    pub leader: Node,
    pub learner: Node,
}

impl Pair {
    pub async fn over(way: Way) -> Self {
        let leader = Node::fresh(1).await;
        let members = std::collections::BTreeMap::from([(1, leader.info.clone())]);
        leader.replica.raft().initialize(members).await.unwrap();
        eventually("it leads", || leader.replica.is_leader()).await;
        let learner = Node::fresh(2).await;
        let link = NodeInfo {
            peer_addr: relay(learner.served.addr, way).await.to_string(),
            ..learner.info.clone()
        };
        let raft = leader.replica.raft();
        raft.add_learner(2, link, false).await.unwrap();
        leader.replica.submit(put(), "test".into()).await.unwrap();
        Self { leader, learner }
    }

    /// Writes a context of so many bytes, and waits until both have it.
    pub async fn carry(&self, bytes: usize) -> Duration {
        let began = Instant::now();
        let ctx = format!("{{\"n\":\"{}\"}}", noise(9, bytes));
        let command = create(&format!("i{bytes}"), Some(ctx));
        self.leader
            .replica
            .submit(command, "test".into())
            .await
            .unwrap();
        let end = self.leader.replica.log_end();
        eventually("the entry has arrived", || self.learner.applied() >= end).await;
        began.elapsed()
    }

    /// How often nothing arrived although heartbeats did.
    fn stalls(&self) -> u64 {
        self.leader.connections.path(2).stall_count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_takes_longer_than_the_silence_timeout_gets_through() {
    let way = Way {
        rate: Some(MIB),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(5 * MIB / 2).await;
    assert!(
        took > Duration::from_secs(2),
        "{took:?}: the link is not slow"
    );
    assert_eq!(pair.stalls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_gets_through_a_link_that_breaks_before_it_is_through() {
    let way = Way {
        rate: Some(4 * MIB),
        breaks_after: Some(Duration::from_millis(700)),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    pair.carry(7 * MIB / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_gets_through_a_link_that_never_lives_as_long_as_the_wait_between_two_tries() {
    let way = Way {
        rate: Some(2 * MIB),
        breaks_after: Some(Duration::from_millis(250)),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(5 * MIB / 2).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_drops_large_packets_is_noticed_and_used_in_small_ones() {
    let way = Way {
        packet_max: Some(1000),
        ..Way::default()
    };
    let pair = Pair::over(way).await;
    let took = pair.carry(3000).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(pair.stalls(), 1);
    pair.carry(MIB).await;
    assert_eq!(pair.stalls(), 1);
}
