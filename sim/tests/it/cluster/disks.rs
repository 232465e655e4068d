//! Disks that fill up: on a follower, on the leader, on so many that nothing can be confirmed. What the other nodes can
//! do goes on. Everything else is refused with a reason. When there is room again, the cluster works again without
//! help.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{
    ChangeError, Consistency, Error, Formation, LeaderChange, Role, WatchFilter,
};
use rstmdb_raft_store::FileSystem;
use rstmdb_sim::Sim;
use rstmdb_sim::settings::{DATA_DIR, RESERVE_BYTES, node_info};

use super::{Cluster, create, in_simulation, machine, set, submit};

/// Longer than a node takes to notice, and to tell the others.
const NOTICE: Duration = Duration::from_secs(3);
/// Longer than any election takes.
const LONG: Duration = Duration::from_secs(10);

impl Cluster {
    /// Leaves less than the reserve on a node's disk.
    fn fill(&self, id: u64) {
        let disk = &self.disks[&id];
        let used = u64::MAX - disk.free_bytes(Path::new(DATA_DIR)).unwrap();
        disk.set_capacity_bytes(used + RESERVE_BYTES / 2);
    }

    fn make_room(&self, id: u64) {
        self.disks[&id].set_capacity_bytes(u64::MAX);
    }

    async fn prepared(seed: u64) -> (Self, u64) {
        let cluster = Self::form(seed, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        cluster.converge().await;
        (cluster, leader)
    }

    /// Writes through every one of these nodes.
    async fn write_through(&self, ids: &[u64], from: u64) {
        for (n, id) in (from..).zip(ids) {
            let written = submit(self.node(*id), set("a", n, true)).await;
            written.unwrap_or_else(|error| panic!("through node {id}: {error}"));
        }
    }
}

fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::ReadOnly { reason } if reason.contains("storage.min_free_mb"))
}

#[test]
fn a_follower_without_room_takes_nothing_disturbs_nobody_and_comes_back() {
    in_simulation(11, async {
        let (cluster, leader) = Cluster::prepared(11).await;
        let full = 1 + leader % 3;
        cluster.fill(full);
        Sim::sleep(NOTICE).await;
        let node = cluster.node(full);
        let (end, term) = (node.log_end(), node.status().term);
        assert!(node.report().read_only.is_some());
        cluster.write_through(&[1, 2, 3, 1, 2, 3], 10).await;
        Sim::sleep(LONG).await;
        assert_eq!(node.log_end(), end, "it has taken entries");
        assert_eq!(node.status().term, term, "it has asked for votes");
        assert_eq!(cluster.leader().await, leader);
        node.barrier(Consistency::Local, None).await.unwrap();
        node.watch(WatchFilter::default(), Some(0)).unwrap();
        cluster.make_room(full);
        cluster.converge().await;
        assert!(node.log_end() > end && node.report().read_only.is_none());
    });
}

#[test]
fn a_leader_without_room_hands_over_and_is_not_made_leader_again() {
    in_simulation(12, async {
        let (cluster, full) = Cluster::prepared(12).await;
        cluster.fill(full);
        Sim::sleep(NOTICE).await;
        let leader = cluster.leader().await;
        assert_ne!(leader, full);
        cluster.write_through(&[1, 2, 3], 10).await;
        let change = LeaderChange::TransferLeader { to: Some(full) };
        let refused = cluster.node(1).change(&change).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("has no room"), "{refused}");
        // Nor by chance: to whom it goes is for the node to choose.
        for _ in 0..3 {
            let change = LeaderChange::TransferLeader { to: None };
            cluster.node(1).change(&change).await.unwrap();
            assert_ne!(cluster.leader().await, full);
        }
        cluster.make_room(full);
        cluster.converge().await;
        let change = LeaderChange::TransferLeader { to: Some(full) };
        cluster.node(1).change(&change).await.unwrap();
        assert_eq!(cluster.leader().await, full);
    });
}

#[test]
fn a_cluster_without_room_refuses_writes_reads_on_and_recovers() {
    in_simulation(13, async {
        let (cluster, leader) = Cluster::prepared(13).await;
        (1..=3).for_each(|id| cluster.fill(id));
        Sim::sleep(NOTICE).await;
        let end = cluster.node(leader).log_end();
        for id in 1..=3 {
            let refused = submit(cluster.node(id), set("a", 1, false)).await;
            let refused = refused.unwrap_err();
            assert!(is_read_only(&refused), "{refused}");
            assert!(!refused.outcome_unknown());
            let read = cluster.node(id).barrier(Consistency::Linearizable, None);
            read.await.unwrap();
        }
        Sim::sleep(LONG).await;
        assert_eq!(cluster.leader().await, leader);
        assert_eq!(cluster.node(leader).log_end(), end);
        (1..=3).for_each(|id| cluster.make_room(id));
        Sim::sleep(NOTICE).await;
        cluster.write_through(&[1, 2, 3], 10).await;
        cluster.converge().await;
    });
}

#[test]
fn a_leader_whose_followers_have_no_room_refuses_what_nobody_would_confirm() {
    in_simulation(14, async {
        let (cluster, leader) = Cluster::prepared(14).await;
        let followers = [1 + leader % 3, 1 + (leader + 1) % 3];
        followers.iter().for_each(|id| cluster.fill(*id));
        Sim::sleep(NOTICE).await;
        let end = cluster.node(leader).log_end();
        for id in 1..=3 {
            let refused = submit(cluster.node(id), set("a", 1, false)).await;
            let refused = refused.unwrap_err();
            assert!(is_read_only(&refused), "{refused}");
            for id in followers {
                assert!(refused.to_string().contains(&format!("node {id}")));
            }
        }
        assert_eq!(cluster.node(leader).log_end(), end);
        cluster.make_room(followers[0]);
        Sim::sleep(NOTICE).await;
        cluster.write_through(&[1, 2, 3], 10).await;
        cluster.make_room(followers[1]);
        cluster.converge().await;
    });
}

#[test]
fn a_full_node_and_a_lost_one_stop_a_cluster_of_three_until_one_is_back() {
    in_simulation(15, async {
        let (cluster, lost) = Cluster::prepared(15).await;
        let (full, other) = (1 + lost % 3, 1 + (lost + 1) % 3);
        cluster.fill(full);
        Sim::sleep(NOTICE).await;
        cluster.network.isolate(lost);
        for _ in 0..100 {
            Sim::sleep(LONG / 100).await;
            let role = cluster.node(full).status().role;
            assert_eq!(role, Role::Follower, "it asks for votes");
        }
        let refused = submit(cluster.node(other), set("a", 1, false)).await;
        let refused = refused.unwrap_err();
        let said = is_read_only(&refused) || matches!(refused, Error::NoLeader);
        assert!(said, "{refused}");
        cluster.make_room(full);
        Sim::sleep(LONG).await;
        cluster.write_through(&[full, other], 10).await;
        cluster.network.ways.heal();
        cluster.converge().await;
    });
}

#[test]
fn a_node_without_room_is_not_added_nor_given_a_vote() {
    in_simulation(16, async {
        let (mut cluster, leader) = Cluster::prepared(16).await;
        cluster.boot(4, Formation::Join).await;
        let joining = cluster
            .node(leader)
            .introduce(&node_info(4).peer_addr)
            .await
            .unwrap();
        let add = LeaderChange::AddLearner {
            node_id: 4,
            node: joining.node,
        };
        let promote = LeaderChange::Promote { node_id: 4 };
        cluster.fill(4);
        Sim::sleep(NOTICE).await;
        let refused = cluster.node(leader).change(&add).await.unwrap_err();
        assert!(
            refused.to_string().contains("node 4 has no room"),
            "{refused}"
        );
        cluster.make_room(4);
        Sim::sleep(NOTICE).await;
        cluster.node(leader).change(&add).await.unwrap();
        cluster.converge().await;
        cluster.fill(4);
        Sim::sleep(NOTICE).await;
        let refused = cluster.node(leader).change(&promote).await.unwrap_err();
        assert!(
            refused.to_string().contains("node 4 has no room"),
            "{refused}"
        );
        cluster.make_room(4);
        Sim::sleep(NOTICE).await;
        cluster.node(leader).change(&promote).await.unwrap();
    });
}

#[test]
fn a_node_without_room_takes_no_snapshot_until_it_has() {
    in_simulation(17, async {
        let (cluster, leader) = Cluster::prepared(17).await;
        let full = 1 + leader % 3;
        cluster.network.isolate(full);
        // More than what is kept for stragglers, so that it needs a snapshot.
        for n in 0..8 {
            let burst = (1..=500).map(|k| {
                let command = set("a", n * 500 + k, false);
                cluster.node(leader).submit(command, "test".into())
            });
            for outcome in join_all(burst.collect::<Vec<_>>()).await {
                outcome.unwrap();
            }
            Sim::sleep(Duration::from_millis(100)).await;
        }
        Sim::sleep(LONG).await;
        cluster.fill(full);
        Sim::sleep(NOTICE).await;
        let end = cluster.node(full).log_end();
        cluster.network.ways.heal();
        Sim::sleep(LONG).await;
        let status = cluster.node(full).status();
        assert_eq!(
            (cluster.node(full).log_end(), status.snapshot_offset),
            (end, 0)
        );
        assert_eq!(cluster.leader().await, leader);
        cluster.make_room(full);
        cluster.converge().await;
        assert!(cluster.node(full).status().snapshot_offset > end);
    });
}
