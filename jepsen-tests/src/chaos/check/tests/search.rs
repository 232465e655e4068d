//! The search for an order, by values alone.

use super::fixtures::*;
use super::*;

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "search", "register")
}

/// A read of a value under an offset that is right for another: a product that lies about offsets.
fn read(history: &mut History, when: (u64, u64), value: u64) {
    let lie = json!({"state": "on", "ctx": {"v": value}, "last_wal_offset": 12});
    history.get(when, REGISTER, RequestOutcome::Ok(lie));
}

#[test]
fn values_that_an_order_explains_are_valid() {
    for (when, value) in [
        ((1, 5), 0),
        ((160, 170), 1),
        ((210, 220), 1),
        ((210, 220), 2),
    ] {
        let (log, mut history) = register(json!({"v": 0}), 2);
        read(&mut history, when, value);
        assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    }
}

#[test]
fn stale_and_future_values_are_found_whatever_the_offsets_say() {
    for (when, value) in [
        ((260, 270), 1),
        ((160, 170), 2),
        ((160, 170), 0),
        ((1, 5), 7),
    ] {
        let (log, mut history) = register(json!({"v": 0}), 2);
        read(&mut history, (270, 280), 2);
        read(&mut history, when, value);
        let found = judge(&log, &history);
        assert_eq!(found.violations().len(), 1, "{when:?} {value}: {found}");
        let wrong = history.entries.last().unwrap();
        assert!(
            found.violations()[0].window.entries.contains(wrong),
            "{found}"
        );
    }
}

#[test]
fn two_that_both_compare_and_set_from_the_same_value_are_found() {
    let (log, mut history) = register(json!({"v": 0}), 2);
    history.entries[0].params["expected_wal_offset"] = json!(10);
    history.entries[1].params["expected_wal_offset"] = json!(11);
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    history.entries[1].params["expected_wal_offset"] = json!(10);
    assert_eq!(judge(&log, &history).violations().len(), 1);
}

#[test]
fn a_conflict_with_what_was_current_is_found() {
    for (expected, is_right) in [(10, true), (12, false)] {
        let (log, mut history) = register(json!({"v": 0}), 2);
        read(&mut history, (252, 255), 2);
        let details = json!({"expected_wal_offset": expected, "actual_wal_offset": 12});
        history.set((260, 270), REGISTER, 9, "w9", refused("CONFLICT", details));
        history.last().params["expected_wal_offset"] = json!(expected);
        let found = judge(&log, &history);
        assert_eq!(found.is_valid(), is_right, "{found}");
    }
}

#[test]
fn a_write_without_an_answer_explains_a_read_only_if_it_took_effect() {
    for took_effect in [true, false] {
        let (mut log, mut history) = register(json!({"v": 0}), 2);
        history.set((110, 120), REGISTER, 3, "w3", unknown());
        if took_effect {
            log.set(13, REGISTER, 3, "w3");
        }
        let seen = json!({"state": "on", "ctx": {"v": 3}, "last_wal_offset": 13});
        history.get((9000, 9100), REGISTER, RequestOutcome::Ok(seen));
        let found = judge(&log, &history);
        assert_eq!(found.is_valid(), took_effect, "{found}");
    }
}

#[test]
fn what_is_not_decided_in_time_is_neither_valid_nor_invalid() {
    // Thirty writes at once, each a compare-and-set of a value, only one of which the instance ever had.
    let mut log = Log::default();
    log.create(10, REGISTER, "register", "on", json!({"v": 0}));
    let mut history = History::of(Workload::Register);
    for n in 1..=40 {
        let tag = format!("w{n}");
        log.set(10 + n, REGISTER, n, &tag);
        let ack = RequestOutcome::Ok(log.ack(REGISTER, 10 + n));
        history.set((100, 200), REGISTER, n, &tag, ack);
    }
    // Values that are seen the other way round while all writes are under way, and one that never was.
    for n in 1..=40 {
        read(&mut history, (110 + n, 110 + n), 41 - n);
    }
    read(&mut history, (160, 160), 1);
    read(&mut history, (161, 161), 40);
    let found = judge(&log, &history);
    match &found.verdict {
        CheckVerdict::Unknown(_) => assert!(found.notes[0].contains("1 undecided"), "{found}"),
        other => panic!("decided after all: {other:?}"),
    }
}

/// An order that was created, paid too little, and not shipped.
fn order() -> (Log, History) {
    let id = "order-1";
    let mut log = Log::default();
    log.create(10, id, "order", "created", json!({"total_cents": 5}));
    log.event(11, id, ("PAY", "paid"), json!({"paid_cents": 4}), "m1");
    let mut history = History::of(Workload::Machine);
    let pay = json!({"instance_id": id, "event": "PAY", "payload": {"paid_cents": 4},
        "event_id": "m1"});
    history.push(
        (100, 150),
        "APPLY_EVENT",
        pay,
        RequestOutcome::Ok(log.ack(id, 11)),
    );
    (log, history)
}

#[test]
fn orders_follow_the_model() {
    let guard = || {
        refused(
            "GUARD_FAILED",
            json!({"current_state": "paid", "event": "SHIP"}),
        )
    };
    let invalid = || {
        refused(
            "INVALID_TRANSITION",
            json!({"current_state": "created", "event": "SHIP"}),
        )
    };
    let ship = json!({"instance_id": "order-1", "event": "SHIP", "payload": {"by": "m2"},
        "event_id": "m2"});
    let shipped = || {
        RequestOutcome::Ok(
            json!({"from_state": "paid", "to_state": "shipped", "wal_offset": 12,
            "ctx": {"total_cents": 5, "paid_cents": 4, "by": "m2"}, "applied": true}),
        )
    };
    for (when, outcome, is_right) in [
        ((160, 170), guard(), true),
        ((10, 20), invalid(), true),
        ((10, 20), guard(), false),
        ((160, 170), invalid(), false),
        ((160, 170), shipped(), false),
        ((160, 170), unknown(), true),
    ] {
        let (log, mut history) = order();
        history.push(when, "APPLY_EVENT", ship.clone(), outcome);
        let found = result(&history.entries, &log.truth(), "search", "machine");
        assert_eq!(found.is_valid(), is_right, "{found}");
    }
}
