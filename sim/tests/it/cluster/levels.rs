//! The feature level: at which level clusters begin, and how it rises while nodes of two programs run together.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{ChangeError, Formation, LeaderChange};
use rstmdb_engine::fact::level::{CURRENT, FIRST};
use rstmdb_sim::Sim;
use rstmdb_sim::settings::{Settings, node_info};

use super::{Cluster, LEADER_WAIT, create, in_simulation, machine, set, submit};

/// How long nodes are up between two restarts.
const PAUSE: Duration = Duration::from_millis(700);

impl Cluster {
    /// A cluster whose nodes all run the program before, with a machine and an instance.
    async fn of_the_program_before(seed: u64, raises_level: bool) -> Self {
        let mut cluster = Self::of(Settings {
            leader_wait: LEADER_WAIT,
            understands: FIRST,
            raises_level,
            ..Settings::calm(seed, 3)
        });
        cluster.world.place_first();
        for id in 1..=3 {
            cluster.start(id).await;
        }
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        cluster
    }

    /// Ends a node's process and starts the program that understands this level.
    async fn upgrade(&mut self, id: u64, understands: u32) {
        self.world.kill(id, false);
        self.nodes.remove(&id);
        self.world.install(id, understands);
        self.start(id).await;
    }

    fn levels(&self) -> Vec<u32> {
        let levels = self.nodes.values().map(|node| node.status().level);
        levels.collect()
    }

    async fn reached(&self, level: u32) {
        self.wait("the level on every node", || {
            let all = self.levels().iter().all(|reached| *reached == level);
            all.then_some(())
        })
        .await;
    }
}

#[test]
fn a_new_cluster_begins_at_the_level_of_its_program_before_its_first_write() {
    in_simulation(61, async {
        let cluster = Cluster::form(61, 3).await;
        // At once, through each node: none of these writes may come before the level.
        while submit(cluster.node(1), machine()).await.is_err() {
            Sim::sleep(Duration::from_millis(10)).await;
        }
        cluster.converge().await;
        assert_eq!(cluster.levels(), [CURRENT; 3]);
    });
}

#[test]
fn a_new_cluster_in_which_nothing_is_written_reaches_the_level_as_well() {
    in_simulation(62, async {
        let cluster = Cluster::form(62, 3).await;
        cluster.reached(CURRENT).await;
        cluster.converge().await;
    });
}

#[test]
fn a_rolling_upgrade_raises_the_level_only_once_it_is_asked_and_every_node_is_new() {
    in_simulation(63, async {
        let mut cluster = Cluster::of_the_program_before(63, false).await;
        for id in 1..=3 {
            let asked = cluster.leader().await;
            if id > 1 {
                let via = cluster.node(asked);
                let held = via.change(&LeaderChange::RaiseLevel).await;
                // A leader of the old program knows no higher level, so it raises nothing.
                let understands = via.status().understands;
                match held {
                    Ok(()) => assert_eq!(understands, FIRST),
                    Err(ChangeError::HeldBack { held_back_by, .. }) => {
                        let old: Vec<u64> = (id..=3).collect();
                        assert_eq!(held_back_by, old);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            cluster.upgrade(id, CURRENT).await;
            cluster.leader().await;
            let n = 10 + id;
            submit(cluster.node(id), set("a", n, true)).await.unwrap();
            assert_eq!(cluster.levels(), [FIRST; 3]);
        }
        Sim::sleep(Duration::from_secs(30)).await;
        assert_eq!(cluster.levels(), [FIRST; 3], "nobody has asked for more");
        for id in 1..=3 {
            // Any node may be asked, and again.
            cluster
                .node(id)
                .change(&LeaderChange::RaiseLevel)
                .await
                .unwrap();
        }
        cluster.reached(CURRENT).await;
        cluster.converge().await;
    });
}

#[test]
fn the_level_rises_by_itself_where_it_may_while_nodes_restart_and_clients_write() {
    in_simulation(64, async {
        let mut cluster = Cluster::of_the_program_before(64, true).await;
        let mut n = 1;
        for round in 0..9 {
            let id = 1 + round % 3;
            cluster.upgrade(id, CURRENT).await;
            cluster.leader().await;
            for _ in 0..3 {
                n += 1;
                let _ = submit(cluster.node(1 + n % 3), set("a", n, true)).await;
            }
            Sim::sleep(PAUSE).await;
        }
        cluster.reached(CURRENT).await;
        // A node that starts anew reads the level from its log or its snapshot.
        cluster.node(1).compact(true).await.unwrap();
        cluster.upgrade(1, CURRENT).await;
        cluster.reached(CURRENT).await;
        cluster.converge().await;
    });
}

#[test]
fn a_node_of_the_program_before_does_not_come_into_a_cluster_of_a_higher_level() {
    in_simulation(65, async {
        let mut cluster = Cluster::form(65, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        cluster.world.place(4, Formation::Join);
        cluster.world.install(4, FIRST);
        cluster.world.boot(4);
        Sim::sleep(PAUSE).await;
        let add = LeaderChange::AddLearner {
            node_id: 4,
            node: node_info(4),
        };
        let refused = cluster.node(leader).change(&add).await.unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("understands feature level 1 at most"),
            "{refused}"
        );
        cluster.world.kill(4, false);
        cluster.world.install(4, CURRENT);
        cluster.start(4).await;
        cluster.node(leader).change(&add).await.unwrap();
        cluster.reached(CURRENT).await;
    });
}

#[test]
fn the_level_does_not_rise_while_a_learner_does_not_understand_it() {
    in_simulation(67, async {
        let mut cluster = Cluster::of_the_program_before(67, true).await;
        let leader = cluster.leader().await;
        cluster.world.place(4, Formation::Join);
        cluster.world.install(4, FIRST);
        cluster.start(4).await;
        let add = LeaderChange::AddLearner {
            node_id: 4,
            node: node_info(4),
        };
        cluster.node(leader).change(&add).await.unwrap();
        for id in 1..=3 {
            cluster.upgrade(id, CURRENT).await;
            cluster.leader().await;
        }
        // Long enough for a leader that raises it by itself.
        Sim::sleep(Duration::from_secs(30)).await;
        assert_eq!(cluster.levels(), [FIRST; 4]);
        let leader = cluster.leader().await;
        let held = cluster.node(leader).change(&LeaderChange::RaiseLevel).await;
        match held.unwrap_err() {
            ChangeError::HeldBack { held_back_by, .. } => assert_eq!(held_back_by, [4]),
            error => panic!("{error}"),
        }
        submit(cluster.node(leader), set("a", 5, true))
            .await
            .unwrap();
        cluster.upgrade(4, CURRENT).await;
        cluster.reached(CURRENT).await;
        cluster.converge().await;
    });
}

/// A leader that raises the level without having asked every member ends the nodes that it has forgotten.
#[cfg(feature = "planted-bugs")]
#[test]
#[ignore = "plants a bug in the whole process: run it alone"]
#[should_panic(expected = "a node goes on")]
fn a_leader_that_has_not_asked_every_member_is_found_out() {
    rstmdb::planted::set(rstmdb::planted::Bug::LevelRaisedTooEarly);
    in_simulation(66, async {
        let mut cluster = Cluster::of_the_program_before(66, true).await;
        for id in 1..=2 {
            cluster.upgrade(id, CURRENT).await;
            cluster.leader().await;
        }
        Sim::sleep(Duration::from_secs(60)).await;
    });
}
