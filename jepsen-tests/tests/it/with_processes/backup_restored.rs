//! A restored node is a node like any other, with the history of the node that was backed up. An interrupted backup or
//! restore is never taken for a whole one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::cluster::{Cluster, SETTLE_TIMEOUT};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::mixed::Mixed;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program::{self, EndedProgram};
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use rstmdb_jepsen::rcp::watcher::SeenEvent;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::wal::{self, ReadRecord};
use serde_json::{Value, json};

const MARKER: &str = "restore.unfinished";

/// A node with a past, and a backup of it.
struct Source {
    node: Node,
    mixed: Mixed,
    scratch: tempfile::TempDir,
}

impl Source {
    fn start(name: &str) -> Self {
        let mut rng = Rng::new(rng::seed(name));
        let node = Node::start(&NodeConfig::for_tests()).unwrap();
        let mixed = Mixed::start(node.addr(), "s", rng.fork()).unwrap();
        Self {
            node,
            mixed,
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> String {
        self.scratch.path().join("backup").display().to_string()
    }

    fn backup(&self) -> Value {
        Cli::new(self.node.addr())
            .json(&["backup", &self.dir()])
            .unwrap()
    }

    fn records(&self) -> Vec<ReadRecord> {
        wal::read_all(&mut RawConnection::connect(self.node.addr()).unwrap()).unwrap()
    }
}

/// `rstmdb restore` with a node's configuration.
fn restore(node: &Node, from: &str, options: &[&str]) -> EndedProgram {
    let mut command = node.command().unwrap();
    command.args(["restore", "--from", from]).args(options);
    program::run(&mut command).unwrap()
}

/// The program before knew neither feature levels nor the switch of automation.
#[test]
fn a_backup_of_the_first_level_is_restored_at_the_present_one_and_paused() {
    let _turn = turns::light();
    let mut before = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let mut program = Command::new("env");
    program.arg("RSTMDB_TEST_FEATURE_LEVEL=1");
    before.launch_under(program).unwrap();
    before.wait_ready().unwrap();
    let level = |node: &Node| {
        let mut connection = RawConnection::connect(node.addr()).unwrap();
        let info = connection.call("INFO", &json!({})).unwrap();
        (info["feature_level"].clone(), info["automation"].clone())
    };
    assert_eq!(level(&before).0, 1);
    let machine = r#"{"states":["a"],"initial":"a","transitions":[]}"#;
    let cli = Cli::new(before.addr());
    for args in [
        &["put-machine", "-n", "m", "-v", "1", machine][..],
        &["create-instance", "-m", "m", "-V", "1", "-i", "here"],
    ] {
        assert_eq!(cli.run(args).unwrap().code, Some(0));
    }
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("backup").display().to_string();
    cli.json(&["backup", &dir]).unwrap();

    let mut copy = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let done = restore(&copy, &dir, &[]);
    assert!(done.status.success(), "{done:?}");
    for said in [
        "of feature level 1; the new cluster begins at level 2",
        "AUTOMATION IS PAUSED",
    ] {
        assert!(done.out.contains(said), "{done:?}");
    }
    copy.launch().unwrap();
    copy.wait_ready().unwrap();
    let (reached, automation) = level(&copy);
    assert_eq!(reached, 2);
    assert_eq!(automation["automation"], "paused", "{automation}");
    let here = Cli::new(copy.addr()).json(&["get-instance", "here", "--json"]);
    assert_eq!(here.unwrap()["state"], "a");
}

#[test]
fn a_restored_node_has_the_past_and_grows_to_three() {
    let _turn = turns::heavy();
    let mut source = Source::start("backup_restored");
    source.mixed.run(800).unwrap();
    source.backup();
    source.mixed.run(200).unwrap();
    let (offset, digest) = source.mixed.digest().unwrap();
    let keyed = source.mixed.keyed.clone();
    let records = source.records();
    // Later writes are in the backup, but the restore leaves them out.
    source.mixed.run(200).unwrap();
    source.backup();

    let mut cluster = Cluster::prepare(1, &NodeConfig::for_tests()).unwrap();
    let target = offset.to_string();
    let done = restore(
        cluster.node(1).unwrap(),
        &source.dir(),
        &["--to-offset", &target],
    );
    assert!(done.status.success(), "{done:?}");
    assert!(
        done.out.contains(&format!("restored offset {offset} of ")),
        "{done:?}"
    );
    assert!(done.out.contains(&digest), "{done:?}");
    let again = restore(cluster.node(1).unwrap(), &source.dir(), &[]);
    assert_eq!(again.as_refusal(&["is not empty"]), Ok(()));
    cluster.launch(1).unwrap();
    cluster.wait_ready(1).unwrap();

    assert!(done.out.contains("AUTOMATION IS PAUSED"), "{done:?}");
    let info = cluster.info(1).unwrap();
    // The state is the source's, and automation is paused in it.
    let automation = &info["automation"];
    assert_eq!(
        (&automation["automation"], &automation["by"]),
        (&json!("paused"), &json!("restore"))
    );
    let paused = info["state_digest"].as_str().unwrap().to_owned();
    let mut at_source = RawConnection::connect(source.node.addr()).unwrap();
    let source_info = at_source.call("INFO", &json!({})).unwrap();
    assert_ne!(info["cluster_id"], source_info["cluster_id"]);
    let mut connection = cluster.connect(1).unwrap();
    has_the_past(&mut connection, &records, offset);
    let before = records.partition_point(|record| record.offset <= offset);
    repeats_old_calls(&mut connection, &keyed, &records[..before], &paused);

    let mut mixed = Mixed::start(cluster.addr(1).unwrap(), "s", Rng::new(1)).unwrap();
    mixed.run(200).unwrap();
    for id in [2, 3] {
        cluster.prepare_joining(id).unwrap();
        cluster.launch_joining(id).unwrap();
        let peer = cluster.peer_addr(id).unwrap().to_string();
        let added = cluster
            .cli(1)
            .unwrap()
            .run(&["cluster", "add", &peer])
            .unwrap();
        assert_eq!(added.code, Some(0), "{added:?}");
        cluster.wait_ready(id).unwrap();
    }
    cluster.kill(1).unwrap();
    within(SETTLE_TIMEOUT, || {
        cluster.leader().map_err(|error| error.to_string())
    })
    .unwrap();
    cluster.restart(1).unwrap();
    Mixed::start(cluster.addr(3).unwrap(), "s", Rng::new(2))
        .unwrap()
        .run(100)
        .unwrap();
    cluster.wait_converged().unwrap();
    has_the_past(&mut cluster.connect(3).unwrap(), &records, offset);
}

/// The log up to the offset, as WAL_READ shows it and as a watch does.
fn has_the_past(connection: &mut RawConnection, records: &[ReadRecord], offset: u64) {
    within(SETTLE_TIMEOUT, || {
        let earliest = wal::earliest(connection).unwrap();
        (earliest == 1)
            .then_some(())
            .ok_or_else(|| format!("it begins at {earliest}"))
    })
    .unwrap();
    let before = records.partition_point(|record| record.offset <= offset);
    let past = &records[..before];
    let mut found = wal::read_all(connection).unwrap();
    found.retain(|record| record.offset <= offset);
    assert!(found == past, "{} records, not {}", found.len(), past.len());
    connection
        .call("WATCH_ALL", &json!({"from_offset": 1}))
        .unwrap();
    for expected in past.iter().filter_map(ReadRecord::seen) {
        let RawMessage::Event(event) = connection.receive().unwrap() else {
            panic!("no event");
        };
        let seen = SeenEvent::new(event["wal_offset"].as_u64().unwrap(), &event);
        assert_eq!(seen, expected);
    }
}

/// A call whose key is remembered is answered as it was the first time, and changes nothing. Keys end with the
/// life of their instance; that of a deletion lives until the id is created again.
fn repeats_old_calls(
    connection: &mut RawConnection,
    keyed: &[(&'static str, Value, Value)],
    past: &[ReadRecord],
    digest: &str,
) {
    let ended = |op: &str, params: &Value, result: &Value| {
        let id = params.get("instance_id").unwrap_or(&result["instance_id"]);
        let end = match op {
            "DELETE_INSTANCE" => "create_instance",
            _ => "delete_instance",
        };
        past.iter().any(|record| {
            record.kind() == end
                && record.entry["instance_id"] == *id
                && Some(record.offset) > result["wal_offset"].as_u64()
        })
    };
    assert!(keyed.len() > 50, "{} keyed calls", keyed.len());
    let mut keyed = keyed.to_vec();
    keyed.retain(|(op, params, result)| !ended(op, params, result));
    assert!(keyed.len() > 20, "{} of instances that live", keyed.len());
    for (op, params, result) in &keyed {
        let repeated = connection.call(op, params).unwrap();
        assert_eq!(
            repeated["wal_offset"], result["wal_offset"],
            "{op} {params}"
        );
        assert_ne!(repeated["applied"], true, "{op} {params}");
    }
    let info = connection.call("INFO", &json!({})).unwrap();
    assert_eq!(info["state_digest"], json!(digest));
}

#[test]
fn an_interrupted_backup_is_continued_by_the_next() {
    let _turn = turns::light();
    let mut source = Source::start("backup_interrupted");
    let mut rng = Rng::new(rng::seed("backup_interrupted, kills"));
    let cli = Cli::new(source.node.addr());
    let dir = source.dir();
    let mut interrupted = 0;
    for round in 0..8 {
        source.mixed.fill(2_000).unwrap();
        source.mixed.run(20).unwrap();
        let mut child = cli.spawn(&["backup", &dir]).unwrap();
        std::thread::sleep(Duration::from_millis(rng.below(60)));
        child.kill().unwrap();
        interrupted += u32::from(!child.wait().unwrap().success());
        let verified = cli.run(&["backup", "--verify", &dir]).unwrap();
        // What a restore would refuse too.
        let nothing_yet = verified.err.contains("holds no backup")
            || verified
                .err
                .contains("interrupted before its log reached its snapshot");
        assert!(verified.code == Some(0) || nothing_yet, "{verified:?}");
        if round % 3 == 2 {
            source.backup();
        }
    }
    assert!(interrupted > 0, "every backup was faster than its end");
    source.backup();
    let names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let report = cli.json(&["backup", "--verify", &dir]).unwrap();
    // The manifest and the lock, and nothing that is left over.
    assert_eq!(
        names.len() as u64,
        report["files"].as_u64().unwrap() + 2,
        "{names:?}"
    );
    let (offset, digest) = source.mixed.digest().unwrap();
    let target = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let done = restore(&target, &dir, &["--to-offset", &offset.to_string()]);
    assert!(
        done.status.success() && done.out.contains(&digest),
        "{done:?}"
    );
}

#[test]
fn an_interrupted_restore_is_never_taken_for_whole() {
    let _turn = turns::light();
    let mut source = Source::start("backup_restore_interrupted");
    let mut rng = Rng::new(rng::seed("backup_restore_interrupted, kills"));
    source.mixed.fill(8_000).unwrap();
    let report = source.backup();
    let time = report["restorable"][0]["last_time"].as_str().unwrap();
    let mut unfinished = 0;
    for _ in 0..10 {
        let target = Node::prepare(&NodeConfig::for_tests()).unwrap();
        let mut command = target.command().unwrap();
        command.args(["restore", "--from", &source.dir(), "--to-time", time]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        if unfinished == 0 {
            // The kill comes as soon as the marker is there, unless the program ends before the test sees it.
            let marker = target.data_dir().join(MARKER);
            while !marker.exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        } else {
            std::thread::sleep(Duration::from_millis(rng.below(400)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        unfinished += u32::from(check_what_is_left(&target, &source.dir()));
    }
    assert!(unfinished > 0, "none was interrupted in the middle");
}

/// Whether the restore was interrupted in the middle.
fn check_what_is_left(target: &Node, from: &str) -> bool {
    let data = target.data_dir();
    if data.join(MARKER).exists() {
        let started = program::run(&mut target.command().unwrap()).unwrap();
        assert_eq!(
            started.as_refusal(&["interrupted", "restore again"]),
            Ok(())
        );
        let again = restore(target, from, &[]);
        assert_eq!(again.as_refusal(&["is not empty"]), Ok(()));
        return true;
    }
    let nothing = |dir: &Path| !dir.exists() || std::fs::read_dir(dir).unwrap().count() <= 1;
    assert!(
        data.join("identity.json").exists() || nothing(&data),
        "{}",
        data.display()
    );
    false
}
