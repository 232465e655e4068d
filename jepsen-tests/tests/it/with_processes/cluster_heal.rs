//! A node whose log is damaged does not start, says where the damage is, and is replaced by the sequence
//! that docs/operations.md gives.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::process::{node, program};
use rstmdb_jepsen::{audit, wal};
use serde_json::json;

/// Enough for a few segments of 1 MiB.
const INSTANCES: usize = 120;
const FILL_BYTES: usize = 30_000;
const HISTORY_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn a_node_with_a_damaged_log_refuses_to_start_and_is_replaced() {
    let _turn = turns::heavy();
    // The test fills whole segments with data that compression would shrink to almost nothing.
    let config = NodeConfig::for_tests().with("storage.compression", "none");
    let mut cluster = Cluster::start(3, &config).unwrap();
    fill(&cluster);
    cluster.wait_converged().unwrap();
    let damaged = cluster.followers().unwrap()[0];
    assert!(cluster.stop(damaged).unwrap().0.success());
    let dir = cluster.node(damaged).unwrap().data_dir();
    let segment = dir.join("wal/0000000000000002.wal");
    let at = flip(&segment);

    let mut start = cluster.node(damaged).unwrap().command().unwrap();
    let refused = program::run(&mut start).unwrap();
    let file = segment.display().to_string();
    let says = [&file, "is damaged at offset", "rstmdb rejoin"];
    assert_eq!(refused.as_refusal(&says), Ok(()));
    let offset = offset_in(&refused.err);
    assert!(offset <= at && offset > at.saturating_sub(2 * FILL_BYTES as u64));

    let begun = Instant::now();
    let path = dir.to_str().unwrap();
    let verified = run_server(&["verify", "--data", path]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(verified.out.contains(&file), "{verified:?}");
    let via = cluster.leader().unwrap();
    let cli = cluster.cli(via).unwrap();
    let removed = cli.run(&["cluster", "remove", &damaged.to_string()]);
    assert_eq!(removed.unwrap().code, Some(0));
    cluster.retire(damaged).unwrap();
    let emptied = run_server(&["rejoin", "--data", path, "--yes"]);
    assert!(emptied.status.success(), "{emptied:?}");
    cluster.prepare_joining(4).unwrap();
    let fresh = cluster.node(4).unwrap().data_dir();
    std::fs::rename(&dir, &fresh).unwrap();
    cluster.launch_joining(4).unwrap();
    let peer = cluster.peer_addr(4).unwrap().to_string();
    let added = cli.run(&["cluster", "add", &peer]).unwrap();
    assert_eq!(added.code, Some(0), "{added:?}");
    cluster.wait_ready(4).unwrap();
    let converged = cluster.wait_converged().unwrap();
    let replaced = begun.elapsed();
    has_the_whole_log(&cluster, via);
    assert!(cluster.stop(4).unwrap().0.success());
    let verified = run_server(&["verify", "--data", fresh.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
    println!(
        "cluster_heal: damage at {at} found at {offset}; replaced within {replaced:.1?}, all nodes at \
         offset {} with the same digest",
        converged.applied
    );
}

fn fill(cluster: &Cluster) {
    let mut connection = cluster.connect(cluster.leader().unwrap()).unwrap();
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "counter", "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put).unwrap();
    let fill = "x".repeat(FILL_BYTES);
    for n in 0..INSTANCES {
        let create = json!({
            "machine": "counter", "version": 1, "instance_id": format!("i-{n}"),
            "initial_ctx": {"fill": fill},
        });
        connection.call("CREATE_INSTANCE", &create).unwrap();
    }
}

/// Flips one bit in the middle of a file. Returns its place.
fn flip(path: &Path) -> u64 {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path, content).unwrap();
    middle as u64
}

fn offset_in(text: &str) -> u64 {
    let (_, rest) = text.split_once("at offset ").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn run_server(args: &[&str]) -> program::EndedProgram {
    let mut command = node::server_command().unwrap();
    command.args(args);
    program::run(&mut command).unwrap()
}

/// The new node shows the same log as the others, history included.
fn has_the_whole_log(cluster: &Cluster, leader: u64) {
    let whole = audit::fingerprints(&mut cluster.connect(leader).unwrap()).unwrap();
    within(HISTORY_TIMEOUT, || {
        let mut connection = cluster.connect(4).map_err(|error| error.to_string())?;
        let earliest = wal::earliest(&mut connection).map_err(|error| error.to_string())?;
        let log = audit::fingerprints(&mut connection).map_err(|error| error.to_string())?;
        match audit::difference(&whole, &log) {
            None => Ok(()),
            Some(difference) => Err(format!("from {earliest} on: {difference}")),
        }
    })
    .unwrap();
}
