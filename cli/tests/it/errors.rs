//! Errors as programs read them: one JSON object on standard error, where JSON was asked for.

use crate::fake::{Answer, Fake, cli, exited, run_with_input, unused_address};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde_json::{Value, json};

/// The one object on standard error.
#[track_caller]
fn error(output: &std::process::Output, code: i32) -> Value {
    let (out, err) = exited(output, code);
    assert_eq!(out, "");
    assert_eq!(err.lines().count(), 1, "{err}");
    serde_json::from_str(&err).unwrap()
}

fn refusing() -> Fake {
    Fake::start(|_, _| {
        let details = json!({"instance_id": "nobody"});
        Answer::Refuse(
            ErrorBody::new(Code::InstanceNotFound, "no such instance").with_details(details),
        )
    })
}

#[test]
fn a_refusal_is_an_object_where_json_was_asked_for_and_text_elsewhere() {
    let fake = refusing();
    let run = |args: &[&str]| fake.cli(args).output().unwrap();
    let expected = json!({"code": "INSTANCE_NOT_FOUND", "message": "no such instance", "retryable": false,
        "details": {"instance_id": "nobody"}});
    for form in [&["--json"][..], &["-o", "json"], &["-o", "jsonl"]] {
        let args = [&["get-instance", "nobody"], form].concat();
        assert_eq!(error(&run(&args), 1), expected, "{args:?}");
    }
    for form in [&[][..], &["-o", "table"], &["-o", "yaml"]] {
        let args = [&["get-instance", "nobody"], form].concat();
        let (_, err) = exited(&run(&args), 1);
        assert!(err.starts_with("INSTANCE_NOT_FOUND: "), "{err}");
    }
}

#[test]
fn errors_of_the_program_itself_have_codes_of_their_own() {
    let away = cli(&["--json", "-s", &unused_address(), "ping"]).output();
    let away = error(&away.unwrap(), 3);
    assert_eq!(
        (&away["code"], &away["retryable"]),
        (&json!("NO_CONNECTION"), &json!(true))
    );
    let silent = Fake::start(|_, _| Answer::Silence);
    let late = ["--json", "--timeout", "200ms", "delete-instance", "a"];
    let late = error(&silent.cli(&late).output().unwrap(), 4);
    assert_eq!(late["code"], "TIMEOUT");
    let file = cli(&["--json", "load", "/no/such/file"]).output();
    let file = error(&file.unwrap(), 2);
    assert_eq!(file["code"], "USAGE");
    assert!(file["message"].as_str().unwrap().contains("/no/such/file"));
}

#[test]
fn a_wrong_command_line_is_an_object_too() {
    for args in [
        &["--json", "nonsense"][..],
        &["nonsense", "-o", "jsonl"],
        &["get-instance", "--output=json"],
    ] {
        let wrong = error(&cli(args).output().unwrap(), 2);
        assert_eq!(
            (&wrong["code"], &wrong["details"]),
            (&json!("USAGE"), &json!({}))
        );
        assert!(
            wrong["message"].as_str().unwrap().starts_with("error: "),
            "{wrong}"
        );
    }
    for (args, hint) in [
        (
            &["--json", "get-instanc", "a"][..],
            "did you mean get-instance?",
        ),
        (
            &["--json", "ping", "--timeou", "5s"],
            "did you mean --timeout?",
        ),
        (
            &["ping", "-o", "json", "--wire-mode", "binar"],
            "did you mean binary?",
        ),
    ] {
        assert_eq!(error(&cli(args).output().unwrap(), 2)["hint"], hint);
    }
    let (_, err) = exited(&cli(&["nonsense"]).output().unwrap(), 2);
    assert!(err.starts_with("error: "), "{err}");
    let (out, err) = exited(&cli(&["--json", "--help"]).output().unwrap(), 0);
    assert!(out.contains("Usage:") && err.is_empty(), "{out}{err}");
}

#[test]
fn a_line_of_a_script_asks_for_itself() {
    let fake = refusing();
    let script = |line: &str| run_with_input(fake.cli(&[]), line);
    let refused = error(&script("get-instance nobody --json\n"), 1);
    assert_eq!(refused["code"], "INSTANCE_NOT_FOUND");
    let (_, err) = exited(&script("get-instance nobody\n"), 1);
    assert!(
        err.starts_with("shell: line 1: INSTANCE_NOT_FOUND: "),
        "{err}"
    );
}
