//! `bench`: what it measures, what it prints, and that it leaves nothing behind.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Answer, Fake, cli, exited, unused_address};
use rstmdb_rcp::message::op;
use serde_json::{Value, json};

/// How long the stalling server stands still, once.
const STALL: Duration = Duration::from_millis(500);
/// After this many runs without time for their requests, the benchmark is at fault, and not the machine.
const RUNS_MAX: usize = 20;

fn server() -> Fake {
    let next = AtomicU64::new(1);
    Fake::start(move |_, _| ok(next.fetch_add(1, Ordering::Relaxed)))
}

fn ok(offset: u64) -> Answer {
    Answer::Ok(json!({"wal_offset": offset, "applied": true}).to_string())
}

/// Stands still once, some time after the first event.
fn stalling_server() -> Fake {
    let first = OnceLock::new();
    let has_stalled = AtomicBool::new(false);
    Fake::start(move |op, _| {
        if op == op::APPLY_EVENT {
            let first = *first.get_or_init(Instant::now);
            if first.elapsed() > STALL && !has_stalled.swap(true, Ordering::Relaxed) {
                thread::sleep(STALL);
            }
        }
        ok(1)
    })
}

fn report(fake: &Fake, line: &str) -> Value {
    let args: Vec<&str> = line.split(' ').collect();
    let (out, err) = exited(&fake.cli(&args).output().unwrap(), 0);
    assert_eq!(err, "", "for {line}");
    serde_json::from_str(&out).unwrap()
}

/// The report of a run for which the machine had time, and its server. Beside other load a timed run may send few
/// requests or none. Such a run shows nothing of how the benchmark works, so another one is made.
fn report_if(
    start: impl Fn() -> Fake,
    line: &str,
    has_time: impl Fn(&Value) -> bool,
) -> (Value, Fake) {
    for _ in 0..RUNS_MAX {
        let fake = start();
        let report = report(&fake, line);
        if has_time(&report) {
            return (report, fake);
        }
    }
    panic!("the machine had no time for {line} in {RUNS_MAX} runs");
}

fn has_sent_all(report: &Value) -> bool {
    report["unsent"] == 0
}

fn requests(fake: &Fake, op: &str) -> Vec<Value> {
    let of_op = fake.requests().into_iter().filter(|(name, _)| name == op);
    of_op
        .map(|(_, params)| serde_json::from_str(&params).unwrap())
        .collect()
}

#[test]
fn a_benchmark_reports_what_it_measured_and_deletes_its_instances() {
    for what in [
        "--op apply",
        "--op create",
        "--op get",
        "--op mixed",
        "--mix apply=7,get=2,create=1 --keys zipf --instances 50",
        "--op get --keys uniform --rate 500",
        "--op guard --context 500",
    ] {
        let line = format!(
            "bench {what} --connections 3 --in-flight 2 --threads 2 --duration 100ms --warm-up 10ms"
        );
        let has_time = |report: &Value| report["ops"].as_u64() > Some(0);
        let (report, fake) = report_if(server, &line, has_time);
        assert!(report["latency_us"]["p50"].as_f64() > Some(0.0), "{report}");
        assert_eq!(report["errors"], json!({}));
        let created = requests(&fake, op::CREATE_INSTANCE).len();
        assert!(created > 0, "for {what}");
        let deleted = requests(&fake, op::DELETE_INSTANCE).len();
        assert_eq!(created, deleted, "for {what}");
    }
}

#[test]
fn the_report_has_the_documented_fields() {
    let line = "bench --mix apply=3,get=1 --keys zipf --instances 9 --rate 400 --connections 2 --duration 200ms";
    let (report, _) = report_if(server, line, has_sent_all);
    let fields: Vec<&String> = report.as_object().unwrap().keys().collect();
    let documented = [
        "op",
        "mix",
        "loop",
        "rate",
        "connections",
        "in_flight",
        "keys",
        "instances",
        "payload_bytes",
        "context_bytes",
        "seconds",
        "ops",
        "ops_per_second",
        "latency_us",
        "by_op",
        "unsent",
        "errors",
        "watches",
        "guard_cost",
    ];
    assert_eq!(fields, documented);
    let expected = json!({
        "op": "mixed", "mix": {"apply": 3, "get": 1}, "loop": "open", "rate": 400, "connections": 2,
        "in_flight": 16, "keys": "zipf:0.99", "instances": 9, "payload_bytes": 100, "seconds": 0.2,
        "context_bytes": 100, "ops": 80, "unsent": 0, "errors": {}, "watches": null, "guard_cost": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&report[field], value, "{field} of {report}");
    }
    let by_op = report["by_op"].as_object().unwrap();
    let ops = by_op.values().map(|by_op| by_op["ops"].as_u64().unwrap());
    assert_eq!(ops.sum::<u64>(), 80);
    for latency in [&report["latency_us"], &by_op["get"]["latency_us"]] {
        let percentiles: Vec<&String> = latency.as_object().unwrap().keys().collect();
        assert_eq!(percentiles, ["mean", "p50", "p90", "p99", "p999", "max"]);
    }
}

#[test]
fn a_guard_is_measured_by_turns_with_the_same_event_without_one() {
    let fake = server();
    let line = "bench --op guard --connections 2 --in-flight 2 --context 2000 --warm-up 1ms --duration 400ms";
    let report = report(&fake, line);
    assert_eq!(report["op"], "guard");
    assert_eq!(report["context_bytes"], 2000);
    let ops = |op: &str| report["by_op"][op]["ops"].as_u64().unwrap();
    assert!(ops("apply") > 0 && ops("guarded") > 0, "{report}");
    let cost = ops("apply") as f64 / ops("guarded") as f64;
    assert!((report["guard_cost"].as_f64().unwrap() - cost).abs() < 0.001);
    let events = |name: &str| {
        let applied = requests(&fake, op::APPLY_EVENT).into_iter();
        applied.filter(|params| params["event"] == name).count()
    };
    assert!(events("STEP") > 0 && events("GUARDED") > 0);
    for created in requests(&fake, op::CREATE_INSTANCE) {
        assert_eq!(created["machine"], "bench-guard");
        assert!(created["initial_ctx"].to_string().len() >= 2000);
    }
}

#[test]
fn requests_are_for_the_instances_that_the_keys_say() {
    // An open loop: how many requests there are does not depend on how fast they are answered.
    let line = "bench --keys sequential --instances 5 --connections 1 --in-flight 1 --duration 50ms --warm-up 1ms \
                --rate 400";
    let (_, fake) = report_if(server, line, has_sent_all);
    let ids: Vec<String> = requests(&fake, op::APPLY_EVENT)
        .iter()
        .map(|params| params["instance_id"].as_str().unwrap().to_owned())
        .collect();
    let ends = |id: &String| id.rsplit('-').next().unwrap().parse::<usize>().unwrap();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(ends(id), number % 5, "{id}");
    }
    assert!(ids.len() > 5, "the keys begin anew: {ids:?}");
    assert_eq!(requests(&fake, op::CREATE_INSTANCE).len(), 5);
}

#[test]
fn a_stall_of_the_server_hides_from_a_closed_loop_and_shows_in_an_open_one() {
    let line = "bench --connections 1 --in-flight 4 --warm-up 1ms --duration 1500ms";
    // Any other stall holds up four requests as well. Of this many, some such stalls are less than one in a hundred.
    let has_time = |report: &Value| report["ops"].as_u64() > Some(2_000);
    let (closed, _) = report_if(stalling_server, line, has_time);
    let line = format!("{line} --rate 200");
    let (open, _) = report_if(stalling_server, &line, has_sent_all);
    let millis = |report: &Value, which: &str| report["latency_us"][which].as_f64().unwrap() / 1e3;
    // Four requests waited. All others were never sent, so the closed loop knows nothing of them.
    assert!(millis(&closed, "max") > 400.0, "{closed}");
    assert!(millis(&closed, "p99") < 100.0, "{closed}");
    // 100 of 300 requests fell into the stall, and waited for between 0 and 500 ms.
    assert_eq!(open["ops"], 300, "{open}");
    assert!(millis(&open, "p99") > 400.0, "{open}");
    assert!(millis(&open, "p90") > 250.0, "{open}");
}

#[test]
fn requests_that_a_server_has_no_time_for_are_reported_with_how_long_they_waited() {
    let fake = Fake::start(|op, _| {
        if op == op::APPLY_EVENT {
            thread::sleep(Duration::from_millis(20));
        }
        ok(1)
    });
    let line = "bench --connections 1 --in-flight 1 --warm-up 1ms --duration 500ms --rate 1000";
    let report = report(&fake, line);
    let (ops, unsent) = (&report["ops"], &report["unsent"]);
    let (ops, unsent) = (ops.as_u64().unwrap(), unsent.as_u64().unwrap());
    // At most 50 a second, for half a second and one more in which late requests are sent.
    assert!((1..=76).contains(&ops), "{report}");
    assert_eq!(ops + unsent, 500, "{report}");
    assert!(report["ops_per_second"].as_u64() <= Some(50), "{report}");
    assert!(
        report["latency_us"]["p50"].as_f64() > Some(900_000.0),
        "{report}"
    );
}

#[test]
fn a_benchmark_that_cannot_connect_ends_at_once() {
    let address = unused_address();
    exited(&cli(&["-s", &address, "bench"]).output().unwrap(), 3);
}

#[test]
fn arguments_that_contradict_each_other_exit_with_2() {
    let output = server()
        .cli(&["bench", "--op", "watch", "--rate", "5"])
        .output();
    let (_, err) = exited(&output.unwrap(), 2);
    assert!(
        err.contains("--op watch cannot be used with --rate"),
        "{err}"
    );
}
