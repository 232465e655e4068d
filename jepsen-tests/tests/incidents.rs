//! 73,088 real operations, loaded by the command line: once, twice, and with the node killed in between.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::cli::{self, Cli};
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::process::Node;
use rstmdb_jepsen::raw::Connection;
use rstmdb_jepsen::rng::{self, Rng};
use serde_json::json;

const KILLS_BETWEEN_LOADS: usize = 4;
const KILLS_WITHIN_A_LOAD: usize = 3;

/// The file and the number of instances by state at the end, from the table beside it.
struct Incidents {
    file: PathBuf,
    states: Vec<(String, u64)>,
}

impl Incidents {
    fn find() -> Option<Self> {
        let given = std::env::var_os("RSTMDB_INCIDENTS").map(PathBuf::from);
        let file = given.unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/incidents.jsonl.gz")
        });
        if !file.is_file() {
            println!(
                "skipped: {} does not exist (RSTMDB_INCIDENTS names another)",
                file.display()
            );
            return None;
        }
        let readme = std::fs::read_to_string(file.with_file_name("README.md")).unwrap();
        let states: Vec<(String, u64)> = readme.lines().filter_map(row).collect();
        assert!(
            !states.is_empty(),
            "no table of states beside {}",
            file.display()
        );
        Some(Self { file, states })
    }

    fn load(&self, cli: &Cli, options: &[&str]) -> cli::Finished {
        let args = [&["load", self.file.to_str().unwrap()], options].concat();
        cli.run(&args).unwrap()
    }

    fn check_states(&self, node: &Node) {
        let mut connection = Connection::connect(node.addr()).unwrap();
        let mut total = |filter| {
            connection.call("LIST_INSTANCES", &filter).unwrap()["total"]
                .as_u64()
                .unwrap()
        };
        for (state, instances) in &self.states {
            let found = total(json!({"machine": "incident", "state": state, "limit": 1}));
            assert_eq!(found, *instances, "{state}");
        }
        let all = self
            .states
            .iter()
            .map(|(_, instances)| instances)
            .sum::<u64>();
        assert_eq!(total(json!({"limit": 1})), all);
    }
}

/// A row of the table: `| state | number |`.
fn row(line: &str) -> Option<(String, u64)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    match cells.as_slice() {
        ["", state, number, ""] => Some(((*state).to_owned(), number.parse().ok()?)),
        _ => None,
    }
}

/// What a load that changes nothing must leave as it was.
fn fingerprint(node: &Node) -> (String, u64) {
    let mut connection = Connection::connect(node.addr()).unwrap();
    let info = connection.call("INFO", &json!({})).unwrap();
    let digest = info["state_digest"].as_str().unwrap().to_owned();
    assert!(!digest.is_empty());
    (digest, info["last_applied"].as_u64().unwrap())
}

#[test]
fn loading_twice_is_as_loading_once() {
    let Some(incidents) = Incidents::find() else {
        return;
    };
    let mut node = Node::start(&Config::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let begun = Instant::now();
    let loaded = incidents.load(&cli, &[]);
    let took = begun.elapsed();
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    incidents.check_states(&node);
    let before = fingerprint(&node);

    let again = incidents.load(&cli, &[]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(fingerprint(&node), before);
    incidents.check_states(&node);

    node.kill().unwrap();
    node.restart().unwrap();
    assert_eq!(fingerprint(&node).0, before.0);
    incidents.check_states(&node);
    println!("incidents: loaded in {took:.1?}");
}

#[test]
fn a_load_killed_anywhere_and_repeated_ends_as_one_that_was_not() {
    let Some(incidents) = Incidents::find() else {
        return;
    };
    let mut rng = Rng::new(rng::seed("incidents"));
    let mut node = Node::start(&Config::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    for _ in 0..KILLS_BETWEEN_LOADS {
        let file = incidents.file.to_str().unwrap();
        let load = cli.spawn(&["load", file, "--retry-for", "100ms"]).unwrap();
        thread::sleep(Duration::from_millis(rng.between(50, 2500)));
        node.kill().unwrap();
        let ended = cli::wait(load).unwrap();
        assert!(matches!(ended.code, Some(0 | 3 | 4)), "{ended:?}");
        node.restart().unwrap();
    }
    let last = incidents.load(&cli, &[]);
    assert_eq!(last.code, Some(0), "{last:?}");
    incidents.check_states(&node);
}

#[test]
fn a_load_carries_on_by_itself_when_the_node_comes_back() {
    let Some(incidents) = Incidents::find() else {
        return;
    };
    let mut rng = Rng::new(rng::seed("incidents, one load"));
    let mut node = Node::start(&Config::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let load = cli
        .spawn(&["load", incidents.file.to_str().unwrap()])
        .unwrap();
    for _ in 0..KILLS_WITHIN_A_LOAD {
        thread::sleep(Duration::from_millis(rng.between(100, 1500)));
        node.kill().unwrap();
        node.restart().unwrap();
    }
    let ended = cli::wait(load).unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    incidents.check_states(&node);
}
