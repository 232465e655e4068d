//! Answers that are none.

use super::fixtures::*;
use super::*;
use crate::chaos::history::Workload;

fn judged(op: &str, params: Value, why: &str) -> CheckerResult {
    let mut history = History::of(Workload::Register);
    history.push(
        (1, 2),
        "GET_INSTANCE",
        json!({}),
        RequestOutcome::Ok(json!({})),
    );
    let outcome = RequestOutcome::Unknown {
        why: why.to_owned(),
    };
    history.push((3, 4), op, params, outcome);
    result(&history.entries, &Log::default().truth(), "answers", "all")
}

#[test]
fn an_answer_that_is_none_is_a_violation() {
    let why = crate::Error::Protocol("a response without an id: {}".to_owned()).to_string();
    let found = judged("APPLY_EVENT", json!({}), &why);
    assert_finds(
        &found,
        "an answer that is not valid: not RCP: a response without an id",
    );
}

#[test]
fn an_internal_error_is_a_violation_for_a_read_and_an_unknown_outcome_for_a_write() {
    let why = "INTERNAL_ERROR: the outcome is unknown";
    let read = json!({"op": "GET_INSTANCE", "params": {"instance_id": "a"}});
    let write = json!({"op": "APPLY_EVENT", "params": {"instance_id": "a"}});
    for (op, params) in [
        ("GET_INSTANCE", json!({})),
        ("LIST_INSTANCES", json!({})),
        ("BATCH", json!({"ops": [read.clone()]})),
    ] {
        assert_finds(
            &judged(op, params, why),
            "a read was answered with INTERNAL_ERROR",
        );
    }
    for (op, params) in [
        ("APPLY_EVENT", json!({})),
        ("BATCH", json!({"ops": [read, write]})),
    ] {
        assert_eq!(judged(op, params, why).verdict, CheckVerdict::Valid);
    }
}

#[test]
fn an_answer_that_did_not_come_is_none_of_this() {
    for error in [crate::Error::Silent, crate::Error::Closed] {
        let found = judged("GET_INSTANCE", json!({}), &error.to_string());
        assert_eq!(found.verdict, CheckVerdict::Valid);
    }
}
