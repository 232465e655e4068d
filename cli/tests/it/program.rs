//! The program as scripts see it: exit codes, what goes to which output, what is sent.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::fake::{Answer, Fake, cli, exited, run_with_input, unused_address};
use flate2::Compression;
use flate2::write::GzEncoder;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::watch::Event;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

const ODD_PONG: &str = "{ \"pong\":true,\"number\":1.50 }";

#[test]
fn a_result_is_printed_as_it_was_sent() {
    for mode in ["binary", "jsonl"] {
        let fake = Fake::start(|_, _| Answer::Ok(ODD_PONG.to_owned()));
        let output = fake.cli(&["ping", "--wire-mode", mode]).output().unwrap();
        let (out, err) = exited(&output, 0);
        assert_eq!(out, format!("{ODD_PONG}\n"), "in mode {mode}");
        assert_eq!(err, "");
    }
}

#[test]
fn a_refusal_exits_with_1_and_says_code_message_and_details() {
    let fake = Fake::start(|_, _| {
        let details = json!({"instance_id": "nobody"});
        Answer::Refuse(
            ErrorBody::new(Code::InstanceNotFound, "no such instance").with_details(details),
        )
    });
    let output = fake.cli(&["get-instance", "nobody"]).output().unwrap();
    let (out, err) = exited(&output, 1);
    assert_eq!(out, "");
    assert_eq!(
        err,
        "INSTANCE_NOT_FOUND: no such instance\n  details: {\"instance_id\":\"nobody\"}\n"
    );
}

#[test]
fn wrong_usage_exits_with_2_before_anything_is_sent() {
    let fake = Fake::start(|_, _| Answer::Silence);
    for args in [
        &["nonsense"][..],
        &["apply-event", "-i", "a"],
        &["create-instance", "-m", "m", "-V", "1", "-c", "{no json"],
        &["put-machine", "-n", "m", "-v", "1", "@/no/such/file"],
        &["load", "/no/such/file"],
        &["flush-all"],
        &["unwatch", "x"],
    ] {
        exited(&fake.cli(args).output().unwrap(), 2);
    }
    assert_eq!(fake.requests(), []);
}

#[test]
fn without_a_server_the_exit_code_is_3() {
    let address = unused_address();
    let output = cli(&["-s", &address, "ping"]).output().unwrap();
    let (out, err) = exited(&output, 3);
    assert_eq!(out, "");
    assert!(err.starts_with("no connection: "), "{err}");
}

#[test]
fn an_answer_that_does_not_come_exits_with_4() {
    let fake = Fake::start(|_, _| Answer::Silence);
    let args = ["--timeout", "200ms", "delete-instance", "a"];
    exited(&fake.cli(&args).output().unwrap(), 4);
}

#[test]
fn a_refusal_is_not_hidden_by_an_answer_that_does_not_come_any_more() {
    let refused = std::sync::atomic::AtomicBool::new(false);
    let fake = Fake::start(move |_, _| {
        if refused.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Answer::Silence;
        }
        Answer::Refuse(ErrorBody::new(
            Code::NoLeader,
            "no leader; nothing was changed",
        ))
    });
    let args = ["--timeout", "1s", "get-instance", "a"];
    let (out, err) = exited(&fake.cli(&args).output().unwrap(), 1);
    assert_eq!(out, "");
    let begin = "NO_LEADER: no leader; nothing was changed (tried for ";
    assert!(err.starts_with(begin), "{err}");
    assert!(err.ends_with("; the last try got no answer)\n"), "{err}");
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    let fake = Fake::start(|_, _| Answer::Ok(ODD_PONG.to_owned()));
    for args in [
        &["ping"][..],
        &["hash-token", "secret"],
        &["completions", "bash"],
        &["--version"],
        &["--help"],
        &["bench", "--help"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = fake.cli(args);
        let output = command.stdout(full).stderr(Stdio::piped()).spawn();
        let output = output.unwrap().wait_with_output().unwrap();
        let (_, err) = exited(&output, 1);
        assert!(
            err.starts_with("cannot write the output: "),
            "{args:?}: {err}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = fake.cli(args);
        let output = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let output = output.unwrap().wait_with_output().unwrap();
        assert_eq!(exited(&output, 0).1, "", "{args:?}");
    }
}

#[test]
fn reads_send_how_fresh_they_have_to_be() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    for (args, params) in [
        (
            &["get-instance", "a", "--consistency", "local"][..],
            r#"{"instance_id":"a","consistency":"local"}"#,
        ),
        (
            &["get-instance", "a", "--meta"],
            r#"{"instance_id":"a","include":["meta"]}"#,
        ),
        (
            &["get-machine", "m", "--consistency", "lease"],
            r#"{"machine":"m","consistency":"lease"}"#,
        ),
        (
            &["list-machines", "--consistency", "linearizable"],
            r#"{"consistency":"linearizable"}"#,
        ),
        (
            &["list-instances", "--consistency", "local"],
            r#"{"consistency":"local"}"#,
        ),
    ] {
        exited(&fake.cli(args).output().unwrap(), 0);
        assert_eq!(fake.requests().pop().unwrap().1, params);
    }
    let wrong = ["get-instance", "a", "--consistency", "soon"];
    exited(&fake.cli(&wrong).output().unwrap(), 2);
}

#[test]
fn documents_are_taken_from_arguments_files_and_standard_input() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"a\":1.0}").unwrap();
    let at_file = format!("@{}", file.path().display());
    for argument in ["{\"a\":1.0}", &at_file, "-"] {
        let command = fake.cli(&["put-machine", "-n", "m", "-v", "1", argument]);
        exited(&run_with_input(command, "{\"a\":1.0}\n"), 0);
    }
    let expected = r#"{"machine":"m","version":1,"definition":{"a":1.0}}"#;
    for (op, params) in fake.requests() {
        assert_eq!((op.as_str(), params.as_str()), (op::PUT_MACHINE, expected));
    }
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn verbose_shows_requests_and_times_on_standard_error() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let (out, err) = exited(&fake.cli(&["-v", "get-instance", "a"]).output().unwrap(), 0);
    assert_eq!(out, "{}\n");
    assert!(
        err.contains("→ GET_INSTANCE {\"instance_id\":\"a\"}"),
        "{err}"
    );
    assert!(err.contains("← GET_INSTANCE ok ("), "{err}");
}

#[test]
fn a_token_is_hashed_without_a_server() {
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";
    let output = cli(&["hash-token", "secret"]).output().unwrap();
    assert_eq!(exited(&output, 0).0, hash);
    let output = run_with_input(cli(&["hash-token"]), "secret\n");
    assert_eq!(exited(&output, 0).0, hash);
}

/// Answers writes with offsets from `first` on.
fn writer(first: u64) -> impl Fn(&str, &Value) -> Answer + Send + Sync {
    let next = std::sync::atomic::AtomicU64::new(first);
    move |_, _| {
        let offset = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Answer::Ok(json!({"wal_offset": offset, "applied": true}).to_string())
    }
}

fn load_file(lines: &[String]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // Two members, as `cat a.gz b.gz` makes them.
    for half in lines.chunks(lines.len().div_ceil(2)) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        half.iter()
            .for_each(|line| writeln!(encoder, "{line}").unwrap());
        file.write_all(&encoder.finish().unwrap()).unwrap();
    }
    file
}

fn apply_line(instance: usize, number: usize) -> String {
    format!(
        r#"{{"op":"APPLY_EVENT","params":{{"instance_id":"i{instance}","event":"E{number}","idempotency_key":"k"}}}}"#
    )
}

#[test]
fn a_load_sends_every_line_in_order_for_each_instance() {
    let fake = Fake::start(writer(101));
    let mut lines = vec![r#"{"op":"PUT_MACHINE","params":{"machine":"m","version":1}}"#.to_owned()];
    lines.extend((0..2_000).map(|number| apply_line(number % 37, number)));
    let file = load_file(&lines);
    let path = file.path().to_str().unwrap();
    let (out, _) = exited(&fake.cli(&["load", path]).output().unwrap(), 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["ops"], 2_001);
    assert_eq!(summary["applied"], 2_001);
    assert_eq!(summary["refused"], 0);
    let requests = fake.requests();
    assert_eq!(requests.len(), 2_001);
    assert_eq!(requests[0].0, op::PUT_MACHINE);
    let mut last = [None; 37];
    for (_, params) in &requests[1..] {
        let params: Value = serde_json::from_str(params).unwrap();
        let number = |name: &str| {
            params[name].as_str().unwrap()[1..]
                .parse::<usize>()
                .unwrap()
        };
        let (instance, event) = (number("instance_id"), number("event"));
        assert!(
            last[instance] < Some(event),
            "instance {instance} got E{event} late"
        );
        last[instance] = Some(event);
    }
}

#[test]
fn a_second_load_counts_what_was_there_as_replayed() {
    let fake = Fake::start(writer(1));
    let lines: Vec<String> = (0..50).map(|number| apply_line(number, number)).collect();
    let file = load_file(&lines);
    let path = file.path().to_str().unwrap();
    let (out, _) = exited(&fake.cli(&["load", path]).output().unwrap(), 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&summary["applied"], &summary["replayed"]),
        (&json!(0), &json!(50))
    );
}

#[test]
fn a_refused_line_stops_the_load_and_is_named() {
    let refuse = |_: &str, params: &Value| match params["event"].as_str() {
        Some("E7") => Answer::Refuse(ErrorBody::new(Code::GuardFailed, "no guard holds")),
        _ => Answer::Ok("{}".to_owned()),
    };
    let lines: Vec<String> = (0..40).map(|number| apply_line(0, number)).collect();
    let file = load_file(&lines);
    let path = file.path().to_str().unwrap();
    let fake = Fake::start(refuse);
    let (_, err) = exited(&fake.cli(&["load", path]).output().unwrap(), 1);
    assert!(
        err.contains("line 8: GUARD_FAILED: no guard holds"),
        "{err}"
    );
    assert_eq!(fake.requests().len(), 8, "nothing is sent after it");
    let fake = Fake::start(refuse);
    let output = fake
        .cli(&["load", "--continue-on-error", path])
        .output()
        .unwrap();
    let (out, _) = exited(&output, 1);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&summary["ops"], &summary["refused"]),
        (&json!(40), &json!(1))
    );
}

#[test]
fn a_line_without_a_key_is_not_sent_twice() {
    let fake = Fake::start(|_, _| Answer::HangUp);
    let line = r#"{"op":"APPLY_EVENT","params":{"instance_id":"a","event":"E"}}"#;
    let output = run_with_input(fake.cli(&["load", "-"]), &format!("\n{line}\n"));
    let (_, err) = exited(&output, 4);
    assert!(err.contains("line 2: "), "{err}");
    assert_eq!(fake.requests().len(), 1);
}

/// Hangs up on the first `lost` requests, and answers the others.
fn hanging_up(lost: u64) -> Fake {
    let tries = std::sync::atomic::AtomicU64::new(0);
    Fake::start(move |_, _| {
        if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < lost {
            return Answer::HangUp;
        }
        Answer::Ok(r#"{"wal_offset":101,"applied":false}"#.to_owned())
    })
}

#[test]
fn a_keyed_line_is_sent_again_after_a_lost_connection() {
    let fake = hanging_up(1);
    let output = run_with_input(fake.cli(&["load", "-"]), &apply_line(1, 1));
    let (out, _) = exited(&output, 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["applied"], 1, "it took effect in this load");
    assert_eq!(fake.requests().len(), 2);
}

/// A request that may have ended two nodes is not sent to a third one.
#[test]
fn a_keyed_line_that_two_connections_were_lost_with_is_not_sent_again() {
    let fake = hanging_up(2);
    let output = run_with_input(fake.cli(&["load", "-"]), &apply_line(1, 1));
    exited(&output, 4);
    assert_eq!(fake.requests().len(), 2);
}

fn event() -> Event<'static> {
    Event {
        subscription_id: "sub-1".into(),
        instance_id: "a".into(),
        machine: "m".into(),
        version: 1,
        wal_offset: 101,
        from_state: "x".into(),
        to_state: "y".into(),
        event: "GO".into(),
        imported: false,
        emits: Vec::new(),
        payload: None,
        ctx: None,
        kind: None,
        timer: None,
        code: None,
        message: None,
        meta: None,
    }
}

fn watched(op: &str, _: &Value) -> Answer {
    match op {
        op::WATCH_ALL => {
            let result = json!({"subscription_id": "sub-1", "wal_offset": 100});
            Answer::OkThenEvent(result.to_string(), event())
        }
        _ => Answer::Ok(ODD_PONG.to_owned()),
    }
}

#[test]
fn a_watch_prints_an_event_a_line_and_ends_with_0_on_ctrl_c() {
    let fake = Fake::start(watched);
    let mut child = fake
        .cli(&["watch-all", "--events", "GO"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(line, serde_json::to_value(event()).unwrap());
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_script_runs_its_lines_and_stops_at_the_first_error() {
    let fake = Fake::start(watched);
    let script =
        "# a comment\nping\n\nwatch-all\nunwatch sub-1\nunwatch sub-1\nget-instance\nping\n";
    let (out, err) = exited(&run_with_input(fake.cli(&[]), script), 2);
    assert_eq!(out.matches(ODD_PONG).count(), 1, "{out}");
    assert!(
        out.contains(r#"{"subscription_id":"sub-1","removed":true}"#),
        "{out}"
    );
    assert!(
        out.contains(r#"{"subscription_id":"sub-1","removed":false}"#),
        "{out}"
    );
    assert!(err.contains("required"), "{err}");
}

#[test]
fn a_document_in_a_script_is_the_rest_of_the_script() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let script = "put-machine -n m -v 1 -\n{\"a\":\n1}\n";
    exited(&run_with_input(fake.cli(&["repl"]), script), 0);
    let expected = "{\"machine\":\"m\",\"version\":1,\"definition\":{\"a\":\n1}}";
    assert_eq!(fake.requests()[0].1, expected);
}

/// A log of two instances, one of them deleted, and a batch.
fn log(op: &str, params: &Value) -> Answer {
    let create = |offset: u64, id: &str| {
        json!({"sequence": offset, "offset": offset, "entry": {"type": "create_instance",
            "instance_id": id, "machine": "m", "version": 1, "initial_state": "x", "initial_ctx": {}}})
    };
    let apply = |offset: u64, prev: u64, event: &str| {
        json!({"sequence": offset, "offset": offset, "entry": {"type": "apply_event",
            "instance_id": "a", "event": event, "from_state": "x", "to_state": "x",
            "payload": {"e": event}, "ctx": {}, "prev_offset": prev}})
    };
    let records = [
        create(4, "a"),
        create(5, "b"),
        apply(6, 4, "E1"),
        apply(9, 6, "E2"),
        apply(9, 9, "E3"),
        json!({"sequence": 10, "offset": 10, "entry": {"type": "delete_instance", "instance_id": "b"}}),
    ];
    let offset = |record: &Value| record["offset"].as_u64().unwrap();
    Answer::Ok(match op {
        op::LIST_MACHINES => json!({"items": [{"machine": "m", "versions": [1]}]}).to_string(),
        op::GET_MACHINE => {
            "{\"definition\":{\n \"states\": [\"x\"]},\"checksum\":\"c\"}".to_owned()
        }
        op::LIST_INSTANCES => json!({"instances": [
            {"id": "a", "machine": "m", "version": 1, "state": "x", "created_at": 0,
             "updated_at": 0, "last_wal_offset": 9},
            {"id": "ancient", "machine": "m", "version": 1, "state": "x", "created_at": 0,
             "updated_at": 0, "last_wal_offset": 1}], "total": 2, "has_more": false})
        .to_string(),
        op::GET_INSTANCE => {
            json!({"machine": "m", "version": 1, "state": "x", "ctx": {}, "last_wal_offset": 9})
                .to_string()
        }
        op::WAL_READ => {
            let from = params["from_offset"].as_u64().unwrap();
            let first = records
                .iter()
                .find(|record| offset(record) >= from)
                .map(offset);
            let page: Vec<&Value> = records
                .iter()
                .filter(|r| Some(offset(r)) == first)
                .collect();
            json!({"records": page, "next_offset": first.map_or(from, |first| first + 1)})
                .to_string()
        }
        other => panic!("{other} was not to be called"),
    })
}

#[test]
fn an_export_holds_definitions_and_live_instances_and_tells_what_is_missing() {
    let fake = Fake::start(log);
    let (out, err) = exited(&fake.cli(&["export"]).output().unwrap(), 1);
    let expected = [
        r#"{"op":"PUT_MACHINE","params":{"machine":"m","version":1,"definition":{"states":["x"]}}}"#,
        r#"{"op":"CREATE_INSTANCE","params":{"instance_id":"a","machine":"m","version":1,"initial_ctx":{},"idempotency_key":"export:4"}}"#,
        r#"{"op":"APPLY_EVENT","params":{"instance_id":"a","event":"E1","payload":{"e":"E1"},"idempotency_key":"export:6"}}"#,
        r#"{"op":"APPLY_EVENT","params":{"instance_id":"a","event":"E2","payload":{"e":"E2"},"idempotency_key":"export:9"}}"#,
        r#"{"op":"APPLY_EVENT","params":{"instance_id":"a","event":"E3","payload":{"e":"E3"},"idempotency_key":"export:9.1"}}"#,
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    assert!(
        err.starts_with("1 of 2 instances cannot be exported"),
        "{err}"
    );
}

/// An instance that was created, changed and deleted.
fn deleted(op: &str, params: &Value) -> Answer {
    let fact =
        |offset: u64, entry: Value| json!({"sequence": offset, "offset": offset, "entry": entry});
    let records = [
        fact(4, json!({"type": "create_instance", "instance_id": "a"})),
        fact(
            6,
            json!({"type": "apply_event", "instance_id": "a", "event": "E1", "prev_offset": 4}),
        ),
        // A watch does not tell of it.
        fact(
            7,
            json!({"type": "set_timers", "instance_id": "a", "timers": [], "prev_offset": 6}),
        ),
        fact(
            9,
            json!({"type": "delete_instance", "instance_id": "a", "prev_offset": 7}),
        ),
    ];
    match op {
        op::GET_INSTANCE => Answer::Refuse(ErrorBody::new(
            Code::InstanceNotFound,
            "there is no such instance",
        )),
        op::WATCH_INSTANCE => {
            let event = |wal_offset: u64, kind: &str| -> Event<'static> {
                let event = json!({"type": "event", "subscription_id": "sub-1", "kind": kind,
                    "instance_id": "a", "wal_offset": wal_offset});
                serde_json::from_value(event).unwrap()
            };
            let events = match params["instance_id"].as_str() {
                Some("a") => vec![event(4, "created"), event(6, "event"), event(9, "deleted")],
                _ => Vec::new(),
            };
            let result = json!({"subscription_id": "sub-1", "instance_id": params["instance_id"],
                "wal_offset": 12, "earliest_offset": 1, "cluster_id": "c"});
            Answer::OkThenAll(result.to_string(), events, 12)
        }
        op::WAL_READ => {
            let from = params["from_offset"].as_u64().unwrap();
            let page: Vec<&Value> = records.iter().filter(|r| r["offset"] == from).collect();
            Answer::Ok(json!({"records": page, "next_offset": from + 1}).to_string())
        }
        _ => Answer::Ok("{}".to_owned()),
    }
}

#[test]
fn the_history_of_a_deleted_instance_is_its_facts_in_the_log() {
    let fake = Fake::start(deleted);
    let (out, err) = exited(&fake.cli(&["history", "a"]).output().unwrap(), 0);
    let offsets: Vec<u64> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["offset"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(offsets, [9, 7, 6, 4]);
    assert_eq!(
        err,
        "the instance was deleted; these are its facts in the log\n"
    );
    let (out, _) = exited(
        &fake
            .cli(&["history", "a", "--limit", "1"])
            .output()
            .unwrap(),
        0,
    );
    assert!(
        out.contains("delete_instance") && out.lines().count() == 1,
        "{out}"
    );
    let (_, err) = exited(&fake.cli(&["history", "never"]).output().unwrap(), 1);
    assert!(err.contains("INSTANCE_NOT_FOUND"), "{err}");
}

#[test]
fn a_history_is_the_instances_facts_newest_first() {
    let fake = Fake::start(log);
    let facts = |args: &[&str]| -> Vec<(u64, String)> {
        let (out, _) = exited(&fake.cli(args).output().unwrap(), 0);
        out.lines()
            .map(|line| {
                let record: Value = serde_json::from_str(line).unwrap();
                let what = record["entry"]["event"].as_str().unwrap_or("created");
                (record["offset"].as_u64().unwrap(), what.to_owned())
            })
            .collect()
    };
    let all = [(9, "E3"), (9, "E2"), (6, "E1"), (4, "created")];
    let all = all.map(|(offset, what)| (offset, what.to_owned()));
    assert_eq!(facts(&["history", "a"]), all);
    assert_eq!(facts(&["history", "a", "--limit", "1"]), all[..1]);
}
