//! A data folder of every released format version still opens, and its content is unchanged.
//!
//! `fixtures/format-N/` has the folder as a node of that version left it (`.tar.gz`), once in clear and
//! once encrypted, and what each held (`.jsonl`, `.json`). With a new version of the format the next
//! fixture is made, once, by
//! `cargo test -p rstmdb-jepsen --test it old_formats:: -- --ignored`; the old ones stay as they are.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::process::node::{Node, READY_TIMEOUT, server_command};
use rstmdb_jepsen::process::program::run;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::wal;
use serde_json::{Value, json};

/// What this build writes.
const CURRENT: u32 = 1;
const KEYS: [&str; 2] = [
    "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
];
const ORDERS: u64 = 40;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A key file with the first `known` keys.
fn write_keys(path: &Path, known: usize) {
    std::fs::write(path, KEYS[..known].join("\n")).unwrap();
}

fn config(keys: Option<&Path>) -> NodeConfig {
    let config = NodeConfig::for_tests().with("compaction.enabled", "false");
    match keys {
        Some(path) => config.with("storage.encryption_key_file", &path.display().to_string()),
        None => config,
    }
}

fn file(format: &Path, encrypted: bool, extension: &str) -> PathBuf {
    let name = if encrypted { "encrypted" } else { "clear" };
    format.join(format!("{name}.{extension}"))
}

fn tar(args: &[&str]) {
    let status = Command::new("tar").args(args).status().unwrap();
    assert!(status.success(), "tar {args:?}");
}

/// What the node holds: its state, its log, its digest.
fn held(node: &Node) -> (String, Value) {
    let export = Cli::new(node.addr()).run(&["export"]).unwrap();
    assert_eq!(export.code, Some(0), "{}", export.err);
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let mut records = 0;
    wal::visit(&mut connection, 0, wal::PAGE_RECORDS, |_| records += 1).unwrap();
    let info = Cli::new(node.addr()).json(&["info"]).unwrap();
    let expected = json!({
        "digest": info["state_digest"],
        "instances": info["instances"],
        "records": records,
    });
    (export.out, expected)
}

#[test]
fn every_released_format_opens_and_holds_what_it_held() {
    let _turn = turns::light();
    let mut formats: Vec<PathBuf> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    formats.sort();
    assert_eq!(formats.len() as u32, CURRENT, "one for each version");
    for format in &formats {
        for encrypted in [false, true] {
            opens(format, encrypted);
        }
    }
}

fn opens(format: &Path, encrypted: bool) {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    write_keys(&keys, KEYS.len());
    let mut node = Node::prepare(&config(encrypted.then_some(&keys))).unwrap();
    let data = node.data_dir();
    std::fs::create_dir_all(&data).unwrap();
    let archive = file(format, encrypted, "tar.gz");
    tar(&[
        "-xzf",
        archive.to_str().unwrap(),
        "-C",
        data.to_str().unwrap(),
    ]);
    let mut verify = server_command().unwrap();
    verify.env("RSTMDB_ENCRYPTION_KEY_FILE", &keys);
    let verified = run(verify.arg("verify").arg("--data").arg(&data)).unwrap();
    assert!(verified.status.success(), "{}", verified.everything());

    node.restart().unwrap();
    // The node has another port than the one that made the folder, and its membership has to say so.
    let announced = within(READY_TIMEOUT, || {
        let log = node.log_text();
        let is_in_force = log.contains("this node's new addresses are in force");
        is_in_force.then_some(()).ok_or(log)
    });
    announced.unwrap();
    let (export, found) = held(&node);
    let expected = std::fs::read_to_string(file(format, encrypted, "jsonl")).unwrap();
    assert!(export == expected, "{}: another state", archive.display());
    let text = std::fs::read_to_string(file(format, encrypted, "json")).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    let records = expected["records"].as_u64().unwrap();
    expected["records"] = json!(records + 1);
    assert_eq!(found, expected, "{}", archive.display());
    // The node goes on, and writes beside the data that it found.
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let event = json!({"instance_id": "order-3", "event": "SHIP"});
    connection.call("APPLY_EVENT", &event).unwrap();
    assert!(node.stop().unwrap().0.success());
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let order = json!({"instance_id": "order-3"});
    assert_eq!(
        connection.call("GET_INSTANCE", &order).unwrap()["state"],
        "shipped"
    );
}

#[test]
#[ignore = "makes the fixture of the present format, once for each version"]
fn make_the_fixture_of_this_format() {
    let _turn = turns::light();
    let format = fixtures().join(format!("format-{CURRENT}"));
    assert!(!format.exists(), "{} is there, and stays", format.display());
    std::fs::create_dir_all(&format).unwrap();
    for encrypted in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        write_keys(&keys, 1);
        let mut node = Node::start(&config(encrypted.then_some(&keys))).unwrap();
        fill(&node, 0..ORDERS / 2);
        if encrypted {
            // A key that is not used any more, and with it a segment that is full.
            write_keys(&keys, 2);
            Cli::new(node.addr()).json(&["rotate-key"]).unwrap();
        }
        fill(&node, ORDERS / 2..ORDERS);
        settle(&node);
        let (export, expected) = held(&node);
        std::fs::write(file(&format, encrypted, "jsonl"), export).unwrap();
        std::fs::write(
            file(&format, encrypted, "json"),
            expected.to_string() + "\n",
        )
        .unwrap();
        assert!(node.stop().unwrap().0.success());
        let (archive, data) = (file(&format, encrypted, "tar.gz"), node.data_dir());
        let (archive, data) = (archive.to_str().unwrap(), data.to_str().unwrap());
        tar(&["-czf", archive, "-C", data, "--exclude=./catalog", "."]);
    }
}

/// Writes an example of everything: versions, a guard, contexts long enough to be compressed, keys, a snapshot with log
/// before and behind it. [`settle`] adds a deletion and a batch.
fn fill(node: &Node, orders: Range<u64>) {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let mut call = |op: &str, params: Value| connection.call(op, &params).unwrap();
    for version in [1, 2].into_iter().filter(|_| orders.start == 0) {
        call(
            "PUT_MACHINE",
            json!({"machine": "order", "version": version, "definition": {
            "states": ["new", "paid", "shipped"], "initial": "new", "transitions": [
                {"from": "new", "event": "PAY", "to": "paid", "guard": "ctx.total > 0"},
                {"from": "paid", "event": "SHIP", "to": "shipped"}]}}),
        );
    }
    for n in orders {
        let id = format!("order-{n}");
        let note = format!("order {n} of a customer; ").repeat(n as usize);
        call(
            "CREATE_INSTANCE",
            json!({"machine": "order", "version": 1 + n % 2, "instance_id": id,
            "initial_ctx": {"total": n + 1, "note": note}, "idempotency_key": format!("create-{n}")}),
        );
        if n % 3 == 0 {
            call(
                "APPLY_EVENT",
                json!({"instance_id": id, "event": "PAY", "payload": {"by": "card"},
                "event_id": format!("pay-{n}")}),
            );
        }
        if n == ORDERS * 3 / 4 {
            call("COMPACT", json!({"force_snapshot": true}));
        }
    }
}

fn settle(node: &Node) {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let mut call = |op: &str, params: Value| connection.call(op, &params).unwrap();
    call("DELETE_INSTANCE", json!({"instance_id": "order-1"}));
    let ship =
        |id: &str| json!({"op": "APPLY_EVENT", "params": {"instance_id": id, "event": "SHIP"}});
    let ops = [ship("order-0"), ship("order-6")];
    call("BATCH", json!({"mode": "atomic", "ops": ops}));
}
