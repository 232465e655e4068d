#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn create(tag: &str, instance: &str) -> IntendedEffect {
    IntendedEffect {
        tag: tag.to_owned(),
        instance: Some(instance.to_owned()),
        action: LoadAction::Create {
            machine: TestMachine::Counter,
            ctx: json!({"op": tag}),
        },
    }
}

fn set(tag: &str, instance: &str, n: u64) -> IntendedEffect {
    IntendedEffect {
        tag: tag.to_owned(),
        instance: Some(instance.to_owned()),
        action: LoadAction::Event {
            event: "SET",
            payload: json!({"n": n}),
        },
    }
}

fn op(effects: Vec<IntendedEffect>, outcome: LoadOutcome) -> LedgerOp {
    LedgerOp {
        attempts: 1,
        outcome,
        ..LedgerOp::new(effects, false)
    }
}

fn acknowledged(offset: u64) -> LoadOutcome {
    LoadOutcome::Acknowledged { offset }
}

fn refused() -> LoadOutcome {
    LoadOutcome::Refused {
        code: "CONFLICT".to_owned(),
    }
}

fn created(offset: u64, tag: &str, instance: &str) -> ReadRecord {
    ReadRecord {
        offset,
        entry: json!({"type": "create_instance", "instance_id": instance, "machine": "counter",
            "version": 1, "initial_state": "on", "initial_ctx": {"op": tag}}),
    }
}

fn applied(offset: u64, tag: &str, instance: &str, n: u64) -> ReadRecord {
    ReadRecord {
        offset,
        entry: json!({"type": "apply_event", "instance_id": instance, "event": "SET",
            "event_id": tag, "from_state": "on", "to_state": "on", "payload": {"n": n},
            "ctx": {"op": "c", "n": n}}),
    }
}

fn violations(ops: Vec<LedgerOp>, log: &[ReadRecord]) -> Vec<String> {
    let ledgers = [Ledger {
        ops,
        violations: Vec::new(),
    }];
    let mut checker = LogAudit::new(&ledgers);
    for record in log {
        checker.record(record);
    }
    checker.finish().violations
}

/// An instance, and one event with this outcome.
fn history(outcome: LoadOutcome) -> Vec<LedgerOp> {
    let creation = op(vec![create("c", "x")], acknowledged(1));
    vec![creation, op(vec![set("a", "x", 1)], outcome)]
}

#[test]
fn what_was_acknowledged_and_is_there_once_is_good() {
    let log = [created(1, "c", "x"), applied(2, "a", "x", 1)];
    assert_eq!(violations(history(acknowledged(2)), &log), [""; 0]);
}

#[test]
fn what_was_not_answered_may_be_there_or_not() {
    let log = [created(1, "c", "x"), applied(2, "a", "x", 1)];
    assert_eq!(violations(history(LoadOutcome::Unanswered), &log), [""; 0]);
    assert_eq!(
        violations(history(LoadOutcome::Unanswered), &log[..1]),
        [""; 0]
    );
}

#[test]
fn a_missing_acknowledged_write_is_found() {
    let log = [created(1, "c", "x")];
    assert!(violations(history(acknowledged(2)), &log)[0].contains("missing"));
}

#[test]
fn a_write_at_another_offset_is_found() {
    let log = [created(1, "c", "x"), applied(3, "a", "x", 1)];
    assert!(violations(history(acknowledged(2)), &log)[0].contains("elsewhere"));
}

#[test]
fn a_second_effect_is_found_whatever_the_outcome() {
    let log = [
        created(1, "c", "x"),
        applied(2, "a", "x", 1),
        applied(3, "a", "x", 1),
    ];
    for outcome in [acknowledged(2), LoadOutcome::Unanswered, refused()] {
        assert!(violations(history(outcome), &log)[0].contains("more than once"));
    }
}

#[test]
fn an_effect_of_a_refused_write_is_found() {
    let log = [created(1, "c", "x"), applied(2, "a", "x", 1)];
    assert!(violations(history(refused()), &log)[0].contains("refused, but"));
    assert_eq!(violations(history(refused()), &log[..1]), [""; 0]);
}

#[test]
fn a_record_nobody_asked_for_is_found() {
    let log = [created(1, "c", "x"), applied(2, "z", "x", 1)];
    assert!(violations(history(LoadOutcome::Unanswered), &log)[0].contains("no client asked"));
}

#[test]
fn a_record_that_says_something_else_is_found() {
    let mut ops = history(acknowledged(2));
    ops.push(op(vec![create("d", "y")], acknowledged(3)));
    let wrong_payload = [created(1, "c", "x"), applied(2, "a", "x", 9)];
    assert!(violations(ops.clone(), &wrong_payload)[0].contains("not as asked"));
    let wrong_instance = [created(1, "c", "x"), created(3, "d", "z")];
    assert!(violations(ops, &wrong_instance)[0].contains("not as asked"));
}

#[test]
fn a_batch_that_took_effect_in_part_is_found() {
    let ops = || {
        let creations = [("c", "x", 1), ("d", "y", 2)];
        let mut ops: Vec<LedgerOp> = creations
            .into_iter()
            .map(|(tag, id, at)| op(vec![create(tag, id)], acknowledged(at)))
            .collect();
        let pair = vec![set("a.0", "x", 1), set("a.1", "y", 1)];
        ops.push(op(pair, LoadOutcome::Unanswered));
        ops
    };
    let mut second = applied(3, "a.1", "y", 1);
    second.entry["ctx"]["op"] = json!("d");
    let mut log = vec![
        created(1, "c", "x"),
        created(2, "d", "y"),
        applied(3, "a.0", "x", 1),
    ];
    assert!(violations(ops(), &log)[0].contains("in part"));
    log.push(second);
    assert_eq!(violations(ops(), &log), [""; 0]);
    log[3].offset = 4;
    assert!(violations(ops(), &log)[0].contains("one offset"));
}

#[test]
fn what_the_model_does_not_allow_is_found() {
    for (field, value) in [
        ("from_state", json!("off")),
        ("to_state", json!("off")),
        ("ctx", json!({"op": "c"})),
    ] {
        let mut wrong = applied(2, "a", "x", 1);
        wrong.entry[field] = value;
        let log = [created(1, "c", "x"), wrong];
        assert_eq!(
            violations(history(acknowledged(2)), &log).len(),
            1,
            "{field}"
        );
    }
}

#[test]
fn descending_offsets_are_found() {
    let log = [created(5, "c", "x"), applied(2, "a", "x", 1)];
    assert!(violations(history(acknowledged(2)), &log)[0].contains("after 5"));
}

#[test]
fn writes_of_one_connection_in_another_order_than_sent_are_found() {
    let mut ops = history(acknowledged(3));
    ops.push(op(vec![set("b", "x", 2)], acknowledged(2)));
    let log = [
        created(1, "c", "x"),
        applied(2, "b", "x", 2),
        applied(3, "a", "x", 1),
    ];
    assert!(violations(ops.clone(), &log)[0].contains("was sent after"));
    ops[2].attempts = 2;
    assert_eq!(violations(ops, &log), [""; 0]);
}

#[test]
fn what_a_connection_saw_itself_is_not_lost() {
    let ledgers = [Ledger {
        ops: Vec::new(),
        violations: vec!["stale read".to_owned()],
    }];
    assert_eq!(LogAudit::new(&ledgers).finish().violations, ["stale read"]);
}
