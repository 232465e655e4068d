//! wal-read: the end of the log, what is younger than a time, what comes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fake::{Answer, Fake, exited};
use rstmdb_rcp::message::op;
use serde_json::{Value, json};

/// The fake says that its log ends there.
const LATEST: u64 = 100;

/// A log with a record at each even offset, each a minute older than the one behind it; the last one is of now.
fn log(operation: &str, params: &Value) -> Answer {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let result = match operation {
        op::INFO => {
            json!({"server_name": "rstmdb", "server_version": "0", "protocol_version": 1, "features": [],
            "cluster_id": "c", "cluster_name": "c", "node_id": 1, "role": "leader", "term": 1,
            "last_applied": LATEST, "commit_index": LATEST, "last_log": LATEST, "earliest_offset": 1,
            "members": []})
        }
        op::WAL_READ => {
            let from = params["from_offset"].as_u64().unwrap();
            let limit = params["limit"].as_u64().unwrap_or(100) as usize;
            let records = (from..=LATEST).filter(|offset| offset % 2 == 0).take(limit);
            let records: Vec<Value> = records
                .map(|offset| {
                    let time = now - (LATEST - offset) / 2 * 60_000;
                    json!({"sequence": offset, "offset": offset, "entry": {"type": "apply_event",
                        "instance_id": "a", "event": "E", "time_ms": time}})
                })
                .collect();
            let next = match records.last() {
                Some(last) if records.len() == limit => last["offset"].as_u64().unwrap() + 1,
                _ => LATEST + 1,
            };
            json!({"records": records, "next_offset": next.max(from)})
        }
        other => panic!("{other} was not to be called"),
    };
    Answer::Ok(result.to_string())
}

fn offsets(args: &[&str]) -> Vec<u64> {
    let fake = Fake::start(log);
    let args = [&["wal-read", "-o", "jsonl"], args].concat();
    let (out, _) = exited(&fake.cli(&args).output().unwrap(), 0);
    let offset = |line: &str| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64();
    out.lines().filter_map(offset).collect()
}

#[test]
fn the_last_records_are_found_although_not_every_offset_has_one() {
    assert_eq!(offsets(&["--last", "3"]), [96, 98, 100]);
    assert_eq!(offsets(&["--last", "1"]), [100]);
    assert_eq!(offsets(&["--last", "1000"]).len(), 50);
    let fake = Fake::start(log);
    let (out, _) = exited(&fake.cli(&["wal-read", "--last", "1"]).output().unwrap(), 0);
    let page: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(page["records"].as_array().unwrap().len(), 1);
    assert_eq!(page["next_offset"], 101);
}

#[test]
fn what_is_younger_than_a_time_is_found() {
    assert_eq!(offsets(&["--since", "150s"]), [96, 98, 100]);
    assert_eq!(offsets(&["--since", "100h"]).len(), 50);
    assert_eq!(offsets(&["--since", "150s", "--limit", "1"]), [96]);
}

#[test]
fn a_log_is_followed() {
    let fake = Fake::start(log);
    let mut child = fake
        .cli(&["wal-read", "--last", "2", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for expected in [98, 100] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["offset"], expected);
    }
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
