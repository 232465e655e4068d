//! Questions.

use super::fixtures::*;
use super::*;

const ID: &str = "order-1";

/// Created at 10, paid too little at 11, which was acknowledged.
fn order() -> (Log, History) {
    let mut log = Log::default();
    log.create(10, ID, "order", "created", json!({"total_cents": 5}));
    log.event(11, ID, ("PAY", "paid"), json!({"paid_cents": 1}), "w1");
    let mut history = History::of(Workload::Machine);
    let pay = json!({"instance_id": ID, "event": "PAY", "event_id": "w1"});
    let done = json!({"from_state": "created", "to_state": "paid", "wal_offset": 11});
    history.push((1, 5), "APPLY_EVENT", pay, RequestOutcome::Ok(done));
    (log, history)
}

fn ask(history: &mut History, op: &str, event: &str, outcome: RequestOutcome) {
    let params = json!({"instance_id": ID, "event": event, "event_id": "a1",
        "payload": {"by": "a1"}, "dry_run": true});
    history.push((10, 15), op, params, outcome);
    history.last().workload = Workload::Asking;
}

fn told(from: &str, to: &str, ctx: &Value) -> RequestOutcome {
    RequestOutcome::Ok(
        json!({"from_state": from, "to_state": to, "ctx": ctx, "wal_offset": null,
        "dry_run": true, "would": {"emits": []}}),
    )
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "asking", "asking")
}

#[test]
fn what_the_log_gives_is_valid() {
    let (log, mut history) = order();
    let ctx = json!({"total_cents": 5, "paid_cents": 1, "by": "a1"});
    ask(
        &mut history,
        "APPLY_EVENT",
        "CANCEL",
        told("paid", "cancelled", &ctx),
    );
    let refused = |code: &str| RequestOutcome::Refused {
        code: code.to_owned(),
        details: json!({"current_state": "paid"}),
    };
    ask(&mut history, "APPLY_EVENT", "SHIP", refused("GUARD_FAILED"));
    ask(
        &mut history,
        "APPLY_EVENT",
        "PAY",
        refused("INVALID_TRANSITION"),
    );
    let events = json!([{"event": "SHIP", "outcome": "refused"},
        {"event": "CANCEL", "outcome": "taken", "to_state": "cancelled"}]);
    let allowed = json!({"state": "paid", "last_wal_offset": 11, "events": events});
    ask(
        &mut history,
        "ALLOWED_EVENTS",
        "",
        RequestOutcome::Ok(allowed),
    );
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
}

#[test]
fn a_dry_run_that_took_effect_is_found() {
    let (mut log, mut history) = order();
    log.event(12, ID, ("CANCEL", "cancelled"), json!({"by": "a1"}), "a1");
    let ctx = json!({"total_cents": 5, "paid_cents": 1, "by": "a1"});
    ask(
        &mut history,
        "APPLY_EVENT",
        "CANCEL",
        told("paid", "cancelled", &ctx),
    );
    assert_finds(&judge(&log, &history), "a dry run took effect at 12");
}

#[test]
fn a_dry_run_of_an_old_state_is_found() {
    let (log, mut history) = order();
    let ctx = json!({"total_cents": 5, "by": "a1"});
    ask(
        &mut history,
        "APPLY_EVENT",
        "PAY",
        told("created", "paid", &ctx),
    );
    assert_finds(
        &judge(&log, &history),
        "no version of order-1 from 11 on gives this answer",
    );
}

#[test]
fn an_answer_that_names_an_offset_is_found() {
    let (log, mut history) = order();
    let done = json!({"from_state": "paid", "to_state": "cancelled", "wal_offset": 12});
    ask(
        &mut history,
        "APPLY_EVENT",
        "CANCEL",
        RequestOutcome::Ok(done),
    );
    assert_finds(&judge(&log, &history), "a dry run was answered as a write");
}

#[test]
fn allowed_events_of_an_old_or_another_state_are_found() {
    for (offset, state, events, finds) in [
        (10, "created", json!([]), "and 11 was acknowledged before"),
        (11, "created", json!([]), "in another state than the log"),
        (11, "paid", json!([]), "it shows SHIP as None"),
        (
            11,
            "paid",
            json!([{"event": "SHIP", "outcome": "taken", "to_state": "shipped"}]),
            "it shows SHIP as",
        ),
    ] {
        let (log, mut history) = order();
        let allowed = json!({"state": state, "last_wal_offset": offset, "events": events});
        ask(
            &mut history,
            "ALLOWED_EVENTS",
            "",
            RequestOutcome::Ok(allowed),
        );
        assert_finds(&judge(&log, &history), finds);
    }
}

#[test]
fn a_conflict_is_explained_by_the_offset_also_where_the_event_is_impossible() {
    for (actual, valid) in [(11, true), (10, false)] {
        let (log, mut history) = order();
        let ctx = json!({"total_cents": 5, "paid_cents": 1, "by": "a1"});
        let cancelled = told("paid", "cancelled", &ctx);
        ask(&mut history, "APPLY_EVENT", "CANCEL", cancelled);
        let outcome = RequestOutcome::Refused {
            code: "CONFLICT".to_owned(),
            details: json!({"expected_wal_offset": 9, "actual_wal_offset": actual}),
        };
        ask(&mut history, "APPLY_EVENT", "PAY", outcome);
        history.last().params["expected_wal_offset"] = json!(9);
        let found = judge(&log, &history);
        assert_eq!(found.verdict == CheckVerdict::Valid, valid, "{found}");
    }
}
