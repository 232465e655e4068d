#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::chaos::check::truth::{FactKind, TrueFact};
use crate::chaos::check::{Violation, ViolationWindow, failed};
use crate::chaos::history::{HistoryEntry, RequestOutcome, Workload};
use crate::harness::rng::Rng;

fn entry(
    client: u32,
    begun: u64,
    ended: u64,
    op: &str,
    params: Value,
    outcome: RequestOutcome,
) -> HistoryEntry {
    HistoryEntry {
        workload: Workload::Register,
        client,
        pipeline: 0,
        actor: String::new(),
        node: 1 + u64::from(client) % 3,
        begun,
        ended,
        op: op.to_owned(),
        params,
        outcome,
    }
}

/// Two minutes of load, slower and without answers while there is a fault.
fn load() -> Vec<HistoryEntry> {
    let mut rng = Rng::new(7);
    let mut entries = Vec::new();
    for at in 0..12_000_u64 {
        let begun = at * 10_000 + rng.below(9000);
        let is_slow = (30..45).contains(&(begun / 1_000_000));
        let took = if is_slow { 30_000 } else { 2000 } + rng.below(4000);
        let id = format!("reg-{}", rng.below(5));
        let outcome = match rng.below(100) {
            0..20 if is_slow => RequestOutcome::Unknown {
                why: "the connection was lost".to_owned(),
            },
            0..5 => RequestOutcome::Refused {
                code: "CONFLICT".to_owned(),
                details: json!({"expected_wal_offset": 1, "actual_wal_offset": 2}),
            },
            _ => RequestOutcome::Ok(json!({"last_wal_offset": at})),
        };
        let op = ["GET_INSTANCE", "APPLY_EVENT"][usize::from(rng.percent(40))];
        let params = json!({"instance_id": id});
        entries.push(entry(
            (at % 10) as u32,
            begun,
            begun + took,
            op,
            params,
            outcome,
        ));
    }
    entries
}

fn violation() -> Violation {
    let done = |offset: u64, v: u64| {
        let ctx = json!({"v": v});
        RequestOutcome::Ok(
            json!({"from_state": "on", "to_state": "on", "ctx": ctx, "wal_offset": offset}),
        )
    };
    let set = |v: u64| {
        json!({"instance_id": "reg-1", "event": "SET", "payload": {"v": v},
            "event_id": format!("w{v}")})
    };
    let read = RequestOutcome::Ok(
        json!({"state": "on", "ctx": {"v": 1}, "last_wal_offset": 11, "last_event_id": "w1"}),
    );
    let fact = |offset: u64, v: u64| TrueFact {
        machine: "register".to_owned(),
        event: "SET".to_owned(),
        from: "on".to_owned(),
        to: "on".to_owned(),
        payload: json!({"v": v}),
        ctx: json!({"v": v}),
        event_id: Some(format!("w{v}")),
        ..TrueFact::bare(offset, FactKind::Event, "reg-1")
    };
    let lost = RequestOutcome::Unknown {
        why: "the connection was lost".to_owned(),
    };
    let get = json!({"instance_id": "reg-1", "consistency": "linearizable"});
    Violation {
        message: "stale: it saw offset 11, although 12 was acknowledged before it began <b>"
            .to_owned(),
        instance: Some("reg-1".to_owned()),
        window: ViolationWindow {
            entries: vec![
                entry(
                    1,
                    30_100_000,
                    30_140_000,
                    "APPLY_EVENT",
                    set(2),
                    done(12, 2),
                ),
                entry(3, 30_120_000, 30_180_000, "APPLY_EVENT", set(3), lost),
                entry(2, 30_150_000, 30_152_000, "GET_INSTANCE", get, read),
            ],
            facts: vec![fact(11, 1), fact(12, 2)],
        },
    }
}

fn run() -> ReportedRun {
    let result = |checker: &str, subject: &str, verdict: CheckVerdict| CheckerResult {
        checker: checker.to_owned(),
        subject: subject.to_owned(),
        operations: 4711,
        verdict,
        notes: Vec::new(),
    };
    let fault = |begun: u64, ended: u64, kind: &str, name: &str| FaultSpan {
        begun_us: begun * 1_000_000,
        ended_us: ended * 1_000_000,
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    ReportedRun {
        name: "mixed".to_owned(),
        seed: 42,
        runner: "processes".to_owned(),
        nodes: 3,
        begun: "2026-11-21T16:00:00Z".to_owned(),
        duration: Duration::from_secs(120),
        command: "rstmdb-jepsen chaos --seed 42".to_owned(),
        faults: vec![
            fault(10, 18, "kill-one", "2"),
            fault(30, 45, "leader-alone", "1 alone"),
            fault(35, 50, "clock-jump", "clock of node 3 +30 s"),
            fault(70, 80, "full-disk", "node 1"),
            fault(100, 101, "transfer", "leadership moved"),
        ],
        entries: load(),
        results: vec![
            result("logs", "all", CheckVerdict::Valid),
            result(
                "order",
                "register",
                CheckVerdict::Invalid(vec![violation()]),
            ),
            result(
                "bank",
                "bank",
                CheckVerdict::Unknown("nothing was done".to_owned()),
            ),
            failed("set", "it panicked"),
        ],
        logs: vec!["node-1.log".to_owned()],
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn a_report_is_complete_and_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, run) = (folder.path(), run());
    write(dir, &run).unwrap();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(
        history::read(&dir.join("history.jsonl")).unwrap(),
        run.entries
    );
    let faults: Vec<FaultSpan> = serde_json::from_str(&read("faults.json")).unwrap();
    assert_eq!(faults, run.faults);
    let results: Vec<CheckerResult> = serde_json::from_str(&read("results.json")).unwrap();
    assert_eq!(results, run.results);

    let page = read("index.html");
    for outside in ["http://", "https://", "src=", "__RUN__"] {
        let only_namespace = page.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !only_namespace.contains(outside),
            "{outside} leads elsewhere"
        );
    }
    let shown: Value = serde_json::from_str(between(&page, RUN_BEGINS, "</script>")).unwrap();
    assert_eq!(shown["seed"], "42");
    assert_eq!(shown["overall"], "violation");
    assert_eq!(shown["results"], json!(run.results));
    assert_eq!(shown["faults"], json!(run.faults));
    assert_eq!(shown["files"][4], "node-1.log");
    if std::env::var_os("RSTMDB_KEEP").is_some() {
        eprintln!("the report is in {}", folder.keep().display());
    }
}

#[test]
fn a_run_without_anything_has_a_page_too_and_does_not_pass() {
    let empty = ReportedRun {
        duration: Duration::ZERO,
        faults: Vec::new(),
        entries: Vec::new(),
        results: Vec::new(),
        ..run()
    };
    assert_eq!(empty.overall(), Overall::Unknown);
    let page = page::html(&empty).unwrap();
    if let Some(drawn) = drawn(&page) {
        assert!(drawn.contains("unknown") && drawn.contains("Over time"));
        assert_is_whole(&drawn);
    }
}

#[test]
fn the_script_of_the_page_draws_all_there_is() {
    let Some(drawn) = drawn(&page::html(&run()).unwrap()) else {
        return;
    };
    for part in [
        "mixed: VIOLATION",
        "<td>42</td>",
        "rstmdb-jepsen chaos --seed 42",
        "href=\"node-1.log\"",
        "leader-alone",
        "<td>1 alone</td>",
        "href=\"schedule.json\"",
        "stale: it saw offset 11",
        "before it began &#60;b&#62;",
        "the check failed: it panicked",
        "client 3",
        "class=\"bar unknown\"",
        "get reg-1 consistency &#34;linearizable&#34;  →  @11 on",
    ] {
        assert!(drawn.contains(part), "the page lacks {part:?}: {drawn}");
    }
    // Three plots, and the violation.
    assert_eq!(drawn.matches("<svg").count(), 4);
    assert_eq!(
        drawn.matches("class=\"fault\"").count(),
        3 * run().faults.len()
    );
    assert_is_whole(&drawn);
}

fn assert_is_whole(drawn: &str) {
    for broken in ["NaN", "Infinity", "undefined", "[object", "=\"-"] {
        assert!(!drawn.contains(broken), "the page has {broken}: {drawn}");
    }
}

const RUN_BEGINS: &str = "<script type=\"application/json\" id=\"run\">";

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let after = text.split_once(begin).unwrap().1;
    after.split_once(end).unwrap().0
}

/// What the page's script makes of the page, in Node.js with a document of ours; skipped without Node.js.
fn drawn(page: &str) -> Option<String> {
    let data = serde_json::to_string(between(page, RUN_BEGINS, "</script>")).unwrap();
    let script = between(page, "<script>", "</script>");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.js");
    let dom = include_str!("tests/dom.js");
    fs::write(&file, format!("const RUN = {data};\n{dom}\n{script}")).unwrap();
    let Ok(ran) = Command::new("node").arg(&file).output() else {
        crate::skipped("Node.js is not installed");
        return None;
    };
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Some(String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn a_run_comes_to_the_worst_of_its_results() {
    let mut run = run();
    assert_eq!(run.overall(), Overall::Violation);
    run.results.remove(1);
    assert_eq!(run.overall(), Overall::Failed);
    run.results.pop();
    assert_eq!(run.overall(), Overall::Unknown);
    run.results.pop();
    assert_eq!(run.overall(), Overall::Pass);
}

#[test]
fn percentiles_and_rates_are_those_of_their_interval() {
    let ok = || RequestOutcome::Ok(json!({}));
    let mut entries: Vec<HistoryEntry> = (1..=100)
        .map(|ms| entry(1, 0, ms * 1000, "GET_INSTANCE", json!({}), ok()))
        .collect();
    entries.push(entry(
        1,
        1_000_000,
        1_500_000,
        "APPLY_EVENT",
        json!({}),
        ok(),
    ));
    let series = series::Series::new(&entries, 3_000_000);
    assert_eq!((series.interval_us, series.rates.len()), (1_000_000, 3));
    let reads = series.reads[0].unwrap();
    assert_eq!((reads.p50, reads.p99, reads.max), (51.0, 100.0, 100.0));
    assert_eq!(series.writes[1].unwrap().max, 500.0);
    assert!(series.writes[0].is_none() && series.reads[1].is_none());
    assert_eq!(series.rates[0].ok, 100.0);
    // Two hours are shown in longer intervals.
    let series = series::Series::new(&entries, 7_200_000_000);
    assert_eq!(series.interval_us, 15_000_000);
    assert!((series.rates[0].ok - 101.0 / 15.0).abs() < 1e-9);
}
