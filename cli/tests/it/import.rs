//! `rstmdb-cli import`: the rows of a file as instances.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, exited, run_with_input};

const ROWS: &str = "id,status,created_at,updated_at,total,note\n\
    a,PAID,2020-01-01 00:00:00+00,2021-01-01T00:00:00Z,7.50,\"x, \"\"y\"\"\"\n\
    b,NEW,1577836800000,,,\n\
    c,SHIPPED,,,3,\"\"\n";

const COLUMNS: &[&str] = &[
    "import",
    "order",
    "-",
    "--from",
    "csv",
    "--state",
    "status",
    "--map",
    "PAID=paid",
    "--map",
    "NEW=new",
    "--map",
    "SHIPPED=shipped",
    "--type",
    "total=number",
];

/// A server with one version of a machine, which keeps what it is given.
fn serving(refuse: impl Fn(&Value) -> Option<ErrorBody> + Send + Sync + 'static) -> Fake {
    let kept: Mutex<BTreeMap<String, u64>> = Mutex::default();
    Fake::start(move |name, params| {
        if name == op::GET_MACHINE {
            let text = r#"{"definition":{},"checksum":"ab","version":3}"#;
            return Answer::Ok(text.to_owned());
        }
        assert_eq!(name, op::CREATE_INSTANCE);
        if let Some(error) = refuse(params) {
            return Answer::Refuse(error);
        }
        let id = params["instance_id"].as_str().unwrap().to_owned();
        let (id_shown, state) = (&params["instance_id"], &params["initial_state"]);
        if params["dry_run"] == true {
            let text = json!({ "instance_id": id_shown, "state": state, "wal_offset": null, "dry_run": true, "would": {
                "set": [], "unset": [], "armed": [], "disarmed": [], "emits": [], "via": [] } });
            return Answer::Ok(text.to_string());
        }
        let mut kept = kept.lock().unwrap();
        let next = 101 + kept.len() as u64;
        let offset = *kept.entry(id).or_insert(next);
        Answer::Ok(
            json!({ "instance_id": id_shown, "state": state, "wal_offset": offset }).to_string(),
        )
    })
}

/// The parameters of the creations that were no questions, by id.
fn created(fake: &Fake) -> BTreeMap<String, Value> {
    let requests = fake.requests().into_iter();
    let creations = requests.filter(|(name, _)| name == op::CREATE_INSTANCE);
    let params = creations.map(|(_, text)| serde_json::from_str::<Value>(&text).unwrap());
    let done = params.filter(|params| params["dry_run"] != true);
    done.map(|params| (params["instance_id"].as_str().unwrap().to_owned(), params))
        .collect()
}

#[test]
fn each_row_becomes_an_instance_with_state_times_and_context() {
    let fake = serving(|_| None);
    let (out, _) = exited(&run_with_input(fake.cli(COLUMNS), ROWS), 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&summary["rows"], &summary["imported"]),
        (&json!(3), &json!(3))
    );
    let created = created(&fake);
    assert_eq!(
        created["a"],
        json!({ "instance_id": "a", "machine": "order", "version": 3, "initial_ctx": { "total": 7.50,
            "note": "x, \"y\"" }, "idempotency_key": "import", "initial_state": "paid",
            "created_at": 1_577_836_800_000_u64, "updated_at": 1_609_459_200_000_u64 })
    );
    assert_eq!(created["b"]["initial_ctx"], json!({}));
    assert_eq!(created["b"]["created_at"], 1_577_836_800_000_u64);
    assert_eq!(
        created["c"]["initial_ctx"],
        json!({ "total": 3, "note": "" })
    );
    assert_eq!(created["c"].get("created_at"), None);
}

#[test]
fn json_lines_keep_their_values_and_may_have_the_whole_context() {
    let fake = serving(|_| None);
    let lines = "{\"id\":7,\"state\":\"paid\",\"total\":1.50,\"gone\":null,\"list\":[1]}\n\n\
        {\"id\":\"x\",\"state\":\"paid\",\"ctx\":{\"n\":1}}\n";
    let args = ["import", "order", "-", "--from", "jsonl"];
    exited(&run_with_input(fake.cli(&args), lines), 0);
    let created = created(&fake);
    let sent = |text: &str| {
        fake.requests()
            .iter()
            .any(|(_, params)| params.contains(text))
    };
    assert!(sent(r#""instance_id":"7","machine":"order""#));
    assert!(
        sent(r#""initial_ctx":{"total":1.50,"list":[1]}"#),
        "{created:?}"
    );
    assert_eq!(created["x"]["initial_ctx"], json!({ "n": 1 }));
}

#[test]
fn a_dry_run_writes_nothing_and_sums_up_what_does_not_fit() {
    let fake = serving(|params| {
        let state = params["initial_state"].as_str().unwrap();
        (state == "LOST").then(|| {
            let mut body = ErrorBody::new(
                Code::BadRequest,
                "machine \"order\" version 3 has no state \"LOST\"",
            );
            body.details = Some(json!({ "field": "params.initial_state" }));
            body
        })
    });
    let rows = "id,status,total\na,NEW,1\nb,LOST,1\na,NEW,2\nc,LOST,1\n,NEW,1\nd,NEW,x\ne,NEW\nf,\"N\"x,1\ng,NEW,1\n";
    let mut args = COLUMNS.to_vec();
    args.push("--dry-run");
    let (out, _) = exited(&run_with_input(fake.cli(&args), rows), 1);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (
            &summary["dry_run"],
            &summary["rows"],
            &summary["imported"],
            &summary["refused"]
        ),
        (&json!(true), &json!(9), &json!(2), &json!(7))
    );
    assert!(created(&fake).is_empty());
    let reasons: BTreeMap<&str, &Value> = summary["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["reason"].as_str().unwrap(), &reason["lines"]))
        .collect();
    let lost = "BAD_REQUEST: machine \"order\" version 3 has no state \"LOST\"";
    let expected = BTreeMap::from([
        (lost, json!([3, 5])),
        ("id twice", json!([4])),
        ("no id", json!([6])),
        ("total is no number", json!([7])),
        ("another number of values than the header", json!([8])),
        ("no CSV", json!([9])),
    ]);
    let expected: BTreeMap<&str, &Value> = expected
        .iter()
        .map(|(name, lines)| (*name, lines))
        .collect();
    assert_eq!(reasons, expected);
    assert!(out.contains("is that of line 2, too"), "{out}");
}

#[test]
fn a_second_import_changes_nothing_and_refused_rows_can_be_imported_from_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = dir.path().join("rejected.csv");
    let refuse = |params: &Value| {
        (params["instance_id"] == "b")
            .then(|| ErrorBody::new(Code::InstanceExists, "instance \"b\" already exists"))
    };
    let fake = serving(refuse);
    let mut args = COLUMNS.to_vec();
    let path = rejected.to_str().unwrap();
    args.extend(["--rejected", path]);
    let (out, err) = exited(&run_with_input(fake.cli(&args), ROWS), 1);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&summary["imported"], &summary["refused"]),
        (&json!(2), &json!(1)),
        "{err}"
    );
    let text = std::fs::read_to_string(&rejected).unwrap();
    assert_eq!(
        text,
        "id,status,created_at,updated_at,total,note\nb,NEW,1577836800000,,,\n"
    );
    args.truncate(COLUMNS.len());
    args.push("--skip-existing");
    let (out, _) = exited(&run_with_input(fake.cli(&args), ROWS), 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["existing"], 1);
}

#[test]
fn what_concerns_every_row_ends_the_import_before_anything_is_written() {
    for (code, exit) in [(Code::Forbidden, 1), (Code::FeatureLevel, 1)] {
        let refusal = code.clone();
        let fake = serving(move |_| Some(ErrorBody::new(refusal.clone(), "no")));
        let (_, err) = exited(&run_with_input(fake.cli(COLUMNS), ROWS), exit);
        assert!(err.contains(code.as_str()), "{err}");
        assert_eq!(created(&fake).len(), 0);
    }
    let fake = serving(|_| None);
    for (args, part) in [
        (
            ["--id", "key"],
            "there is no column \"key\"; the columns are: id, status",
        ),
        (["--type", "amount=number"], "there is no column \"amount\""),
    ] {
        let args = [COLUMNS, &args].concat();
        let (_, err) = exited(&run_with_input(fake.cli(&args), ROWS), 2);
        assert!(err.contains(part), "{err}");
    }
}

#[test]
fn a_server_that_ignores_the_state_is_noticed_by_the_first_row() {
    let fake = Fake::start(|name, _| match name {
        op::GET_MACHINE => {
            Answer::Ok(r#"{"definition":{},"checksum":"ab","version":3}"#.to_owned())
        }
        _ => Answer::Ok(r#"{"instance_id":"a","state":"new","wal_offset":null}"#.to_owned()),
    });
    let (_, err) = exited(&run_with_input(fake.cli(COLUMNS), ROWS), 1);
    assert!(err.contains("ignores initial_state"), "{err}");
    assert!(created(&fake).is_empty());
}

#[test]
fn an_import_goes_on_behind_the_rows_that_are_done_and_ends_after_too_many_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    let resume = ["--resume", done.to_str().unwrap()];
    let args = [COLUMNS, &resume].concat();
    let two: String = ROWS.split_inclusive('\n').take(3).collect();
    exited(&run_with_input(serving(|_| None).cli(&args), &two), 0);
    let fake = serving(|_| None);
    exited(&run_with_input(fake.cli(&args), ROWS), 0);
    assert_eq!(created(&fake).keys().collect::<Vec<_>>(), ["c"]);
    let saved = std::fs::read_to_string(&done).unwrap();
    let saved: Value = serde_json::from_str(&saved).unwrap();
    let of = json!([saved["rows"], saved["machine"], saved["version"]]);
    assert_eq!(of, json!([3, "order", 3]));

    let fake = serving(|_| Some(ErrorBody::new(Code::SchemaFailed, "no")));
    let rows: String = (0..100).map(|n| format!("{n},NEW,1\n")).collect();
    let few = ["--refusals-max", "5", "--in-flight", "2"];
    let args = [COLUMNS, &few].concat();
    let input = format!("id,status,total\n{rows}");
    let (_, err) = exited(&run_with_input(fake.cli(&args), &input), 1);
    assert!(err.contains("ended after 5 refused rows"), "{err}");
    assert!(fake.requests().len() < 20);
}

#[test]
fn a_file_beside_the_import_must_not_be_the_file_of_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, ROWS).unwrap();
    let fake = serving(|_| None);
    let name = path.to_str().unwrap();
    for option in ["--rejected", "--resume"] {
        let mut args = COLUMNS.to_vec();
        args[2] = name;
        args.extend([option, name]);
        let (_, err) = exited(&run_with_input(fake.cli(&args), ""), 2);
        assert!(err.contains(name) && err.contains(option), "{err}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), ROWS);
    }
    assert!(created(&fake).is_empty());
}

#[test]
fn an_import_that_goes_on_keeps_the_rows_that_its_beginning_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (done, rejected) = (at("done"), at("rejected.csv"));
    let fake = serving(|params| {
        (params["initial_state"] == "LOST").then(|| ErrorBody::new(Code::SchemaFailed, "no"))
    });
    let options = ["--resume", &done, "--rejected", &rejected];
    let args = [COLUMNS, &options].concat();
    let rows = "id,status,total\na,LOST,1\nb,NEW,1\n";
    exited(&run_with_input(fake.cli(&args), rows), 1);
    let rows = format!("{rows}c,LOST,1\nd,NEW,1\n");
    exited(&run_with_input(fake.cli(&args), &rows), 1);
    let text = std::fs::read_to_string(&rejected).unwrap();
    assert_eq!(text, "id,status,total\na,LOST,1\nc,LOST,1\n");
}

#[test]
fn the_resume_file_of_another_import_skips_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    let done = done.to_str().unwrap();
    let fake = serving(|_| None);
    let args = [COLUMNS, &["--resume", done]].concat();
    exited(&run_with_input(fake.cli(&args), ROWS), 0);
    let other = ROWS.replace("a,PAID", "x,PAID");
    let fewer: String = ROWS.split_inclusive('\n').take(3).collect();
    for (rows, part) in [(other, "another file of rows"), (fewer, "fewer rows (2)")] {
        let (out, err) = exited(&run_with_input(fake.cli(&args), &rows), 2);
        assert!(err.contains(part), "{err}");
        assert_eq!(out, "");
    }
    std::fs::write(done, "2\n").unwrap();
    let (_, err) = exited(&run_with_input(fake.cli(&args), ROWS), 2);
    assert!(err.contains(done), "{err}");
    assert_eq!(created(&fake).len(), 3);
}

#[test]
fn a_row_that_cannot_be_read_is_refused_alone_and_kept_as_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = dir.path().join("rejected");
    let option = ["--rejected", rejected.to_str().unwrap()];
    let csv = "id,status,total\na,NEW,1\n21,NEW,a\"b\nb,NEW,2\nc,\"NEW,3\nd,NEW,4\n";
    let json =
        b"{\"id\":\"a\",\"state\":\"new\"}\n{\"id\":\"\xff\"}\n{\"id\":\"b\",\"state\":\"new\"}\n";
    let json_args = ["import", "order", "-", "--from", "jsonl"];
    for (args, rows, ids, kept) in [
        (
            COLUMNS,
            csv.as_bytes(),
            &["a", "b", "d"][..],
            &b"id,status,total\n21,NEW,a\"b\nc,\"NEW,3\n"[..],
        ),
        (&json_args, json, &["a", "b"], b"{\"id\":\"\xff\"}\n"),
    ] {
        let file = dir.path().join("rows");
        std::fs::write(&file, rows).unwrap();
        let mut args = [args, &option].concat();
        args[2] = file.to_str().unwrap();
        let fake = serving(|_| None);
        exited(&run_with_input(fake.cli(&args), ""), 1);
        assert_eq!(created(&fake).keys().collect::<Vec<_>>(), ids);
        assert_eq!(std::fs::read(&rejected).unwrap(), kept);
    }
}

#[test]
fn without_the_right_to_import_there_is_one_error_that_says_what_is_needed() {
    let fake = serving(|_| Some(ErrorBody::new(Code::Forbidden, "no")));
    // Rows that are refused before the first one is sent are no success, either.
    let rows = "id,status\nbad\na,NEW\n";
    let args = ["import", "order", "-", "--from", "csv", "--state", "status"];
    let (out, err) = exited(&run_with_input(fake.cli(&args), rows), 1);
    assert_eq!(out, "");
    assert!(
        err.contains("auth.import_token_hashes") && err.contains("--token"),
        "{err}"
    );
    assert!(!err.contains("line 3"), "{err}");
}
