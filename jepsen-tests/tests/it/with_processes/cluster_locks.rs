//! A lock while the leader is killed: the command that runs under it keeps it, and the one that waits keeps its place.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::cli::{self, Cli};
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;

const PATIENCE: Duration = Duration::from_secs(60);
const TTL: &str = "10s";

/// Every node, as `RSTMDB_SERVER` has it.
fn servers(cluster: &Cluster) -> String {
    let addrs = cluster.addrs_from(1);
    let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
    addrs.join(",")
}

fn start(servers: &str, args: &[&str]) -> Child {
    let mut command = std::process::Command::new(binaries::cli().unwrap());
    let command = command.args(args).env("RSTMDB_SERVER", servers);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn done(servers: &str, args: &[&str]) -> Value {
    let finished = cli::wait(start(servers, args)).unwrap();
    assert_eq!(finished.code, Some(0), "{args:?}: {finished:?}");
    rstmdb_rcp::json::value(&finished.out).unwrap()
}

/// Waits until so many wait for the lock while it is held.
fn wait_for_waiting(servers: &str, waiting: u64) -> Value {
    let begun = Instant::now();
    loop {
        let found = done(servers, &["lock", "get", "job"]);
        if found["locks"][0]["waiting"] == json!(waiting) {
            return found["locks"][0].clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{found}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_command_keeps_its_lock_and_the_next_its_place_while_leaders_are_killed() {
    let _turn = turns::light();
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let servers = servers(&cluster);
    let machine =
        r#"{"states":["ON"],"initial":"ON","transitions":[{"from":"ON","event":"ADD","to":"ON"}]}"#;
    done(&servers, &["put-machine", "-n", "m", "-v", "1", machine]);
    done(&servers, &["create-instance", "-m", "m", "-i", "log"]);

    let folder = tempfile::tempdir().unwrap();
    let stop = folder.path().join("stop");
    let program = binaries::cli().unwrap();
    let add = format!("{} apply-event -i log -e ADD --reason", program.display());
    let holds = format!(
        "until [ -e {} ]; do sleep 0.1; done; {add} first",
        stop.display()
    );
    let waits = format!("{add} second");
    let run = [
        "lock", "run", "job", "--ttl", TTL, "--wait", "2m", "--", "sh", "-c",
    ];
    let holder = start(&servers, &[&run[..], &[&holds]].concat());
    let held = wait_for_waiting(&servers, 0);
    let waiter = start(&servers, &[&run[..], &[&waits]].concat());
    wait_for_waiting(&servers, 1);

    for _ in 0..2 {
        let leader = cluster.leader().unwrap();
        cluster.kill(leader).unwrap();
        // Longer than the time between two renewals.
        thread::sleep(Duration::from_secs(5));
        cluster.restart(leader).unwrap();
    }
    let still = wait_for_waiting(&servers, 1);
    assert_eq!(
        (&still["owner"], &still["token"]),
        (&held["owner"], &held["token"])
    );
    assert!(still["expires_at"].as_u64() > held["expires_at"].as_u64());
    std::fs::write(&stop, "").unwrap();
    for child in [holder, waiter] {
        let ended = cli::wait(child).unwrap();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    let leader = cluster.addrs_from(1)[0];
    let log = Cli::new(leader)
        .run(&["wal-read", "--meta", "--limit", "1000"])
        .unwrap();
    let log = rstmdb_rcp::json::value(&log.out).unwrap();
    let records = log["records"].as_array().unwrap().iter();
    let events = records.filter(|record| record["entry"]["type"] == "apply_event");
    let said: Vec<(&str, u64)> = events
        .map(|event| &event["meta"])
        .map(|meta| {
            let token = meta["fence"]["token"].as_u64().unwrap();
            (meta["reason"].as_str().unwrap(), token)
        })
        .collect();
    let [("first", first), ("second", second)] = said[..] else {
        panic!("{said:?}");
    };
    assert!(first < second && json!(first) == held["token"]);
    let free = done(&servers, &["lock", "get", "job"]);
    assert_eq!(free, json!({ "locks": [] }));
}
