//! The tools that work on files of definitions, and what the command line does with them on the way to a server.

use std::path::{Path, PathBuf};

use rstmdb_rcp::Code;
use rstmdb_rcp::json;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::json;

use crate::fake::{Answer, Fake, cli, exited, run_with_input};

const ORDER: &str = "format: 2\ninitial: cart\nstates: [cart, {name: paid, final: true}]\ntransitions:\n  - {from: cart, event: PAY, to: paid, guard: event.amount > 0, emit: [receipt]}\nmeta: {name: order}\n";
const JSON: &str = r#"{"format":2,"initial":"cart","states":["cart",{"name":"paid","final":true}],"transitions":[{"from":"cart","event":"PAY","to":"paid","guard":"event.amount > 0","emit":["receipt"]}],"meta":{"name":"order"}}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn cookbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook")
}

#[test]
fn validate_tells_all_errors_and_exits_with_1() {
    let wrong = ORDER
        .replace("to: paid, guard", "to: payed, guard")
        .replace("> 0", ">");
    let folder = folder(&[("good.yaml", ORDER), ("bad.yaml", &wrong)]);
    let [good, bad] = ["good.yaml", "bad.yaml"].map(|name| path(folder.path(), name));
    let (out, _) = exited(&cli(&["validate", &good]).output().unwrap(), 0);
    assert_eq!(out, format!("{good}: ok\n"));
    let (out, err) = exited(&cli(&["validate", &good, &bad]).output().unwrap(), 1);
    assert!(
        out.contains("bad.yaml: error: transitions[0].to: "),
        "{out}"
    );
    assert!(
        out.contains("bad.yaml: error: transitions[0].guard: "),
        "{out}"
    );
    assert_eq!(err, "2 errors and 0 warnings\n");
    let (out, _) = exited(&cli(&["--json", "validate", &bad]).output().unwrap(), 1);
    assert_eq!(
        json::value(&out).unwrap()["files"][0]["errors"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    exited(&cli(&["validate", "/no/such/file"]).output().unwrap(), 2);
}

#[test]
fn simulate_reads_events_from_a_pipe_and_prints_a_line_for_each() {
    let folder = folder(&[("order.yaml", ORDER)]);
    let file = path(folder.path(), "order.yaml");
    let command = cli(&["simulate", &file, "-c", "who=x"]);
    let output = run_with_input(
        command,
        "# a comment\nPAY {\"amount\": 0}\nPAYY\nPAY amount=3\n.back\nPAY amount:=4\n",
    );
    let (out, err) = exited(&output, 1);
    let lines: Vec<_> = out.lines().map(|line| json::value(line).unwrap()).collect();
    assert_eq!(lines[0]["state"], "cart");
    assert_eq!(
        lines[0]["allowed"],
        json!([{"event": "PAY", "refused": "GUARD_FAILED"}])
    );
    assert_eq!(lines[1]["refused"]["code"], "GUARD_FAILED");
    let message = lines[2]["refused"]["message"].as_str().unwrap();
    assert!(message.ends_with("did you mean \"PAY\"?"), "{message}");
    assert_eq!(lines[3]["emits"], json!(["receipt"]));
    assert_eq!(lines[4]["state"], "cart");
    assert_eq!(lines[5]["ctx"], json!({"who": "x", "amount": 4}));
    assert_eq!(err, "2 of the events were refused, at line 2, 3\n");
    let unknown = cli(&["simulate", &file, "--state", "pad"])
        .output()
        .unwrap();
    assert!(exited(&unknown, 2).1.contains("did you mean \"paid\"?"));
}

#[test]
fn simulate_takes_payloads_without_quotes_over_several_lines_and_names_the_line_of_a_fault() {
    let folder = folder(&[("order.yaml", ORDER)]);
    let file = path(folder.path(), "order.yaml");
    let input = "PAY {\n  amount: 3,\n  note: two words\n}\n\n.nonsense\n";
    let output = run_with_input(cli(&["simulate", &file]), input);
    let (out, err) = exited(&output, 2);
    let paid = json::value(out.lines().nth(1).unwrap()).unwrap();
    assert_eq!(paid["ctx"], json!({"amount": 3, "note": "two words"}));
    assert!(err.starts_with("simulate: line 6: .nonsense "), "{err}");
    let open = run_with_input(cli(&["simulate", &file]), "PAY {amount: 3\n");
    let (_, err) = exited(&open, 2);
    assert_eq!(err, "simulate: line 1: a bracket is not closed\n");
}

#[test]
fn simulate_takes_headers_and_an_actor_from_arguments_and_on_the_way() {
    let machine = r#"{"format": 2, "states": ["open"], "initial": "open", "transitions": [
        {"from": "open", "event": "SIGN", "to": "open", "guard": "headers.role == 'officer'", "set": {"by": "actor"}}]}"#;
    let folder = folder(&[("m.json", machine)]);
    let file = path(folder.path(), "m.json");
    let command = cli(&[
        "simulate",
        &file,
        "--actor",
        "ann",
        "--header",
        "role=officer",
    ]);
    let input = "SIGN\n.actor bob\nSIGN\n.headers role=clerk x='a b'\nSIGN\n.headers\nSIGN\n";
    let (out, err) = exited(&run_with_input(command, input), 1);
    let lines: Vec<_> = out.lines().map(|line| json::value(line).unwrap()).collect();
    let events = lines.iter().filter(|line| !line["event"].is_null());
    let ctx: Vec<_> = events.map(|line| line["ctx"]["by"].clone()).collect();
    assert_eq!(ctx, ["ann", "bob", "bob", "bob"], "{out}");
    assert_eq!(err, "2 of the events were refused, at line 5, 7\n");
    let wrong = run_with_input(cli(&["simulate", &file]), ".headers role\n");
    assert!(exited(&wrong, 2).1.contains("expected NAME=VALUE"));
}

#[test]
fn test_runs_files_and_writes_a_report() {
    let tests = "machine: order.yaml\ntests:\n  - {name: is paid, when: [{event: PAY, payload: {amount: 1}}], then: {state: paid}}\n  - {name: is wrong, then: {state: paid}}\n";
    let folder = folder(&[("order.yaml", ORDER), ("test.yaml", tests)]);
    let [file, report] = ["test.yaml", "report.xml"].map(|name| path(folder.path(), name));
    let output = cli(&["test", &file, "--junit", &report]).output().unwrap();
    let (out, err) = exited(&output, 1);
    assert!(out.contains("ok    is paid\n"), "{out}");
    assert!(
        out.contains("FAIL  is wrong\n        then: state: expected \"paid\", found \"cart\"\n"),
        "{out}"
    );
    assert_eq!(err, "1 test passed, 1 failed\n");
    let report = std::fs::read_to_string(&report).unwrap();
    assert!(report.contains("tests=\"2\" failures=\"1\""), "{report}");
    let (out, _) = exited(
        &cli(&["test", &file, "--only", "is paid"]).output().unwrap(),
        0,
    );
    assert!(out.ends_with("1 test passed, 0 failed\n"), "{out}");
    exited(
        &cli(&["test", &file, "--only", "nothing"]).output().unwrap(),
        2,
    );
    let (out, _) = exited(&cli(&["--json", "test", &file]).output().unwrap(), 1);
    assert_eq!(
        json::value(&out).unwrap()["files"][0]["tests"][1]["passed"],
        false
    );
}

#[test]
fn the_tests_of_the_cookbook_pass() {
    let order = cookbook().join("order/test.yaml");
    let (out, _) = exited(
        &cli(&["test", order.to_str().unwrap()]).output().unwrap(),
        0,
    );
    assert!(out.contains(" 0 failed"), "{out}");
}

#[test]
fn diff_exits_with_1_if_instances_in_flight_are_affected() {
    let stricter = ORDER.replace("> 0", "> 1");
    let more = ORDER.replace(
        "transitions:",
        "transitions:\n  - {from: cart, event: DROP, to: paid}",
    );
    let folder = folder(&[("a.yaml", ORDER), ("b.yaml", &stricter), ("c.yaml", &more)]);
    let [a, b, c] = ["a.yaml", "b.yaml", "c.yaml"].map(|name| path(folder.path(), name));
    let (out, _) = exited(&cli(&["diff", &a, &a]).output().unwrap(), 0);
    assert_eq!(out, "the two definitions say the same\n");
    let (out, _) = exited(&cli(&["diff", &a, &c]).output().unwrap(), 0);
    assert_eq!(out, "+ \"DROP\" from cart: added: to paid\n");
    let (out, err) = exited(&cli(&["diff", &a, &b]).output().unwrap(), 1);
    assert!(
        out.starts_with("~ \"PAY\" from cart: was to paid if event.amount > 0"),
        "{out}"
    );
    assert!(err.starts_with("not compatible: "), "{err}");
}

#[test]
fn machines_are_imported_exported_and_converted() {
    let light = r#"{"id": "light", "initial": "a", "states": {"a": {"on": {"X": {"target": "b", "cond": "ok"}}}, "b": {}}}"#;
    let old = r#"{"states": ["a", "b"], "initial": "a", "transitions": [{"from": "a", "event": "X", "to": "b", "guard": "ctx.n != 1"}]}"#;
    let folder = folder(&[
        ("light.json", light),
        ("old.json", old),
        ("order.yaml", ORDER),
    ]);
    let [light, old, order] =
        ["light.json", "old.json", "order.yaml"].map(|name| path(folder.path(), name));
    let (out, err) = exited(
        &cli(&["import-machine", "--from", "xstate", &light])
            .output()
            .unwrap(),
        1,
    );
    assert_eq!(out, "");
    assert!(
        err.contains("$.states.a.on.X.cond: the condition \"ok\" is code"),
        "{err}"
    );
    let (out, err) = exited(
        &cli(&["import-machine", "--from", "xstate", "--lossy", &light])
            .output()
            .unwrap(),
        0,
    );
    assert_eq!(
        json::value(&out).unwrap()["transitions"][0]["guard"],
        "event.ok == true"
    );
    assert!(
        err.contains("light.json: lost: $.states.a.on.X.cond: "),
        "{err}"
    );
    let (out, err) = exited(&cli(&["convert", &old]).output().unwrap(), 0);
    assert_eq!(json::value(&out).unwrap()["format"], 2);
    assert!(
        err.contains("old.json: note: transitions[0].guard: ctx.n != 1 is now "),
        "{err}"
    );
    for to in ["xstate", "scxml", "mermaid", "dot"] {
        let (out, _) = exited(
            &cli(&["export-machine", "--to", to, &order])
                .output()
                .unwrap(),
            0,
        );
        assert!(out.contains("PAY"), "{to}: {out}");
    }
    let (_, err) = exited(
        &cli(&["export-machine", "--to", "asl", &order])
            .output()
            .unwrap(),
        1,
    );
    assert!(err.contains("order.yaml: transitions[0].guard: "), "{err}");
}

#[test]
fn a_file_in_yaml_is_put_as_json_with_its_own_name_and_the_next_version() {
    let folder = folder(&[("order.yaml", ORDER)]);
    let file = path(folder.path(), "order.yaml");
    let put = |highest: Option<(&'static str, u32)>| {
        let fake = Fake::start(move |operation, _| match (operation, highest) {
            (op::GET_MACHINE, Some((definition, version))) => Answer::Ok(format!(
                r#"{{"definition":{definition},"checksum":"x","version":{version}}}"#
            )),
            (op::GET_MACHINE, None) => Answer::Refuse(ErrorBody::new(Code::MachineNotFound, "no")),
            _ => Answer::Ok("{}".to_owned()),
        });
        exited(&fake.cli(&["put-machine", &file]).output().unwrap(), 0);
        fake.requests().pop().unwrap()
    };
    for (highest, version) in [(None, 1), (Some(("{}", 6)), 7), (Some((JSON, 6)), 6)] {
        let (operation, params) = put(highest);
        assert_eq!(operation, op::PUT_MACHINE);
        assert_eq!(
            params,
            format!(r#"{{"machine":"order","version":{version},"definition":{JSON}}}"#)
        );
    }
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let nameless = run_with_input(fake.cli(&["put-machine", "-"]), "{\"states\":[]}");
    assert!(exited(&nameless, 2).1.contains("put-machine NAME FILE"));
}

#[test]
fn payloads_and_contexts_may_be_given_in_short() {
    let fake = Fake::start(|_, _| Answer::Ok("{}".to_owned()));
    let args = [
        "apply-event",
        "-i",
        "a",
        "-e",
        "PAY",
        "-p",
        "amount=3",
        "-p",
        "card.type=visa",
        "-p",
        "tags:=[1]",
    ];
    exited(&fake.cli(&args).output().unwrap(), 0);
    let payload = r#"{"amount":3,"card":{"type":"visa"},"tags":[1]}"#;
    assert!(
        fake.requests()[0].1.contains(payload),
        "{:?}",
        fake.requests()
    );
    let args = [
        "create-instance",
        "-m",
        "m",
        "-V",
        "1",
        "-c",
        "total=1.50",
        "-c",
        "vip=true",
    ];
    exited(&fake.cli(&args).output().unwrap(), 0);
    let ctx = r#"{"total":1.50,"vip":true}"#;
    assert!(fake.requests()[1].1.contains(ctx), "{:?}", fake.requests());
    let wrong = [
        "apply-event",
        "-i",
        "a",
        "-e",
        "PAY",
        "-p",
        "a=1",
        "-p",
        "a=2",
    ];
    exited(&fake.cli(&wrong).output().unwrap(), 2);
}

#[test]
fn a_refusal_names_what_was_probably_meant() {
    let fake = Fake::start(|operation, _| match operation {
        op::APPLY_EVENT => Answer::Refuse(
            ErrorBody::new(Code::InvalidTransition, "not possible")
                .with_details(json!({"current_state": "cart", "event": "PYA"})),
        ),
        op::CREATE_INSTANCE => Answer::Refuse(
            ErrorBody::new(Code::MachineNotFound, "not defined")
                .with_details(json!({"machine": "ordr"})),
        ),
        op::GET_INSTANCE => Answer::Ok(
            r#"{"machine":"order","version":1,"state":"cart","ctx":{},"last_wal_offset":1}"#
                .to_owned(),
        ),
        op::GET_MACHINE => Answer::Ok(format!(
            r#"{{"definition":{JSON},"checksum":"x","version":1}}"#
        )),
        _ => Answer::Ok(r#"{"items":[{"machine":"order","versions":[1]}]}"#.to_owned()),
    });
    let output = fake
        .cli(&["apply-event", "-i", "a", "-e", "PYA"])
        .output()
        .unwrap();
    let (_, err) = exited(&output, 1);
    assert!(
        err.starts_with("INVALID_TRANSITION: not possible\n"),
        "{err}"
    );
    assert!(err.ends_with("\n  hint: did you mean \"PAY\"?\n"), "{err}");
    let output = fake
        .cli(&["create-instance", "-m", "ordr", "-V", "1"])
        .output()
        .unwrap();
    let (_, err) = exited(&output, 1);
    assert!(
        err.ends_with("\n  hint: did you mean \"order\"?\n"),
        "{err}"
    );
}
