//! What the program says to a mistake that would pass without a word otherwise.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::fake::{Answer, Fake, cli, exited};
use rstmdb_rcp::message::op;
use serde_json::json;

fn machines(operation: &str) -> Answer {
    let result = match operation {
        op::LIST_MACHINES => json!({"items": [{"machine": "order", "versions": [1]}]}),
        op::GET_MACHINE => {
            json!({"version": 1, "checksum": "c", "definition": {"states": ["CART", "PAID"], "initial": "CART",
                "transitions": [{"from": "CART", "event": "PAY", "to": "PAID"}]}})
        }
        op::WATCH_ALL => json!({"subscription_id": "sub-1", "wal_offset": 100}),
        _ => json!({"instances": [], "total": 0, "has_more": false}),
    };
    Answer::Ok(result.to_string())
}

#[test]
fn a_list_that_is_empty_because_a_name_is_wrong_says_so() {
    let fake = Fake::start(|operation, _| machines(operation));
    let listed = |args: &[&str]| {
        let output = fake.cli(&[&["list-instances"], args].concat()).output();
        let (out, err) = exited(&output.unwrap(), 0);
        assert!(out.starts_with("{\"instances\":[]"), "{out}");
        err
    };
    assert_eq!(
        listed(&["ordr", "--state", "PAID"]),
        "warning: there is no machine \"ordr\"; did you mean \"order\"?\n"
    );
    let said =
        "warning: no machine that is looked at has the state \"PIAD\"; did you mean \"PAID\"?\n";
    assert_eq!(listed(&["order", "--state", "PIAD"]), said);
    assert_eq!(listed(&["--state", "PIAD"]), said);
    assert_eq!(listed(&["order", "--state", "PAID"]), "");
    assert_eq!(listed(&[]), "");
}

#[test]
fn a_watch_for_what_never_happens_says_so() {
    let fake = Fake::start(|operation, _| machines(operation));
    let args = ["watch-all", "order", "--events", "pay"];
    let mut child = fake
        .cli(&args)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    err.read_line(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        said,
        "warning: no machine that is looked at has the event \"pay\"; did you mean \"PAY\"?\n"
    );
}

#[test]
fn a_variable_that_no_program_reads_is_warned_of_once() {
    let said = |args: &[&str]| {
        let mut command = cli(args);
        command
            .env("RSTMDB_DATA_DIR", "/data")
            .env("RSTMDB_DATA", "/data");
        exited(&command.output().unwrap(), 0).1
    };
    assert_eq!(
        said(&["hash-token", "secret"]),
        "warning: the variable RSTMDB_DATA_DIR has no effect; did you mean RSTMDB_DATA?\n"
    );
    // There standard error is an object, or empty.
    assert_eq!(said(&["--json", "hash-token", "secret"]), "");
}
