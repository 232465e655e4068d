//! `docker compose up` as a user would: the repository's own Dockerfile and docker-compose.yml, the image
//! they make, three containers, and what happens when one of them is killed.
//!
//! Where docker is missing, or base images cannot be had, the test says so and passes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::admin::get;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::containers::{ContainerCluster, Docker, NODES};
use rstmdb_jepsen::harness::skipped::or_skipped;
use serde_json::{Value, json};

/// How long the cluster may take until it works as it does without faults.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the two other nodes may take to serve writes after the leader was killed.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The user of the Dockerfile.
const UID: &str = "7401";

/// Asks again until the answer is right. If that never happens, the last answer is shown.
fn eventually<T>(
    what: &str,
    bound: Duration,
    mut ask: impl FnMut() -> Result<T, rstmdb_jepsen::Error>,
) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if begun.elapsed() > bound => {
                panic!("{what}: not within {} s: {error}", bound.as_secs())
            }
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

fn unless(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), rstmdb_jepsen::Error> {
    if is_so {
        return Ok(());
    }
    Err(rstmdb_jepsen::Error::Protocol(otherwise()))
}

fn cli(cluster: &ContainerCluster, node: u64) -> Cli {
    Cli::new(cluster.addr(node))
}

/// A command through one node that has to succeed at once.
fn through(cluster: &ContainerCluster, node: u64, args: &[&str]) -> Value {
    cli(cluster, node)
        .json(&[&["--json"], args].concat())
        .unwrap_or_else(|error| panic!("through node {node}: {error}"))
}

fn metrics(cluster: &ContainerCluster, node: u64) -> String {
    get(cluster.admin_addr(node), "/metrics").unwrap_or_default()
}

/// The leader among these nodes, of which there must be exactly one.
fn leader(cluster: &ContainerCluster, nodes: &[u64]) -> u64 {
    let is_leader = |node: &u64| metrics(cluster, *node).contains("\nrstmdb_raft_is_leader 1\n");
    eventually("one leader", SETTLE_TIMEOUT, || {
        let leaders: Vec<u64> = nodes.iter().copied().filter(is_leader).collect();
        unless(leaders.len() == 1, || format!("leaders: {leaders:?}"))?;
        Ok(leaders[0])
    })
}

/// Waits until the nodes know a leader and have applied everything.
fn wait_ready(cluster: &ContainerCluster, nodes: &[u64]) {
    for node in nodes {
        eventually(&format!("node {node} is ready"), SETTLE_TIMEOUT, || {
            let answer = get(cluster.admin_addr(*node), "/readyz");
            let answer = answer.map_err(rstmdb_jepsen::Error::io("/readyz"))?;
            unless(answer.starts_with("HTTP/1.1 200 "), || answer)
        });
    }
}

fn all_answer_ping(cluster: &ContainerCluster) {
    for node in NODES {
        let done = cli(cluster, node).run(&["ping"]).unwrap();
        assert_eq!(done.code, Some(0), "node {node}: {done:?}");
    }
}

/// The process does not run as root. The image has the two binaries and none of the tools that built them.
fn the_image_holds_what_it_should(cluster: &ContainerCluster) {
    let status = cluster.exec(1, &["cat", "/proc/1/status"]).unwrap();
    let ids = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let ids: Vec<&str> = line.unwrap().split_whitespace().collect();
        ids.join(" ")
    };
    assert_eq!(ids("Name:"), "rstmdb");
    for name in ["Uid:", "Gid:"] {
        assert_eq!(ids(name), [UID; 4].join(" "), "{name}");
    }
    assert_eq!(ids("CapEff:"), "0".repeat(16));
    let binaries = cluster.exec(1, &["ls", "/usr/local/bin"]).unwrap();
    assert_eq!(binaries, "rstmdb\nrstmdb-cli\n");
    for tool in ["cargo", "rustc", "gcc", "cc", "curl", "wget"] {
        let found = cluster.exec(1, &["sh", "-c", &format!("command -v {tool} || echo none")]);
        assert_eq!(found.unwrap(), "none\n");
    }
    assert!(cluster.exec(1, &["rstmdb", "version"]).is_ok());
    cluster.exec(1, &["test", "!", "-e", "/src"]).unwrap();
}

/// A machine through node 1, an instance through node 2, an event through node 3; all of them see it.
fn any_node_serves(cluster: &ContainerCluster) {
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/order.json");
    let definition = format!("@{}", definition.display());
    through(
        cluster,
        1,
        &["put-machine", "-n", "order", "-v", "1", &definition],
    );
    let create = [
        "create-instance",
        "-m",
        "order",
        "-V",
        "1",
        "-i",
        "order-1",
        "-c",
        r#"{"total": 42}"#,
    ];
    through(cluster, 2, &create);
    let pay = [
        "apply-event",
        "-i",
        "order-1",
        "-e",
        "PAY",
        "-p",
        r#"{"method": "card"}"#,
    ];
    let paid = through(cluster, 3, &pay);
    assert_eq!(paid["to_state"], json!("PAID"), "{paid}");
    all_read(cluster, &NODES, "PAID", &paid["wal_offset"]);
}

/// Linearizable reads, so each node must show the write at once.
fn all_read(cluster: &ContainerCluster, nodes: &[u64], state: &str, offset: &Value) {
    for node in nodes {
        let found = through(cluster, *node, &["get-instance", "order-1"]);
        assert_eq!(found["state"], json!(state), "node {node}: {found}");
        assert_eq!(&found["last_wal_offset"], offset, "node {node}: {found}");
    }
}

/// An event through this node, which may have to find the leader first.
fn apply_soon(cluster: &ContainerCluster, node: u64, event: &str, params: &[&str]) -> Value {
    let key = format!("compose-{event}");
    let apply = [
        "--json",
        "apply-event",
        "-i",
        "order-1",
        "-e",
        event,
        "--idempotency-key",
        &key,
    ];
    let args = [&apply[..], params].concat();
    eventually(
        &format!("{event} through node {node}"),
        FAILOVER_TIMEOUT,
        || cli(cluster, node).json(&args),
    )
}

/// The leader's container is killed: the two others go on, and it catches up when it is back.
fn the_rest_goes_on_without_the_leader(cluster: &ContainerCluster) {
    let killed = leader(cluster, &NODES);
    cluster.kill(killed).unwrap();
    let rest: Vec<u64> = NODES.into_iter().filter(|node| *node != killed).collect();
    let begun = Instant::now();
    let packed = apply_soon(cluster, rest[0], "PACK", &["-p", r#"{"packed": true}"#]);
    println!(
        "killed node {killed}, the leader; the next write took {:?}",
        begun.elapsed()
    );
    all_read(cluster, &rest, "PAID", &packed["wal_offset"]);
    assert_ne!(leader(cluster, &rest), killed);

    // The restart policy is for crashes. A container that a user killed waits until the user starts it.
    assert_eq!(cluster.state(killed).unwrap().status, "exited");
    cluster.start(killed).unwrap();
    cluster.wait_healthy(&[killed]).unwrap();
    wait_ready(cluster, &NODES);
    let shipped = apply_soon(cluster, killed, "SHIP", &[]);
    all_read(cluster, &NODES, "SHIPPED", &shipped["wal_offset"]);
}

/// SIGTERM ends every node cleanly and in time; the volumes outlive the containers.
fn the_volumes_keep_the_data(cluster: &ContainerCluster) {
    let before = through(cluster, 1, &["get-instance", "order-1"]);
    for node in NODES {
        let begun = Instant::now();
        cluster.stop(node).unwrap();
        let took = begun.elapsed();
        let state = cluster.state(node).unwrap();
        assert_eq!((state.status.as_str(), state.exit_code), ("exited", 0));
        assert!(took < STOP_TIMEOUT, "node {node} took {took:?} to stop");
    }
    cluster.down().unwrap();
    cluster.up().unwrap();
    cluster.wait_healthy(&NODES).unwrap();
    wait_ready(cluster, &NODES);
    for node in NODES {
        assert_eq!(through(cluster, node, &["get-instance", "order-1"]), before);
    }
}

#[test]
fn docker_compose_up_starts_three_nodes_that_survive_the_loss_of_one() {
    let _turn = turns::alone();
    let Some(docker) = or_skipped(Docker::find()) else {
        return;
    };
    let cluster = ContainerCluster::prepare(docker).unwrap();
    cluster.build().unwrap();
    cluster.up().unwrap();
    cluster.wait_healthy(&NODES).unwrap();
    all_answer_ping(&cluster);
    the_image_holds_what_it_should(&cluster);
    wait_ready(&cluster, &NODES);
    any_node_serves(&cluster);
    the_rest_goes_on_without_the_leader(&cluster);
    the_volumes_keep_the_data(&cluster);
    cluster.remove().unwrap();
    assert_eq!(cluster.leftovers().unwrap(), Vec::<String>::new());
}
