//! A data folder of every format version that was released still opens, and holds what it held.
//!
//! `fixtures/format-N/` has the folder as a node of that version left it (`.tar.gz`), once in clear and
//! once encrypted, and what each held (`.jsonl`, `.json`). With a new version of the format the next
//! fixture is made, once, by
//! `cargo test -p rstmdb-jepsen --test old_formats -- --ignored`; the old ones stay as they are.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::ended::run;
use rstmdb_jepsen::process::{Node, server_command};
use rstmdb_jepsen::raw::Connection;
use rstmdb_jepsen::wal;
use serde_json::{Value, json};

/// What this build writes.
const CURRENT: u32 = 1;
const KEYS: &str = "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ORDERS: u64 = 40;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn config(encrypted: bool) -> Config {
    let config = Config::for_tests().with("compaction.enabled", "false");
    match encrypted {
        true => config.with("storage.encryption_keys", KEYS),
        false => config,
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
    let mut connection = Connection::connect(node.addr()).unwrap();
    let mut records = 0;
    wal::visit(&mut connection, 0, wal::PAGE_RECORDS, |_| {
        records += 1;
        Ok(())
    })
    .unwrap();
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
    let mut node = Node::prepare(&config(encrypted)).unwrap();
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
    verify.env("RSTMDB_ENCRYPTION_KEYS", KEYS);
    let verified = run(verify.arg("verify").arg("--data").arg(&data)).unwrap();
    assert!(verified.status.success(), "{}", verified.everything());

    node.restart().unwrap();
    let (export, found) = held(&node);
    let expected = std::fs::read_to_string(file(format, encrypted, "jsonl")).unwrap();
    assert!(export == expected, "{}: another state", archive.display());
    let text = std::fs::read_to_string(file(format, encrypted, "json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found, expected, "{}", archive.display());
    // It goes on, and what it writes stands beside what it found.
    let mut connection = Connection::connect(node.addr()).unwrap();
    let event = json!({"instance_id": "order-3", "event": "SHIP"});
    connection.call("APPLY_EVENT", &event).unwrap();
    assert!(node.stop().unwrap().0.success());
    node.restart().unwrap();
    let mut connection = Connection::connect(node.addr()).unwrap();
    let order = json!({"instance_id": "order-3"});
    assert_eq!(
        connection.call("GET_INSTANCE", &order).unwrap()["state"],
        "shipped"
    );
}

#[test]
#[ignore = "makes the fixture of the present format, once for each version"]
fn make_the_fixture_of_this_format() {
    let format = fixtures().join(format!("format-{CURRENT}"));
    assert!(!format.exists(), "{} is there, and stays", format.display());
    std::fs::create_dir_all(&format).unwrap();
    for encrypted in [true, false] {
        let mut node = Node::start(&config(encrypted)).unwrap();
        fill(&node);
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

/// Something of everything: versions, a guard, payloads long enough to be compressed, keys, a batch, a
/// deletion, several segments, a snapshot with log before and behind it.
fn fill(node: &Node) {
    let mut connection = Connection::connect(node.addr()).unwrap();
    let mut call = |op: &str, params: Value| connection.call(op, &params).unwrap();
    for version in [1, 2] {
        call(
            "PUT_MACHINE",
            json!({"machine": "order", "version": version, "definition": {
            "states": ["new", "paid", "shipped"], "initial": "new", "transitions": [
                {"from": "new", "event": "PAY", "to": "paid", "guard": "ctx.total > 0"},
                {"from": "paid", "event": "SHIP", "to": "shipped"}]}}),
        );
    }
    for n in 0..ORDERS {
        let id = format!("order-{n}");
        let note = format!("order {n} of a customer; ").repeat(n as usize * 100);
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
        if n == ORDERS / 2 {
            call("COMPACT", json!({"force_snapshot": true}));
        }
    }
    call("DELETE_INSTANCE", json!({"instance_id": "order-1"}));
    call(
        "BATCH",
        json!({"mode": "atomic", "ops": [
        {"op": "APPLY_EVENT", "params": {"instance_id": "order-0", "event": "SHIP"}},
        {"op": "APPLY_EVENT", "params": {"instance_id": "order-6", "event": "SHIP"}}]}),
    );
}
