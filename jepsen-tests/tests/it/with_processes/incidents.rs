//! 73,088 real operations, loaded by the command line: once, twice, and with the node killed in between.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::cli::{self, Cli};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::incidents::Incidents;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use serde_json::json;

const KILLS_BETWEEN_LOADS: usize = 4;
const KILLS_WITHIN_A_LOAD: usize = 3;
/// What `load` has in flight by default.
const IN_FLIGHT: u64 = 1024;
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);

fn find() -> Option<Incidents> {
    Incidents::find().unwrap()
}

fn load(incidents: &Incidents, cli: &Cli, options: &[&str]) -> cli::Finished {
    let file = incidents.path();
    cli.run(&[&["load", &file], options].concat()).unwrap()
}

fn check_states(incidents: &Incidents, node: &Node) {
    let wrong = incidents.wrong_states(node.addr(), "linearizable").unwrap();
    assert_eq!(wrong, [""; 0]);
}

/// Waits until the load is over, or the node has applied twice as many operations as a load has in flight. Then it has
/// answered those that were in flight when it was killed before. A load ends when the node is lost twice with the same
/// operation.
fn wait_for_progress(load: &mut Child, node: &Node) {
    let begin = fingerprint(node).1;
    within(PROGRESS_TIMEOUT, || {
        if load.try_wait().unwrap().is_some() {
            return Ok(());
        }
        match fingerprint(node).1 - begin {
            applied if applied >= 2 * IN_FLIGHT => Ok(()),
            applied => Err(format!("only {applied} operations")),
        }
    })
    .unwrap();
}

/// What a load that changes nothing must leave as it was.
fn fingerprint(node: &Node) -> (String, u64) {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let info = connection.call("INFO", &json!({})).unwrap();
    let digest = info["state_digest"].as_str().unwrap().to_owned();
    assert!(!digest.is_empty());
    (digest, info["last_applied"].as_u64().unwrap())
}

#[test]
fn loading_twice_is_as_loading_once() {
    let _turn = turns::heavy();
    let Some(incidents) = find() else {
        return;
    };
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let begun = Instant::now();
    let loaded = load(&incidents, &cli, &[]);
    let took = begun.elapsed();
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    check_states(&incidents, &node);
    let before = fingerprint(&node);

    let again = load(&incidents, &cli, &[]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(fingerprint(&node), before);
    check_states(&incidents, &node);

    node.kill().unwrap();
    node.restart().unwrap();
    assert_eq!(fingerprint(&node).0, before.0);
    check_states(&incidents, &node);
    println!("incidents: loaded in {took:.1?}");
}

#[test]
fn a_load_killed_anywhere_and_repeated_ends_as_one_that_was_not() {
    let _turn = turns::heavy();
    let Some(incidents) = find() else {
        return;
    };
    let mut rng = Rng::new(rng::seed("incidents"));
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    for _ in 0..KILLS_BETWEEN_LOADS {
        let file = incidents.path();
        let load = cli.spawn(&["load", &file, "--retry-for", "100ms"]).unwrap();
        thread::sleep(Duration::from_millis(rng.between(50, 2500)));
        node.kill().unwrap();
        let ended = cli::wait(load).unwrap();
        assert!(matches!(ended.code, Some(0 | 3 | 4)), "{ended:?}");
        node.restart().unwrap();
    }
    let last = load(&incidents, &cli, &[]);
    assert_eq!(last.code, Some(0), "{last:?}");
    check_states(&incidents, &node);
}

#[test]
fn a_load_carries_on_by_itself_when_the_node_comes_back() {
    let _turn = turns::heavy();
    let Some(incidents) = find() else {
        return;
    };
    let mut rng = Rng::new(rng::seed("incidents, one load"));
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let mut load = cli.spawn(&["load", &incidents.path()]).unwrap();
    for _ in 0..KILLS_WITHIN_A_LOAD {
        wait_for_progress(&mut load, &node);
        thread::sleep(Duration::from_millis(rng.between(0, 1500)));
        node.kill().unwrap();
        node.restart().unwrap();
    }
    let ended = cli::wait(load).unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    check_states(&incidents, &node);
}
