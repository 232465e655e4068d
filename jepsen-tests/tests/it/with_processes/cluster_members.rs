//! Nodes join, leave, die and are replaced under load, and no client notices.

use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cli::Finished;
use rstmdb_jepsen::cluster::{Cluster, SETTLE_TIMEOUT};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::process::program;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::watchers::RcpWatchers;

const CONNECTIONS: usize = 2;
const WRITERS: usize = 4;

/// A cluster whose members change, and how long each change took.
struct Changing {
    cluster: Cluster,
    steps: Vec<String>,
}

#[test]
fn members_come_and_go_under_load_and_no_keyed_call_fails() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("cluster_members"));
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    for id in [4, 5, 6] {
        cluster.prepare_joining(id).unwrap();
    }
    // Applications know the addresses of all nodes, those that join later included.
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let begun = Instant::now();
    load.steady.next_success(begun).unwrap();
    let steps = Vec::new();
    let mut changing = Changing { cluster, steps };

    changing.add(4, &[]);
    changing.remove_the_leader();
    changing.replace_a_dead_node(5);
    changing.remove_a_follower(&mut rng);
    changing.add(6, &["--learner"]);
    let ended = Instant::now();
    load.steady.next_success(ended).unwrap();

    let Changing { mut cluster, steps } = changing;
    for id in cluster.retired() {
        let (status, _) = cluster.stop(id).unwrap();
        assert!(status.success(), "node {id}: {status}");
    }
    let (ledgers, written) = load.finish();
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    let audit = audited(&cluster, &ledgers);
    let learner = vec![cluster.addr(6).unwrap()];
    let mut watchers = RcpWatchers::default();
    watchers.add_plain("at the learner", learner);
    assert_eq!(watchers.finish(&audit.verdict.events), [""; 0]);
    assert!(!member(&cluster, 6).unwrap(), "the learner votes");
    println!(
        "cluster_members: {}; {} keyed calls, none failed, slowest {:.2?}, longest time without a success \
         {:.2?}",
        steps.join(", "),
        written.calls.len(),
        written.slowest(),
        written.longest_pause(begun, ended),
    );
}

/// How long a removed node may take to learn it: it hears no leader for a while, and then asks around.
const LEARN_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_node_that_was_removed_says_so_and_takes_its_own_removal() {
    let _turn = turns::heavy();
    let cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let follower = cluster.followers().unwrap()[0];
    remove_through_itself(&cluster, follower);
    let leader = cluster.leader().unwrap();
    remove_through_itself(&cluster, leader);
    // The last one goes on alone, and does not say so of itself.
    let mut running = cluster.running().into_iter();
    let last = running.find(|id| ![follower, leader].contains(id)).unwrap();
    let status = within(LEARN_TIMEOUT, || {
        let status = cluster.status(last).map_err(|error| error.to_string())?;
        match status.leader == Some(last) {
            true => Ok(status),
            false => Err(format!("the leader is {:?}", status.leader)),
        }
    });
    let status = status.unwrap();
    assert_eq!(status.removed, None);
    assert_eq!(status.nodes.len(), 1);
}

fn remove_through_itself(cluster: &Cluster, id: u64) {
    let cli = cluster.cli(id).unwrap();
    let name = id.to_string();
    // While another change is under way, also one of a cluster that has just begun, the answer is to try again in a moment.
    let removed = within(LEARN_TIMEOUT, || {
        let removed = cli.run(&["cluster", "remove", &name]);
        let removed = removed.map_err(|error| error.to_string())?;
        match removed.code {
            Some(0) => Ok(()),
            _ => Err(removed.err),
        }
    });
    removed.unwrap();
    let by = within(LEARN_TIMEOUT, || {
        let status = cli.json(&["cluster", "status", "--json"]);
        let status = status.map_err(|error| error.to_string())?;
        let by = status["removed"]["by"].as_u64();
        by.ok_or_else(|| format!("{status}"))
    });
    let by = by.unwrap();
    assert_ne!(by, id);
    let info = cli.json(&["info", "--json"]).unwrap();
    assert_eq!(info["removed"]["by"], by, "{info}");
    let log = cluster.node(id).unwrap().log_text();
    assert!(log.contains("this node was removed from the cluster"));
    // It is no error to ask again for what is done, and what is not done says why.
    let again = cli.run(&["cluster", "remove", &name]).unwrap();
    assert_eq!(again.code, Some(0), "{again:?}");
    let other = cli.run(&["cluster", "promote", &name]).unwrap();
    assert!(
        other.err.contains("this node was removed from the cluster"),
        "{other:?}"
    );
}

impl Changing {
    /// Lets a prepared node join, as a voter unless it is to stay a learner.
    fn add(&mut self, id: u64, options: &[&str]) {
        let begun = Instant::now();
        self.cluster.launch_joining(id).unwrap();
        let peer = self.cluster.peer_addr(id).unwrap().to_string();
        let added = self.cluster_command(&[&["add", &peer], options].concat());
        assert_eq!(added.code, Some(0), "{added:?}");
        self.cluster.wait_ready(id).unwrap();
        let votes = member(&self.cluster, id);
        assert_eq!(votes, Some(options.is_empty()), "{added:?}");
        self.took(&format!("added {id} {}", options.join(" ")), begun);
    }

    fn remove_the_leader(&mut self) {
        let leader = self.cluster.leader().unwrap();
        self.remove_a_living(leader);
        assert_ne!(self.cluster.leader().unwrap(), leader);
    }

    fn remove_a_follower(&mut self, rng: &mut Rng) {
        let follower = *rng.pick(&self.cluster.followers().unwrap());
        self.remove_a_living(follower);
    }

    /// Removes a running node. Its process lives on, but must neither disturb the others nor keep its clients.
    fn remove_a_living(&mut self, id: u64) {
        let begun = Instant::now();
        let removed = self.cluster_command(&["remove", &id.to_string()]);
        assert_eq!(removed.code, Some(0), "{removed:?}");
        self.cluster.retire(id).unwrap();
        assert_eq!(member(&self.cluster, id), None);
        self.took(&format!("removed {id}"), begun);
    }

    /// Replaces a dead node. While it is dead, no other node can be removed. With an emptied folder, the cluster
    /// refuses it under its id. Then it is removed, and another node takes its place.
    fn replace_a_dead_node(&mut self, replacement: u64) {
        let followers = self.cluster.followers().unwrap();
        let (dead, other) = (followers[0], followers[1]);
        self.cluster.kill(dead).unwrap();
        self.refuses_to_lose_the_quorum(other);
        self.refuses_who_has_forgotten(dead);
        let begun = Instant::now();
        let removed = self.cluster_command(&["remove", &dead.to_string()]);
        assert_eq!(removed.code, Some(0), "{removed:?}");
        assert_eq!(member(&self.cluster, dead), None);
        self.took(&format!("removed {dead}, which is dead"), begun);
        self.add(replacement, &[]);
    }

    fn refuses_to_lose_the_quorum(&self, id: u64) {
        let refused = self.cluster_command(&["remove", &id.to_string()]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("needed"), "{refused:?}");
        assert_eq!(member(&self.cluster, id), Some(true));
    }

    fn refuses_who_has_forgotten(&self, id: u64) {
        self.cluster.empty_folder(id).unwrap();
        let mut command = self.cluster.node(id).unwrap().command().unwrap();
        let ended = program::run(&mut command).unwrap();
        let remedy = format!("cluster remove {id}");
        let says = ["data folder is empty", &remedy, "never used"];
        assert_eq!(ended.as_refusal(&says), Ok(()));
        within(Duration::from_secs(5), || {
            let refused = self.cluster.running().into_iter().any(|peer| {
                let log = self.cluster.node(peer).unwrap().log_text();
                let names_it = |line: &str| {
                    let line = line.to_lowercase();
                    line.contains("empty") && line.contains(&format!("{id}"))
                };
                log.lines().any(names_it)
            });
            refused
                .then_some(())
                .ok_or_else(|| "no peer says that it refused it".to_owned())
        })
        .unwrap();
    }

    /// `rstmdb-cli cluster …`, at any node that is a member.
    fn cluster_command(&self, args: &[&str]) -> Finished {
        let via = self.cluster.leader().unwrap();
        let via = self
            .cluster
            .running()
            .into_iter()
            .find(|id| *id != via)
            .unwrap();
        let cli = self.cluster.cli(via).unwrap();
        cli.run(&[&["cluster"], args].concat()).unwrap()
    }

    fn took(&mut self, what: &str, begun: Instant) {
        self.steps
            .push(format!("{what} in {:.1?}", begun.elapsed()));
    }
}

/// Whether a node votes, if it is a member, as soon as a member says so.
fn member(cluster: &Cluster, id: u64) -> Option<bool> {
    let status = within(SETTLE_TIMEOUT, || {
        let leader = cluster.leader().map_err(|error| error.to_string())?;
        cluster.status(leader).map_err(|error| error.to_string())
    });
    let nodes = status.unwrap().nodes;
    let found = nodes.iter().find(|node| node.node_id == id);
    found.map(|node| node.voter)
}
