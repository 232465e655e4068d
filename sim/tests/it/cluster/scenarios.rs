//! One situation each: a minority, a node that was away for long, the membership.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::AppendEntriesRequest;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, Membership};
use rstmdb::replica::{
    ChangeError, Consistency, Error, Formation, LeaderChange, Replica, WatchFilter,
};
use rstmdb_raft_store::FileSystem;
use rstmdb_sim::Sim;
use rstmdb_sim::settings::node_info;

use super::{Cluster, LEADER_WAIT, create, in_simulation, machine, set, submit, values_in_log};

#[test]
fn each_node_of_a_new_cluster_names_all_members_at_once() {
    in_simulation(40, async {
        let cluster = Cluster::form(40, 3).await;
        for (id, node) in &cluster.nodes {
            let members = node.status().members;
            let voters = members.iter().filter(|member| member.voter);
            let voters: Vec<u64> = voters.map(|member| member.node_id).collect();
            assert_eq!(voters, [1, 2, 3], "node {id}");
        }
    });
}

#[test]
fn a_node_without_a_majority_serves_what_it_has_and_denies_the_rest_in_time() {
    in_simulation(1, async {
        let cluster = Cluster::form(1, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        cluster.converge().await;
        let follower = 1 + leader % 3;
        for alone in [follower, leader] {
            cluster.network.isolate(alone);
            // Until then a leader may still hand to its log what will never be confirmed.
            Sim::sleep(Duration::from_secs(3)).await;
            let node = cluster.node(alone);
            let began = Sim::now();
            let denied = submit(node, set("a", 5, false)).await.unwrap_err();
            assert!(matches!(denied, Error::NoLeader), "{denied}");
            let denied = node
                .barrier(Consistency::Linearizable, None)
                .await
                .unwrap_err();
            assert!(matches!(denied, Error::NoLeader), "{denied}");
            assert!(Sim::now() - began < LEADER_WAIT * 3, "in time");
            node.barrier(Consistency::Local, None).await.unwrap();
            node.watch(WatchFilter::default(), Some(0)).unwrap();
            cluster.network.ways.heal();
            cluster.leader().await;
        }
        submit(cluster.node(leader), set("a", 6, true))
            .await
            .unwrap();
        cluster.converge().await;
        assert_eq!(values_in_log(cluster.node(follower))["a"], [6]);
    });
}

#[test]
fn a_leader_that_lost_its_majority_with_writes_under_way_denies_later_ones_in_time() {
    in_simulation(26, async {
        let cluster = Cluster::form(26, 3).await;
        let leader = cluster.leader().await;
        let node = cluster.node(leader).clone();
        submit(&node, machine()).await.unwrap();
        for id in ["a", "b"] {
            submit(&node, create(id)).await.unwrap();
        }
        cluster.network.isolate(leader);
        let mut under_way = std::pin::pin!(submit(&node, set("a", 5, false)));
        assert!(
            Sim::timeout(Duration::from_secs(3), &mut under_way)
                .await
                .is_err()
        );
        let began = Sim::now();
        let denied = Sim::timeout(LEADER_WAIT * 2, submit(&node, set("b", 5, false))).await;
        let denied = denied.expect("it is answered in time").unwrap_err();
        assert!(matches!(denied, Error::NoLeader), "{denied}");
        assert!(Sim::now() - began < LEADER_WAIT * 2);
        cluster.network.ways.heal();
        // What was under way may or may not have taken effect, or it is lost for certain.
        let _ = under_way.await;
        cluster.converge().await;
        assert!(!values_in_log(&node).contains_key("b"));
    });
}

#[test]
fn a_node_that_was_away_for_long_gets_a_snapshot_and_then_the_history_behind_it() {
    in_simulation(2, async {
        let cluster = Cluster::form(2, 3).await;
        let (leader, away) = with_fetched_history(&cluster).await;
        let values = values_in_log(cluster.node(leader));
        assert_eq!(values["a"].len(), 4_000);
        assert_eq!(values_in_log(cluster.node(away)), values);
    });
}

#[test]
fn damaged_history_is_noticed_and_fetched_again() {
    in_simulation(4, async {
        let cluster = Cluster::form(4, 3).await;
        let (_, away) = with_fetched_history(&cluster).await;
        let (node, disk) = (cluster.node(away), &cluster.disks[&away]);
        cluster.world.damaged(away);
        let values = values_in_log(node);
        let dir = Path::new("/data/history");
        let files = disk.list(dir).unwrap();
        let path = dir.join(files.first().unwrap());
        for (healed, noticed_by_a_read) in [(1, true), (2, false)] {
            let mut content = disk.content(&path).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            disk.set_content(&path, &content).unwrap();
            if noticed_by_a_read {
                read_whole_log(node).unwrap_err();
                assert_eq!(node.status().history_damaged, 1);
            }
            let is_healed = || node.counters().history_healed.load() == healed;
            cluster.wait("healing", || is_healed().then_some(())).await;
            assert_eq!(node.status().history_damaged, 0);
            assert_eq!(values_in_log(node), values);
        }
    });
}

#[test]
fn a_damaged_snapshot_is_written_again() {
    in_simulation(5, async {
        let cluster = Cluster::form(5, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        for n in 0..50 {
            submit(cluster.node(leader), create(&format!("i{n}")))
                .await
                .unwrap();
        }
        let (node, disk) = (cluster.node(leader), &cluster.disks[&leader]);
        node.compact(true).await.unwrap();
        let snapshots = node.snapshots();
        let readable = || {
            let current = snapshots.current()?.unwrap();
            snapshots
                .open_records(&current)?
                .try_for_each(|record| record.map(drop))
        };
        readable().unwrap();
        cluster.world.damaged(leader);
        let path = Path::new("/data/snapshots").join(&snapshots.list()[0].file);
        let mut content = disk.content(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        disk.set_content(&path, &content).unwrap();
        readable().unwrap_err();
        // No client writes meanwhile, so the snapshot has the same offset.
        Sim::sleep(Duration::from_secs(700)).await;
        readable().unwrap();
        submit(node, create("after")).await.unwrap();
        cluster.converge().await;
    });
}

#[test]
fn a_leader_that_is_replaced_keeps_the_order_of_what_it_was_sent() {
    const WRITES: u64 = 300;
    // As long as a leader without a majority goes on deciding. What it has written into its log by then
    // comes back, and what comes next, which it does not even decide, has to stay behind that.
    const ALONE: u64 = 172;
    in_simulation(8, async {
        let cluster = Cluster::form(8, 3).await;
        let first = cluster.leader().await;
        submit(cluster.node(first), machine()).await.unwrap();
        submit(cluster.node(first), create("a")).await.unwrap();
        for round in 0..5 {
            let leader = cluster.leader().await;
            cluster.network.isolate(leader);
            let mut sent = Vec::new();
            for n in 0..WRITES {
                if n == ALONE {
                    cluster.network.ways.heal();
                }
                let write = set("a", 1 + round * WRITES + n, true);
                sent.push(cluster.node(leader).submit(write, "test".into()));
                Sim::sleep(Duration::from_millis(12)).await;
            }
            let done = join_all(sent).await;
            let in_time = done.iter().position(Result::is_ok).unwrap();
            // The node refuses only the requests that waited too long, and no later one.
            let offsets = done[in_time..]
                .iter()
                .map(|done| done.as_ref().unwrap().offset);
            let offsets: Vec<_> = offsets.collect();
            assert!(offsets.is_sorted(), "{offsets:?}");
        }
    });
}

#[test]
fn a_snapshot_of_what_a_late_append_has_brought_holds_nothing_up() {
    in_simulation(9, async {
        let cluster = Cluster::form(9, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        submit(cluster.node(leader), create("a")).await.unwrap();
        cluster.converge().await;
        let (to, node) = (1 + leader % 3, cluster.node(1 + leader % 3));
        let leads = cluster.node(leader);
        let before = cluster.stores[&leader].read(leads.log_end(), 1, usize::MAX);
        let before = before.unwrap()[0].log_id;
        cluster.network.ways.lose_entries(leader, to);
        submit(leads, set("a", 1, false)).await.unwrap();
        leads.compact(true).await.unwrap();
        let snapshot = leads.snapshots().current().unwrap().unwrap();
        submit(leads, set("a", 2, false)).await.unwrap();
        // An append of both entries was on the way, and nothing of it was committed when it was sent.
        let vote = leads.raft().metrics().borrow_watched().vote;
        let late = AppendEntriesRequest::<Sim> {
            vote,
            prev_log_id: Some(before),
            entries: cluster.stores[&leader]
                .read(before.index + 1, 10, usize::MAX)
                .unwrap(),
            leader_commit: Some(before),
        };
        let appended = node.raft().append_entries(late).await.unwrap();
        assert!(appended.is_success());
        let mut connections = cluster.connections(leader);
        let mut wire = connections.new_snapshot_client(to, &node_info(to)).await;
        let snapshot = SnapshotOf::<Sim, _> {
            meta: snapshot.meta().clone(),
            snapshot,
        };
        let option = RPCOption::new(LEADER_WAIT);
        let sent = wire.full_snapshot(vote, snapshot, pending(), option);
        assert_eq!(sent.await.unwrap().vote, vote);
        cluster.network.ways.heal();
        cluster.converge().await;
        assert_eq!(values_in_log(node)["a"], [1, 2]);
    });
}

fn read_whole_log(node: &Replica<Sim>) -> Result<(), Error> {
    let mut from = 0;
    loop {
        let page = node.log_read(from, 1000)?;
        if page.items.is_empty() {
            return Ok(());
        }
        from = page.next_offset;
    }
}

/// Keeps a follower away until it can come back by a snapshot only, and lets it fetch the history
/// behind that. Names the leader and the follower.
async fn with_fetched_history(cluster: &Cluster) -> (u64, u64) {
    let leader = cluster.leader().await;
    submit(cluster.node(leader), machine()).await.unwrap();
    submit(cluster.node(leader), create("a")).await.unwrap();
    cluster.converge().await;
    let away = 1 + leader % 3;
    cluster.network.isolate(away);
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
    // The log that the node lacks has been purged, up to what is kept for stragglers.
    Sim::sleep(Duration::from_secs(5)).await;
    let before = cluster.node(away).log_end();
    cluster.network.ways.heal();
    cluster.converge().await;
    cluster.node(away).wait_for_history(0).await;
    assert!(cluster.node(away).status().snapshot_offset > before);
    (leader, away)
}

/// Leaves the cluster in a joint configuration, as a leader does that dies in the middle of removing a
/// node.
async fn begin_to_remove(leader: &Replica<Sim>, removed: u64) {
    let now = leader.raft().metrics().borrow_watched().clone();
    let now = now.membership_config;
    let voters: BTreeSet<u64> = now.voter_ids().collect();
    let next = voters.iter().copied().filter(|id| *id != removed).collect();
    let nodes = now.nodes().map(|(id, node)| (*id, node.clone()));
    let joint = Membership::new(vec![voters, next], nodes.collect::<BTreeMap<_, _>>()).unwrap();
    let appended = leader
        .raft()
        .append_membership(joint, EntryPayload::Blank, []);
    appended.await.unwrap();
}

#[test]
fn a_change_that_was_half_done_is_ended_by_the_next_and_by_a_leader_that_stays() {
    in_simulation(6, async {
        let mut cluster = Cluster::form(6, 5).await;
        let voters = |node: &Replica<Sim>| {
            let metrics = node.raft().metrics().borrow_watched().clone();
            let membership = metrics.membership_config;
            membership.membership().get_joint_config().clone()
        };
        // One that is told to go again.
        let leader = cluster.leader().await;
        let goes = 1 + leader % 5;
        begin_to_remove(cluster.node(leader), goes).await;
        assert_eq!(voters(cluster.node(leader)).len(), 2);
        let remove = LeaderChange::Remove { node_id: goes };
        cluster.node(leader).change(&remove).await.unwrap();
        let unknown = cluster.node(leader).change(&remove).await.unwrap_err();
        assert_eq!(unknown, ChangeError::UnknownNode { node_id: goes });
        cluster.nodes.remove(&goes);

        // The leader itself, when something else is asked for.
        let leader = cluster.leader().await;
        begin_to_remove(cluster.node(leader), leader).await;
        cluster.boot(6, Formation::Join).await;
        let add = LeaderChange::AddLearner {
            node_id: 6,
            node: node_info(6),
        };
        let other = *cluster.nodes.keys().find(|id| **id != leader).unwrap();
        cluster.node(other).change(&add).await.unwrap();
        cluster.nodes.remove(&leader);
        let leads = cluster.leader().await;
        let members = cluster.node(leads).status().members;
        let members: Vec<u64> = members.iter().map(|member| member.node_id).collect();
        let stay = (1..=6).filter(|id| ![goes, leader].contains(id));
        assert_eq!(members, stay.collect::<Vec<_>>());
        assert_eq!(voters(cluster.node(leads)).len(), 1);
    });
}

#[test]
fn a_removal_whose_answer_is_lost_is_done() {
    in_simulation(7, async {
        let cluster = Cluster::form(7, 5).await;
        let leader = cluster.leader().await;
        let asked = 1 + leader % 5;
        let goes = 1 + asked % 5;
        let asks = cluster.node(asked).clone();
        let removed = Sim::spawn(async move {
            let remove = LeaderChange::Remove { node_id: goes };
            asks.change(&remove).await
        });
        let is_member = || {
            let members = cluster.node(leader).status().members;
            members.iter().any(|member| member.node_id == goes)
        };
        // Less than the answer needs for its way.
        while is_member() {
            Sim::sleep(Duration::from_micros(100)).await;
        }
        cluster.network.isolate(asked);
        Sim::sleep(Duration::from_millis(200)).await;
        cluster.network.ways.heal();
        removed.await.unwrap().unwrap();
    });
}

#[test]
fn a_node_that_has_confirmed_nothing_gets_no_vote_however_short_the_log_is() {
    in_simulation(61, async {
        let mut cluster = Cluster::form(61, 3).await;
        let leader = cluster.leader().await;
        cluster.boot(4, Formation::Join).await;
        let joining = cluster
            .node(leader)
            .introduce(&node_info(4).peer_addr)
            .await
            .unwrap();
        cluster.network.isolate(4);
        let add = LeaderChange::AddLearner {
            node_id: 4,
            node: joining.node,
        };
        cluster.node(leader).change(&add).await.unwrap();
        let promote = LeaderChange::Promote { node_id: 4 };
        let refused = cluster.node(leader).change(&promote).await.unwrap_err();
        assert!(
            matches!(refused, ChangeError::Lagging { node_id: 4, lag } if lag > 0),
            "{refused}"
        );
        cluster.network.ways.heal();
        cluster.converge().await;
        cluster.node(leader).change(&promote).await.unwrap();
    });
}

#[test]
fn nodes_come_and_go_but_never_the_majority() {
    in_simulation(3, async {
        let mut cluster = Cluster::form(3, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        cluster.boot(4, Formation::Join).await;
        let asked = 1 + leader % 3;
        let joining = cluster
            .node(asked)
            .introduce(&node_info(4).peer_addr)
            .await
            .unwrap();
        let add = LeaderChange::AddLearner {
            node_id: joining.id,
            node: joining.node,
        };
        // Through a follower, and again: repeating a change is no error.
        cluster.node(asked).change(&add).await.unwrap();
        cluster.node(asked).change(&add).await.unwrap();
        cluster.converge().await;
        let promote = LeaderChange::Promote { node_id: 4 };
        let promoted = cluster.node(4).change(&promote);
        promoted.await.unwrap();
        let voters = cluster.node(leader).status().members;
        assert_eq!(voters.iter().filter(|member| member.voter).count(), 4);

        // The leader removes itself by handing over.
        let remove = LeaderChange::Remove { node_id: leader };
        cluster.node(asked).change(&remove).await.unwrap();
        cluster.nodes.remove(&leader);
        let leads = cluster.leader().await;
        assert_ne!(leads, leader);
        assert_eq!(cluster.node(leads).status().members.len(), 3);
        submit(cluster.node(4), create("a")).await.unwrap();

        // While one of three nodes is silent, removing one that answers would leave half.
        let silent = *cluster.nodes.keys().find(|id| **id != leads).unwrap();
        let answers = *cluster
            .nodes
            .keys()
            .find(|id| **id != leads && **id != silent)
            .unwrap();
        cluster.network.isolate(silent);
        Sim::sleep(Duration::from_secs(5)).await;
        let remove = LeaderChange::Remove { node_id: answers };
        let refused = cluster.node(leads).change(&remove).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused { .. }), "{refused}");
        assert!(
            refused.to_string().contains(&format!("[{silent}]")),
            "{refused}"
        );
        // The silent one can go.
        let remove = LeaderChange::Remove { node_id: silent };
        cluster.node(leads).change(&remove).await.unwrap();
        let unknown = cluster.node(leads).change(&remove).await.unwrap_err();
        assert_eq!(unknown, ChangeError::UnknownNode { node_id: silent });
        submit(cluster.node(answers), set("a", 1, true))
            .await
            .unwrap();
    });
}
