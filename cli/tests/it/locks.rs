//! `lock`, and commands that run under a lock.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, exited};

fn held(params: &Value) -> Answer {
    let owner = params.get("owner").cloned().unwrap_or(json!("o"));
    let held = json!({"name": "job", "owner": owner, "token": 17, "expires_at": 1_700_000_000_000_i64,
        "ttl_ms": 1000, "waiting": 0, "wal_offset": 17});
    Answer::Ok(held.to_string())
}

fn lost() -> Answer {
    Answer::Refuse(ErrorBody::new(
        Code::LockLost,
        "token 17 does not hold lock \"job\"",
    ))
}

/// A server that grants, renews and releases.
fn granting() -> Fake {
    Fake::start(|op, params| match op {
        "LOCK_RELEASE" => Answer::Ok(
            json!({"name": "job", "owner": "o", "token": 17, "released": true, "wal_offset": 18})
                .to_string(),
        ),
        _ => held(params),
    })
}

fn asked(fake: &Fake) -> Vec<String> {
    fake.requests().into_iter().map(|(op, _)| op).collect()
}

#[test]
fn what_is_typed_is_what_is_asked() {
    let fake = granting();
    for (args, op, params) in [
        (
            &[
                "lock", "acquire", "job", "--owner", "w", "--ttl", "10s", "--wait", "1m",
            ][..],
            "LOCK_ACQUIRE",
            json!({"name": "job", "owner": "w", "ttl_ms": 10_000, "wait_ms": 60_000}),
        ),
        (
            &["lock", "renew", "job", "17", "--ttl", "1m"],
            "LOCK_RENEW",
            json!({"name": "job", "token": 17, "ttl_ms": 60_000}),
        ),
        (
            &["lock", "release", "job", "17", "--reason", "done"],
            "LOCK_RELEASE",
            json!({"name": "job", "token": 17, "reason": "done"}),
        ),
        (&["lock", "get", "job"], "LOCK_GET", json!({"name": "job"})),
        (
            &["lock", "list", "--prefix", "j"],
            "LOCK_LIST",
            json!({"prefix": "j", "limit": 100}),
        ),
        (
            &[
                "delete-instance",
                "a",
                "--fence",
                "eu:job:17",
                "--idempotency-key",
                "k",
            ],
            "DELETE_INSTANCE",
            json!({"instance_id": "a", "idempotency_key": "k", "fence": {"lock": "eu:job", "token": 17}}),
        ),
    ] {
        exited(&fake.cli(args).output().unwrap(), 0);
        let (sent, said) = fake.requests().pop().unwrap();
        let mut said: Value = serde_json::from_str(&said).unwrap();
        // A millisecond may have passed.
        if let Some(wait) = said
            .get_mut("wait_ms")
            .filter(|wait| wait.as_u64() > Some(59_000))
        {
            *wait = json!(60_000);
        }
        assert_eq!((&*sent, said), (op, params), "{args:?}");
    }
    exited(
        &fake
            .cli(&["delete-instance", "a", "--fence", "job"])
            .output()
            .unwrap(),
        2,
    );
}

#[test]
fn each_owner_is_another_unless_it_is_given() {
    let fake = granting();
    for _ in 0..2 {
        exited(&fake.cli(&["lock", "acquire", "job"]).output().unwrap(), 0);
    }
    let requests = fake.requests();
    assert_ne!(requests[0].1, requests[1].1);
}

#[test]
fn a_command_runs_under_a_lock_and_its_exit_code_is_the_programs() {
    let fake = granting();
    let script = "echo $RSTMDB_LOCK_NAME $RSTMDB_LOCK_TOKEN $RSTMDB_FENCE; exit 3";
    let args = ["lock", "run", "job", "--", "sh", "-c", script];
    let (out, err) = exited(&fake.cli(&args).output().unwrap(), 3);
    assert_eq!((&*out, &*err), ("job 17 job:17\n", ""));
    assert_eq!(asked(&fake), ["LOCK_ACQUIRE", "LOCK_RELEASE"]);
    for (script, code) in [("true", 0), ("kill -9 $$", 137)] {
        let args = ["lock", "run", "job", "--", "sh", "-c", script];
        exited(&fake.cli(&args).output().unwrap(), code);
    }
    let args = ["lock", "run", "job", "--", "/no/such/command"];
    let (_, err) = exited(&fake.cli(&args).output().unwrap(), 127);
    assert!(err.contains("/no/such/command"), "{err}");
    let args = ["lock", "run", "job", "--", "/"];
    exited(&fake.cli(&args).output().unwrap(), 126);
    let asked = asked(&fake);
    let released = asked.iter().filter(|op| *op == "LOCK_RELEASE");
    assert_eq!(released.count(), 5, "also when the command did not start");
}

#[test]
fn writes_of_the_command_are_fenced() {
    let fake = granting();
    let program = env!("CARGO_BIN_EXE_rstmdb-cli");
    let script = format!("{program} delete-instance a --idempotency-key k");
    let args = ["lock", "run", "job", "--", "sh", "-c", &script];
    exited(&fake.cli(&args).output().unwrap(), 0);
    let requests = fake.requests();
    let (_, params) = requests
        .iter()
        .find(|(op, _)| op == "DELETE_INSTANCE")
        .unwrap();
    let params: Value = serde_json::from_str(params).unwrap();
    assert_eq!(params["fence"], json!({"lock": "job", "token": 17}));
}

#[test]
fn a_lock_that_is_held_exits_with_75_and_runs_nothing() {
    let fake = Fake::start(|_, _| {
        let body = ErrorBody::new(Code::LockHeld, "held").with_details(json!({"owner": "other"}));
        Answer::Refuse(body)
    });
    for args in [
        &["lock", "run", "job", "--", "echo", "ran"][..],
        &["lock", "run", "job", "--wait", "100ms", "--", "echo", "ran"],
        &["lock", "acquire", "job"],
    ] {
        let (out, err) = exited(&fake.cli(args).output().unwrap(), 75);
        assert_eq!(out, "");
        assert_eq!(err, "LOCK_HELD: held\n  details: {\"owner\":\"other\"}\n");
    }
}

#[test]
fn a_lock_that_cannot_be_acquired_under_a_lost_fence_runs_nothing() {
    let fake = Fake::start(|_, _| lost());
    let mut command = fake.cli(&["lock", "run", "job", "--", "echo", "ran"]);
    let (out, err) = exited(&command.env("RSTMDB_FENCE", "outer:3").output().unwrap(), 1);
    assert_eq!(out, "");
    assert!(err.starts_with("LOCK_LOST"), "{err}");
    let requests = fake.requests();
    assert!(
        requests[0]
            .1
            .contains(r#""fence":{"lock":"outer","token":3}"#)
    );
}

#[test]
fn a_command_is_ended_when_the_lock_is_lost() {
    let renewed = AtomicBool::new(false);
    let fake = Fake::start(move |op, params| match op {
        "LOCK_RENEW" if renewed.swap(true, Ordering::SeqCst) => lost(),
        "LOCK_RELEASE" => lost(),
        _ => held(params),
    });
    let begun = Instant::now();
    // It does not end at SIGTERM, and neither does what it has started.
    let script = "trap 'echo term' TERM; sleep 60 & while true; do wait; done";
    let args = [
        "lock", "run", "job", "--ttl", "1s", "--grace", "300ms", "--", "sh", "-c", script,
    ];
    let (out, err) = exited(&fake.cli(&args).output().unwrap(), 76);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert!(out.starts_with("term\n"), "{out}");
    assert!(err.contains("lock \"job\" is lost"), "{err}");
}

#[test]
fn what_the_command_has_started_ends_with_it_when_this_program_is_killed() {
    let fake = granting();
    // The program can tell its guard of a command only after the command has started.
    let script = "sleep 60 & sleep 1; echo started; wait";
    let args = ["lock", "run", "job", "--", "sh", "-c", script];
    let mut command = fake.cli(&args);
    command.stdout(Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut out = BufReader::new(program.stdout.take().unwrap());
    let mut said = String::new();
    out.read_line(&mut said).unwrap();
    assert_eq!(said, "started\n");
    let begun = Instant::now();
    program.kill().unwrap();
    program.wait().unwrap();
    // The command and what it has started hold this pipe open.
    out.read_to_string(&mut said).unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_lock_that_was_lost_unnoticed_is_said_at_the_end() {
    let fake = Fake::start(|op, params| match op {
        "LOCK_RELEASE" => lost(),
        _ => held(params),
    });
    let args = ["lock", "run", "job", "--", "true"];
    exited(&fake.cli(&args).output().unwrap(), 76);
    let args = ["lock", "release", "job", "17"];
    exited(&fake.cli(&args).output().unwrap(), 76);
}
