//! The metadata that the program gives to writes, and how it shows metadata.

use crate::fake::{Answer, Fake, exited};
use rstmdb_rcp::message::op;
use serde_json::{Value, json};

fn sent(args: &[&str]) -> (String, Value) {
    let fake = Fake::start(|_, _| Answer::Ok("{\"results\":[]}".to_owned()));
    exited(&fake.cli(args).output().unwrap(), 0);
    let (op, params) = fake.requests().pop().unwrap();
    (op, serde_json::from_str(&params).unwrap())
}

#[test]
fn every_write_takes_what_there_is_to_say_about_it() {
    let writes: [&[&str]; 6] = [
        &["put-machine", "-n", "m", "-v", "1", "{}"],
        &["create-instance", "-m", "m", "-V", "1"],
        &["apply-event", "-i", "a", "-e", "GO"],
        &["delete-instance", "a"],
        &["flush-all", "--yes"],
        &["batch", "/dev/null"],
    ];
    let about = [
        "--header",
        "ticket=T-1",
        "--header",
        "x=a=b",
        "--reason",
        "why",
        "--correlation-id",
        "w",
        "--causation-id",
        "17",
    ];
    for write in writes {
        let (op, params) = sent(&[write, &about[..]].concat());
        assert_eq!(
            params["headers"],
            json!({"ticket": "T-1", "x": "a=b"}),
            "{op}"
        );
        let said = ["reason", "correlation_id", "causation_id"].map(|name| &params[name]);
        assert_eq!(said, ["why", "w", "17"], "{op}");
        let (_, params) = sent(write);
        assert_eq!(params["headers"], Value::Null, "{op}");
    }
    let fake = Fake::start(|_, _| Answer::Silence);
    let wrong = ["delete-instance", "a", "--header", "no-value"];
    let (_, err) = exited(&fake.cli(&wrong).output().unwrap(), 2);
    assert!(err.contains("expected NAME=VALUE"), "{err}");
}

#[test]
fn reading_asks_for_metadata_where_it_is_wanted() {
    let (op, params) = sent(&["wal-read", "--meta"]);
    let expected = json!({"from_offset": 0, "include_meta": true});
    assert_eq!((op.as_str(), params), (op::WAL_READ, expected));
    let (_, params) = sent(&["wal-read"]);
    assert_eq!(params, json!({"from_offset": 0}));
    let (op, params) = sent(&["ancestors", "17", "--limit", "5"]);
    let expected = json!({"offset": 17, "limit": 5});
    assert_eq!((op.as_str(), params), (op::ANCESTORS, expected));
}
