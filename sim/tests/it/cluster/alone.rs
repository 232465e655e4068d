//! The only voter reads without a round, and no longer when another node may lead.

use rstmdb::replica::{Consistency, Formation, LeaderChange, Replica};
use rstmdb_engine::{Query, Reply};

use rstmdb_sim::settings::node_info;

use super::{Cluster, Sim, create, in_simulation, machine, set, submit};

fn at_once(replica: &Replica<Sim>) -> bool {
    replica.reads_at_once(Consistency::Linearizable)
}

fn context(replica: &Replica<Sim>) -> String {
    let query = Query::GetInstance {
        instance_id: "a".to_owned(),
    };
    match replica.query(&query, None) {
        Ok(Reply::Instance(view)) => String::from_utf8(view.ctx.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_only_voter_reads_at_once_what_it_has_acknowledged() {
    in_simulation(1, async {
        let cluster = Cluster::form(1, 1).await;
        let node = cluster.node(cluster.leader().await);
        submit(node, machine()).await.unwrap();
        submit(node, create("a")).await.unwrap();
        assert!(!at_once(node), "no round of this term was answered yet");
        node.barrier(Consistency::Linearizable, None).await.unwrap();
        for n in 1..=20 {
            submit(node, set("a", n, false)).await.unwrap();
            assert!(at_once(node));
            assert_eq!(context(node), format!(r#"{{"n":{n}}}"#));
        }
    });
}

#[test]
fn a_voter_among_others_needs_a_round() {
    in_simulation(2, async {
        let mut cluster = Cluster::form(2, 1).await;
        cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        cluster.boot(2, Formation::Join).await;
        let strict = Consistency::Linearizable;
        cluster.node(1).barrier(strict, None).await.unwrap();
        let joining = cluster
            .node(1)
            .introduce(&node_info(2).peer_addr)
            .await
            .unwrap();
        let add = LeaderChange::AddLearner {
            node_id: joining.id,
            node: joining.node,
        };
        cluster.node(1).change(&add).await.unwrap();
        assert!(at_once(cluster.node(1)), "a learner has no vote");
        // A learner that has confirmed nothing gets none.
        cluster.converge().await;
        let promote = LeaderChange::Promote { node_id: 2 };
        cluster.node(1).change(&promote).await.unwrap();
        cluster.node(1).barrier(strict, None).await.unwrap();
        assert!(!at_once(cluster.node(1)));
        let transfer = LeaderChange::TransferLeader { to: Some(2) };
        cluster.node(1).change(&transfer).await.unwrap();
        assert_eq!(cluster.leader().await, 2);
        cluster.node(2).barrier(strict, None).await.unwrap();
        assert!(!at_once(cluster.node(2)));
        let remove = LeaderChange::Remove { node_id: 1 };
        cluster.node(2).change(&remove).await.unwrap();
        cluster.node(2).barrier(strict, None).await.unwrap();
        assert!(at_once(cluster.node(2)));
        assert!(!at_once(cluster.node(1)));
    });
}
