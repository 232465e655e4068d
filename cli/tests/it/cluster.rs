//! The cluster commands as scripts see them: what is sent, what is printed, how they end.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fake::{Answer, Fake, exited, run_with_input};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::json;

/// A cluster whose learner, node 4, is behind by these many entries, one after the other.
fn catching_up(lags: &'static [u64], promote: fn(usize) -> Answer) -> Fake {
    let asked = AtomicUsize::new(0);
    let promoted = AtomicUsize::new(0);
    let next = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
    Fake::start(move |op, _| match op {
        op::CLUSTER_ADD => Answer::Ok(
            r#"{"node_id":4,"peer_addr":"d:7402","rcp_addr":"d:7401","voter":false}"#.to_owned(),
        ),
        op::CLUSTER_STATUS => {
            let at = next(&asked).min(lags.len() - 1);
            let status = json!({"cluster_id": "c", "cluster_name": "n", "leader": 1, "term": 1,
                "nodes": [{"node_id": 4, "voter": false, "peer_addr": "d:7402",
                "rcp_addr": "d:7401", "reachable": true, "lag": lags[at]}]});
            Answer::Ok(status.to_string())
        }
        op::CLUSTER_PROMOTE => promote(next(&promoted)),
        other => panic!("{other} was not expected"),
    })
}

fn ops(fake: &Fake) -> Vec<String> {
    fake.requests().into_iter().map(|(op, _)| op).collect()
}

#[test]
fn a_node_is_added_watched_and_promoted_when_it_is_close() {
    let fake = catching_up(&[5000, 2000, 10], |asked| match asked {
        0 => Answer::Refuse(
            ErrorBody::new(Code::Conflict, "too far behind").with_details(json!({"lag": 10})),
        ),
        _ => Answer::Ok(r#"{"node_id":4,"voter":true}"#.to_owned()),
    });
    let mut add = fake.cli(&["cluster", "add", "d:7402", "--node-id", "4"]);
    let (out, err) = exited(&add.output().unwrap(), 0);
    assert_eq!(out, "{\"node_id\":4,\"voter\":true}\n");
    assert!(err.contains("node 4 is 5000 entries behind"), "{err}");
    assert!(err.contains("cluster promote 4"), "{err}");
    let params = r#"{"peer_addr":"d:7402","node_id":4}"#.to_owned();
    assert_eq!(fake.requests()[0], (op::CLUSTER_ADD.to_owned(), params));
    assert_eq!(
        ops(&fake)[1..],
        [
            op::CLUSTER_STATUS,
            op::CLUSTER_STATUS,
            op::CLUSTER_STATUS,
            op::CLUSTER_PROMOTE,
            op::CLUSTER_STATUS,
            op::CLUSTER_PROMOTE
        ]
    );
}

#[test]
fn a_learner_is_left_one_and_a_refused_promotion_is_passed_on() {
    let fake = catching_up(&[0], |_| {
        Answer::Refuse(ErrorBody::new(Code::Conflict, "that would lose the quorum"))
    });
    let output = fake
        .cli(&["cluster", "add", "d:7402", "--learner"])
        .output();
    let (out, _) = exited(&output.unwrap(), 0);
    assert!(out.contains("\"voter\":false"), "{out}");
    assert_eq!(ops(&fake), [op::CLUSTER_ADD]);
    let output = fake.cli(&["cluster", "add", "d:7402"]).output().unwrap();
    let (out, err) = exited(&output, 1);
    assert_eq!(out, "");
    assert!(
        err.contains("CONFLICT: that would lose the quorum"),
        "{err}"
    );
}

#[test]
fn cluster_commands_are_one_operation_each_and_print_its_result() {
    let fake = Fake::start(|_, _| Answer::Ok("{ \"ok\":1.0 }".to_owned()));
    for (args, op, params) in [
        (&["status"][..], op::CLUSTER_STATUS, "{}"),
        (&["promote", "4"], op::CLUSTER_PROMOTE, r#"{"node_id":4}"#),
        (&["remove", "2"], op::CLUSTER_REMOVE, r#"{"node_id":2}"#),
        (&["transfer-leader"], op::CLUSTER_TRANSFER_LEADER, "{}"),
        (&["finalize-upgrade"], op::CLUSTER_FINALIZE_UPGRADE, "{}"),
        (
            &["transfer-leader", "3"],
            op::CLUSTER_TRANSFER_LEADER,
            r#"{"node_id":3}"#,
        ),
    ] {
        let args: Vec<&str> = std::iter::once("cluster")
            .chain(args.iter().copied())
            .collect();
        let (out, _) = exited(&fake.cli(&args).output().unwrap(), 0);
        assert_eq!(out, "{ \"ok\":1.0 }\n");
        let sent = fake.requests().pop().unwrap();
        assert_eq!((sent.0.as_str(), sent.1.as_str()), (op, params));
    }
}

#[test]
fn automation_is_one_operation_with_what_was_asked_for() {
    let fake = Fake::start(|_, _| Answer::Ok("{\"automation\":\"paused\"}".to_owned()));
    for (args, params) in [
        (&[][..], "{}"),
        (&["pause"], r#"{"set":"paused"}"#),
        (
            &["pause", "--reason", "a move"],
            r#"{"set":"paused","reason":"a move"}"#,
        ),
        (&["resume"], r#"{"set":"running"}"#),
        (
            &["resume", "--skip-overdue"],
            r#"{"set":"running","skip_overdue":true}"#,
        ),
        (
            &["resume", "--shift-timers", "--reason", "done"],
            r#"{"set":"running","reason":"done","shift_timers":true}"#,
        ),
    ] {
        let args: Vec<&str> = std::iter::once("automation")
            .chain(args.iter().copied())
            .collect();
        exited(&fake.cli(&args).output().unwrap(), 0);
        let sent = fake.requests().pop().unwrap();
        assert_eq!((sent.0.as_str(), sent.1.as_str()), (op::AUTOMATION, params));
    }
    let both = ["automation", "resume", "--skip-overdue", "--shift-timers"];
    exited(&fake.cli(&both).output().unwrap(), 2);
}

#[test]
fn a_timer_is_set_with_the_key_that_is_given_or_with_one_of_its_own() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let set = ["timers", "set", "i", "END", "--after", "1h"];
    let sent = |more: &[&str]| -> serde_json::Value {
        let args: Vec<&str> = set.iter().chain(more).copied().collect();
        exited(&fake.cli(&args).output().unwrap(), 0);
        let (op, params) = fake.requests().pop().unwrap();
        assert_eq!(op, op::TIMER_SET);
        rstmdb_rcp::json::value(&params).unwrap()
    };
    let given = sent(&["--idempotency-key", "k", "--expected-wal-offset", "7"]);
    assert_eq!(given["idempotency_key"], "k");
    assert_eq!(given["expected_wal_offset"], 7);
    let (one, other) = (sent(&[]), sent(&[]));
    assert_eq!(one["idempotency_key"].as_str().map(str::len), Some(36));
    assert_ne!(one["idempotency_key"], other["idempotency_key"]);
}

#[test]
fn the_clock_is_shown_and_advanced() {
    let fake = Fake::start(|_, _| Answer::Ok("{\"now\":1700000000000}".to_owned()));
    for (args, params) in [
        (&["clock"][..], "{}"),
        (&["clock", "advance", "1h30m"], r#"{"by":"1h30m"}"#),
        (&["clock", "advance", "PT30M"], r#"{"by":"PT30M"}"#),
    ] {
        let (out, _) = exited(&fake.cli(args).output().unwrap(), 0);
        assert!(out.contains("1700000000000"), "{out}");
        let sent = fake.requests().pop().unwrap();
        assert_eq!(
            (sent.0.as_str(), sent.1.as_str()),
            (op::CLOCK_ADVANCE, params)
        );
    }
    exited(&fake.cli(&["clock", "advance"]).output().unwrap(), 2);
}

#[test]
fn a_demo_is_not_started_inside_the_repl() {
    let fake = Fake::start(|_, _| Answer::Silence);
    let output = run_with_input(fake.cli(&["repl"]), "cluster demo\n");
    let (_, err) = exited(&output, 2);
    assert!(err.contains("outside of the REPL"), "{err}");
}
