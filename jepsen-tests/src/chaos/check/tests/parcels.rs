//! A machine of format 2.

use super::fixtures::*;
use super::*;

const ID: &str = "parcel-1";

/// Created at 10, loaded at 11.
fn parcel() -> (Log, History) {
    let mut log = Log::default();
    let ctx = json!({"weight": 1, "stops": 0});
    log.create(10, ID, "parcel", "packed", ctx);
    let loaded = TrueFact {
        event: "LOAD".to_owned(),
        from: "packed".to_owned(),
        payload: json!({"kg": 3, "by": "me"}),
        ctx: json!({"weight": 4, "stops": 0, "by": "me"}),
        event_id: Some("p1".to_owned()),
        emits: vec!["weighed".to_owned()],
        ..log.fact(11, FactKind::Event, ID)
    };
    log.push(loaded);
    let mut history = History::of(Workload::Parcel);
    let load = json!({"instance_id": ID, "event": "LOAD", "event_id": "p1", "payload": {"kg": 3, "by": "me"}});
    history.push(
        (10, 20),
        "APPLY_EVENT",
        load,
        RequestOutcome::Ok(log.ack(ID, 11)),
    );
    (log, history)
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "order", "parcel")
}

#[test]
fn events_and_refusals_that_the_model_gives_are_valid() {
    let (log, mut history) = parcel();
    for (event, payload, code) in [
        ("MOVE", json!({}), "INVALID_TRANSITION"),
        ("LOAD", json!({"kg": 0}), "SCHEMA_FAILED"),
        ("LOAD", json!({"kg": 17}), "SCHEMA_FAILED"),
        ("SEND", json!({}), "EXPRESSION_FAILED"),
    ] {
        let params =
            json!({"instance_id": ID, "event": event, "event_id": code, "payload": payload});
        history.push((30, 40), "APPLY_EVENT", params, refused(code, json!({})));
    }
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
}

#[test]
fn another_context_other_emits_and_a_wrong_refusal_are_found() {
    let (mut log, history) = parcel();
    log.facts[1].emits = Vec::new();
    assert_finds(&judge(&log, &history), "an event passed");
    let (mut log, mut history) = parcel();
    log.facts[1].ctx["kg"] = json!(3);
    history.last().outcome = RequestOutcome::Ok(log.ack(ID, 11));
    assert_finds(&judge(&log, &history), "the context is not the one");
    let (log, mut history) = parcel();
    let params =
        json!({"instance_id": ID, "event": "SEND", "event_id": "x", "payload": {"by": "me"}});
    let outcome = refused("EXPRESSION_FAILED", json!({"place": "set"}));
    history.push((30, 40), "APPLY_EVENT", params, outcome);
    assert_finds(&judge(&log, &history), "no version that was current");
}
