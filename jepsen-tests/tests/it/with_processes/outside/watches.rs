//! Watches whose node gets an earlier log, and watches whose last event has left the log by retention.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program;
use rstmdb_jepsen::raw::RawConnection;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A watch of the command line.
struct Watch {
    child: Child,
    folder: TempDir,
}

impl Watch {
    fn begin(node: &Node, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&["watch-all"], options].concat();
        let mut command = Cli::new(node.addr()).command(&arguments).unwrap();
        let child = command
            .stdout(File::create(folder.path().join("out")).unwrap())
            .stderr(File::create(folder.path().join("err")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("out")).unwrap();
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        whole.collect()
    }

    fn wait_for(&self, what: &str, has: impl Fn(&[Value]) -> bool) {
        within(PATIENCE, || {
            let lines = self.lines();
            let errors = std::fs::read_to_string(self.path("err")).unwrap_or_default();
            has(&lines)
                .then_some(())
                .ok_or_else(|| format!("no {what} in {lines:?}; {errors}"))
        })
        .unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn put(connection: &mut RawConnection, machine: &str) {
    let definition = json!({"states": ["A"], "initial": "A",
        "transitions": [{"from": "A", "event": "E", "to": "A"}]});
    let put = json!({"machine": machine, "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put).unwrap();
    let create = json!({"instance_id": machine, "machine": machine, "version": 1});
    connection.call("CREATE_INSTANCE", &create).unwrap();
}

fn apply(connection: &mut RawConnection, instance: &str, payload: &Value) -> u64 {
    let params = json!({"instance_id": instance, "event": "E", "payload": payload});
    let done = connection.call("APPLY_EVENT", &params).unwrap();
    done["wal_offset"].as_u64().unwrap()
}

fn apply_all(connection: &mut RawConnection, instance: &str, count: usize) {
    for n in 0..count {
        apply(connection, instance, &json!({ "n": n }));
    }
}

#[test]
fn a_watch_ends_with_what_to_do_when_its_cluster_was_restored_to_an_earlier_offset() {
    let _turn = turns::light();
    let mut node = Node::start(&NodeConfig::for_tests()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put(&mut connection, "m");
    apply_all(&mut connection, "m", 5);
    let scratch = tempfile::tempdir().unwrap();
    let backup = scratch.path().join("backup").display().to_string();
    Cli::new(node.addr()).json(&["backup", &backup]).unwrap();
    apply_all(&mut connection, "m", 10);
    let mut watch = Watch::begin(&node, &["--from-offset", "0"]);
    watch.wait_for("fifteen events", |lines| lines.len() == 15);

    node.stop().unwrap();
    std::fs::remove_dir_all(node.data_dir()).unwrap();
    let mut restore = node.command().unwrap();
    restore.args(["restore", "--from", &backup]);
    let restored = program::run(&mut restore).unwrap();
    assert!(restored.status.success(), "{restored:?}");
    node.restart().unwrap();
    // The new log passes the old one's end.
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    apply_all(&mut connection, "m", 20);

    let mut ended = None;
    within(PATIENCE, || {
        ended = watch.child.try_wait().unwrap();
        ended.map(drop).ok_or_else(|| "it watches on".to_owned())
    })
    .unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(1));
    let said = std::fs::read_to_string(watch.path("err")).unwrap();
    for part in ["OFFSET_AHEAD", "restored", "state anew", "from offset"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let seen = watch.lines();
    assert_eq!(
        seen.len(),
        15,
        "what it saw later is of another log: {seen:?}"
    );
}

#[test]
fn a_watch_of_rare_events_goes_on_though_retention_dropped_the_last_one() {
    let _turn = turns::light();
    let config = NodeConfig::for_tests()
        .with("compaction.retain_events", "100")
        .with("storage.compression", "none")
        .with("compaction.min_interval_secs", "1");
    let mut node = Node::start(&config).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put(&mut connection, "rare");
    put(&mut connection, "busy");
    let rare = apply(&mut connection, "rare", &json!({"n": 1}));
    // A node keeps the last 10,000 entries before a snapshot in any case.
    let ops = vec![
        json!({"op": "APPLY_EVENT", "params": {"instance_id": "busy", "event": "E",
        "payload": {"fill": "x".repeat(200)}}});
        100
    ];
    let batch = json!({"mode": "best_effort", "ops": ops});
    for _ in 0..105 {
        connection.call("BATCH", &batch).unwrap();
    }
    let from = rare.to_string();
    let filter = ["--machines", "rare", "--from-offset", &from, "--progress"];
    let watch = Watch::begin(&node, &filter);
    watch.wait_for("notice", |lines| {
        lines.last().is_some_and(|line| line["type"] == "progress")
    });
    let compacted = connection.call("COMPACT", &json!({"force_snapshot": true}));
    compacted.unwrap();
    within(PATIENCE, || {
        let info = connection.call("INFO", &json!({})).unwrap();
        let earliest = info["earliest_offset"].as_u64().unwrap();
        if earliest > rare + 1 {
            return Ok(());
        }
        // Retention drops the log only after the node has taken a snapshot and purged the log before it.
        connection.call("BATCH", &batch).unwrap();
        connection
            .call("COMPACT", &json!({"force_snapshot": true}))
            .unwrap();
        Err(format!("the log still begins at {earliest}"))
    })
    .unwrap();
    node.kill().unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    apply(&mut connection, "rare", &json!({"n": 2}));
    watch.wait_for("second event", |lines| {
        let seen = lines.iter().filter(|line| line["type"] == "event");
        seen.map(|line| &line["payload"]["n"])
            .eq([&json!(1), &json!(2)])
    });
}
