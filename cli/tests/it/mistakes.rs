//! What the program says to a mistake that would pass without a word otherwise.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::fake::{Answer, Fake, cli, exited};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

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

#[test]
fn a_time_that_is_none_is_refused_before_anything_is_sent() {
    let fake = Fake::start(|_, _| Answer::Silence);
    for (args, part) in [
        (&["clock", "advance", "abc"][..], "expected a duration"),
        (
            &["clock", "advance", "99999999999w"],
            "expected a shorter duration",
        ),
        (
            &["timers", "set", "o-1", "EXPIRE", "--after", "soon"],
            "expected a duration",
        ),
        (
            &["timers", "set", "o-1", "EXPIRE", "--at", "noon"],
            "expected a time",
        ),
        (
            &["lock", "acquire", "x", "--ttl", "99999999999999999999h"],
            "too long",
        ),
        (&["lock", "acquire", "x", "--ttl", "0s"], "too short"),
    ] {
        let (_, err) = exited(&fake.cli(args).output().unwrap(), 2);
        assert!(err.contains(part), "{args:?}: {err}");
    }
    assert_eq!(fake.requests(), []);
}

#[test]
fn an_event_that_would_be_refused_has_one_exit_code() {
    let fake = Fake::start(|_, _| {
        let event = |event: &str, outcome: &str| json!({"event": event, "outcome": outcome, "to_state": "PAID", "guards": []});
        let events = [event("PAY", "taken"), event("SHIP", "refused")];
        Answer::Ok(json!({"state": "CART", "last_wal_offset": 3, "events": events}).to_string())
    });
    let explain = |event: &str, code| {
        exited(
            &fake.cli(&["explain", "o-1", event]).output().unwrap(),
            code,
        )
    };
    assert_eq!(explain("PAY", 0).1, "");
    let (out, err) = explain("SHIP", 1);
    assert!(
        out.contains("\"refused\"") && err == "event \"SHIP\" would be refused\n",
        "{out}{err}"
    );
    assert!(explain("NOPE", 1).1.contains("possible are PAY, SHIP"));
}

#[test]
fn people_read_who_holds_a_lock_until_when_and_that_a_lock_is_free() {
    let fake = Fake::start(|operation, _| match operation {
        op::LOCK_ACQUIRE => {
            let details = json!({"name": "job", "owner": "w", "expires_at": 1_700_000_000_000_i64});
            let error = ErrorBody::new(Code::LockHeld, "held until 1700000000000");
            Answer::Refuse(error.with_details(details))
        }
        _ => Answer::Ok(r#"{"locks":[]}"#.to_owned()),
    });
    let (_, err) = exited(&fake.cli(&["lock", "acquire", "job"]).output().unwrap(), 75);
    let said = "LOCK_HELD: lock \"job\" is held by \"w\" until 2023-11-14 22:13:20Z\n";
    assert!(err.starts_with(said), "{err}");
    let get = |form| {
        let output = fake.cli(&["lock", "get", "job", "-o", form]).output();
        exited(&output.unwrap(), 0).0
    };
    assert_eq!(get("table"), "lock \"job\" is free\n");
    assert_eq!(get("json"), "{\"locks\":[]}\n");
}

#[test]
fn a_log_that_is_followed_from_beyond_its_end_says_what_it_waits_for() {
    let empty = r#"{"records":[],"next_offset":500}"#;
    let fake = Fake::start(move |_, _| Answer::Ok(empty.to_owned()));
    let args = ["wal-read", "--follow", "--from-offset", "500"];
    let mut command = fake.cli(&args);
    let mut child = command
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
        "the log ends at offset 100; this waits until it reaches 500\n"
    );
}

#[test]
fn addresses_that_a_running_node_changes_back_are_warned_of() {
    let fake = Fake::start(|operation, _| {
        let node = |id: u64, reachable: bool| {
            json!({"node_id": id, "voter": true, "peer_addr": "a:2",
            "rcp_addr": "a:1", "reachable": reachable})
        };
        Answer::Ok(match operation {
            op::CLUSTER_STATUS => json!({"cluster_id": "c", "cluster_name": "n", "term": 1,
                "nodes": [node(1, true), node(2, false)]})
            .to_string(),
            _ => "{}".to_owned(),
        })
    });
    let set = |id: &str, peer: &str| {
        let args = ["cluster", "set-address", id, peer, "a:1"];
        exited(&fake.cli(&args).output().unwrap(), 0).1
    };
    assert!(set("1", "b:2").starts_with("warning: node 1 is up, and within 10 s it changes"));
    assert_eq!(set("1", "a:2"), "");
    assert_eq!(set("2", "b:2"), "");
}

#[test]
fn a_certificate_that_is_not_there_is_a_wrong_argument_and_no_lost_connection() {
    let fake = Fake::start(|_, _| Answer::Silence);
    for args in [
        &["--ca-cert", "/no/such/ca.pem"][..],
        &[
            "-k",
            "--client-cert",
            "/no/such/c.pem",
            "--client-key",
            "/no/such/k.pem",
        ],
    ] {
        let args = [&["--json", "ping"], args].concat();
        let (_, err) = exited(&fake.cli(&args).output().unwrap(), 2);
        let error: Value = serde_json::from_str(&err).unwrap();
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!("USAGE"), &json!(false))
        );
        assert!(err.contains("/no/such/"), "{err}");
    }
}

#[test]
fn a_definition_that_is_refused_is_told_with_its_file_and_all_of_its_faults() {
    let fake = Fake::start(|_, _| {
        let error = ErrorBody::new(
            Code::BadRequest,
            "transitions[0].to: \"gone\" is not one of `states`",
        );
        Answer::Refuse(error)
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.json");
    let text = r#"{"states":["a"],"initial":"a","transitions":[
        {"from":"a","event":"GO","to":"gone"},{"from":"a","event":"ON","to":"away"}]}"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let args = ["put-machine", "order", path, "-V", "1"];
    let (_, err) = exited(&fake.cli(&args).output().unwrap(), 1);
    assert!(
        err.contains(&format!("hint: in {path}: transitions[0].to: ")),
        "{err}"
    );
    assert!(
        err.contains("transitions[1].to: \"away\" is not one of"),
        "{err}"
    );
}

#[test]
fn a_name_in_the_wrong_place_of_a_definition_is_told_with_the_right_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.yaml");
    let text = "name: order\nformat: 2\nstates: [a]\ninitial: a\ntransitions: []\n";
    std::fs::write(&file, text).unwrap();
    let fake = Fake::start(|_, _| Answer::Silence);
    let args = ["put-machine", file.to_str().unwrap()];
    let (_, err) = exited(&fake.cli(&args).output().unwrap(), 2);
    assert!(err.contains("`meta: {name: order}`"), "{err}");
    assert_eq!(fake.requests(), []);
}
