//! Nodes that were removed from their cluster, and learn it.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{ChangeError, Consistency, Error, LeaderChange};
use rstmdb_sim::Sim;

use super::{Cluster, in_simulation, machine, submit};

/// How long a removed node may take to learn it.
const LEARN_TIMEOUT: Duration = Duration::from_secs(15);

/// The node that has told this one that it was removed.
async fn removed_by(cluster: &Cluster, id: u64) -> u64 {
    let deadline = Sim::now() + LEARN_TIMEOUT;
    loop {
        if let Some(removal) = cluster.node(id).status().removed {
            return removal.by;
        }
        assert!(Sim::now() < deadline, "node {id} has not learned it");
        Sim::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_node_that_is_removed_while_it_is_away_learns_it_from_the_members_that_refuse_it() {
    in_simulation(44, async {
        let cluster = Cluster::form(44, 4).await;
        let leader = cluster.leader().await;
        let away = 1 + leader % 4;
        cluster.network.isolate(away);
        let remove = LeaderChange::Remove { node_id: away };
        cluster.node(leader).change(&remove).await.unwrap();
        // As long as it reaches no member, it knows only that it has no leader.
        Sim::sleep(LEARN_TIMEOUT).await;
        assert_eq!(cluster.node(away).status().removed, None);
        cluster.network.ways.heal();
        let by = removed_by(&cluster, away).await;
        assert_ne!(by, away);
        let node = cluster.node(away);
        let denied = submit(node, machine()).await.unwrap_err();
        assert!(matches!(denied, Error::Removed(_)), "{denied}");
        node.barrier(Consistency::Local, None).await.unwrap();
        node.change(&remove).await.unwrap();
        let denied = node.change(&LeaderChange::Promote { node_id: away }).await;
        assert!(matches!(denied, Err(ChangeError::Removed(_))), "{denied:?}");
        for (id, node) in cluster.nodes.iter().filter(|(id, _)| **id != away) {
            assert_eq!(node.status().removed, None, "node {id}");
        }
    });
}

#[test]
fn a_node_takes_its_own_removal_and_takes_it_again() {
    in_simulation(45, async {
        let cluster = Cluster::form(45, 5).await;
        let leader = cluster.leader().await;
        // A follower, and then the leader.
        for goes in [1 + leader % 5, leader] {
            let remove = LeaderChange::Remove { node_id: goes };
            for _ in 0..2 {
                cluster.node(goes).change(&remove).await.unwrap();
            }
            assert_ne!(removed_by(&cluster, goes).await, goes);
            cluster.node(goes).change(&remove).await.unwrap();
        }
    });
}
