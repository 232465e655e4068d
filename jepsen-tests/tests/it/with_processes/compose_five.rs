//! Five containers by docker-compose.yml and deploy/five-nodes.yml. Two of them may be lost, and their data can still
//! be read.
//!
//! Where docker is missing, or base images cannot be had, the test says so and passes.

use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::containers::{ContainerCluster, Docker, MANY};
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::process::node::server_command;
use serde_json::{Value, json};

/// How long until a write through a node succeeds, an election included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A keyed event through a node, which may have to find the leader first.
fn set(cluster: &ContainerCluster, node: u64, n: u64) -> Value {
    let (key, payload) = (format!("five-{n}"), json!({"n": n}).to_string());
    let args = [
        "--json",
        "apply-event",
        "-i",
        "five",
        "-e",
        "SET",
        "-p",
        &payload,
        "--idempotency-key",
        &key,
    ];
    let cli = Cli::new(cluster.addr(node));
    let set = within(WRITE_TIMEOUT, || {
        cli.json(&args).map_err(|error| error.to_string())
    });
    set.unwrap()
}

/// A linearizable read, so each node must show the write at once.
fn all_read(cluster: &ContainerCluster, nodes: &[u64], written: &Value) {
    for node in nodes {
        let cli = Cli::new(cluster.addr(*node));
        let found = cli.json(&["--json", "get-instance", "five"]).unwrap();
        let offset = &found["last_wal_offset"];
        assert_eq!(offset, &written["wal_offset"], "node {node}: {found}");
    }
}

fn prepare(cluster: &ContainerCluster) {
    let definition =
        r#"{"states":["on"],"initial":"on","transitions":[{"from":"on","event":"SET","to":"on"}]}"#;
    let cli = Cli::new(cluster.addr(1));
    let put = ["--json", "put-machine", "-n", "five", "-v", "1", definition];
    within(WRITE_TIMEOUT, || {
        cli.json(&put).map_err(|error| error.to_string())
    })
    .unwrap();
    let create = [
        "--json",
        "create-instance",
        "-m",
        "five",
        "-V",
        "1",
        "-i",
        "five",
    ];
    cli.json(&create).unwrap();
}

#[test]
fn five_containers_survive_the_loss_of_two() {
    let _turn = turns::alone();
    let Some(docker) = or_skipped(Docker::find()) else {
        return;
    };
    let cluster = ContainerCluster::prepare_with(docker, MANY).unwrap();
    let nodes = cluster.nodes();
    assert_eq!(nodes, [1, 2, 3, 4, 5]);
    cluster.build().unwrap();
    cluster.up().unwrap();
    cluster.wait_healthy(&nodes).unwrap();
    prepare(&cluster);
    all_read(&cluster, &nodes, &set(&cluster, 5, 1));

    cluster.kill(1).unwrap();
    cluster.kill(4).unwrap();
    all_read(&cluster, &[2, 3, 5], &set(&cluster, 2, 2));
    cluster.start(1).unwrap();
    cluster.start(4).unwrap();
    cluster.wait_healthy(&nodes).unwrap();
    all_read(&cluster, &nodes, &set(&cluster, 4, 3));

    what_they_leave_behind_can_be_read(&cluster);
    cluster.remove().unwrap();
    assert_eq!(cluster.leftovers().unwrap(), Vec::<String>::new());
}

fn what_they_leave_behind_can_be_read(cluster: &ContainerCluster) {
    let folder = tempfile::tempdir().unwrap();
    for node in cluster.nodes() {
        cluster.stop(node).unwrap();
        let data = folder.path().join(node.to_string());
        cluster.copy_data(node, &data).unwrap();
        let verified = server_command()
            .unwrap()
            .args(["verify", "--data"])
            .arg(&data)
            .output();
        let verified = verified.unwrap();
        assert!(verified.status.success(), "node {node}: {verified:?}");
        let log = folder.path().join(format!("{node}.log"));
        cluster.copy_log(node, &log).unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("serving clients"), "node {node}: {log}");
    }
}
