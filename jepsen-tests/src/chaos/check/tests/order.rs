//! The order of single instances.

use super::fixtures::*;
use super::*;

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "order", "register")
}

fn read(log: &Log, history: &mut History, when: (u64, u64), offset: u64) {
    let found = RequestOutcome::Ok(log.read(REGISTER, offset));
    history.get(when, REGISTER, found);
}

#[test]
fn reads_of_what_was_there_are_valid() {
    let (log, mut history) = register(json!({}), 3);
    for (when, offset) in [
        ((10, 20), 10),
        ((160, 170), 11),
        // While the second was under way, either may be seen.
        ((210, 240), 11),
        ((211, 239), 12),
        ((260, 310), 13),
        ((360, 370), 13),
    ] {
        read(&log, &mut history, when, offset);
    }
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    assert_eq!(found.operations, 9);
}

#[test]
fn a_read_behind_an_acknowledged_write_is_stale() {
    let (log, mut history) = register(json!({}), 3);
    read(&log, &mut history, (260, 280), 11);
    let found = judge(&log, &history);
    assert_finds(
        &found,
        "stale: it saw offset 11, although 12 was acknowledged",
    );
    assert_eq!(found.violations()[0].window.entries.len(), 2);
}

#[test]
fn a_read_behind_another_read_is_stale_although_the_write_is_under_way() {
    let (log, mut history) = register(json!({}), 3);
    read(&log, &mut history, (205, 210), 12);
    read(&log, &mut history, (220, 230), 11);
    assert_finds(&judge(&log, &history), "although another had seen 12");
}

#[test]
fn a_read_of_a_write_that_was_not_sent_yet_is_from_the_future() {
    let (log, mut history) = register(json!({}), 3);
    read(&log, &mut history, (160, 190), 12);
    assert_finds(
        &judge(&log, &history),
        "from the future: 12 was seen before",
    );
}

#[test]
fn writes_in_another_order_than_they_were_made_are_out_of_order() {
    let (log, mut history) = register(json!({}), 3);
    let (one, two) = (history.entries[0].begun, history.entries[1].begun);
    (history.entries[0].begun, history.entries[0].ended) = (two, two + 50);
    (history.entries[1].begun, history.entries[1].ended) = (one, one + 50);
    assert_finds(
        &judge(&log, &history),
        "out of order: offset 11 was sent after 12",
    );
}

#[test]
fn an_acknowledged_write_that_the_log_lacks_is_lost() {
    let (mut log, history) = register(json!({}), 3);
    log.facts.pop();
    assert_finds(
        &judge(&log, &history),
        "acknowledged at offset 13, but not in the log",
    );
}

#[test]
fn an_acknowledgement_of_another_offset_or_content_is_wrong() {
    let (log, mut history) = register(json!({}), 3);
    let RequestOutcome::Ok(result) = &mut history.entries[1].outcome else {
        panic!("acknowledged");
    };
    result["wal_offset"] = json!(14);
    assert_finds(
        &judge(&log, &history),
        "acknowledged at offset 14, but it is at 12",
    );

    let (log, mut history) = register(json!({}), 3);
    let RequestOutcome::Ok(result) = &mut history.entries[1].outcome else {
        panic!("acknowledged");
    };
    result["ctx"]["v"] = json!(7);
    assert_finds(&judge(&log, &history), "says something else than the log");
}

#[test]
fn a_read_of_a_value_that_its_version_never_had_is_wrong() {
    let (log, mut history) = register(json!({}), 3);
    let mut wrong = log.read(REGISTER, 12);
    wrong["ctx"]["v"] = json!(3);
    history.get((260, 270), REGISTER, RequestOutcome::Ok(wrong));
    assert_finds(
        &judge(&log, &history),
        "a read of offset 12 says something else",
    );

    let (log, mut history) = register(json!({}), 3);
    let mut wrong = log.read(REGISTER, 12);
    wrong["last_wal_offset"] = json!(99);
    history.get((260, 270), REGISTER, RequestOutcome::Ok(wrong));
    assert_finds(&judge(&log, &history), "which did not change the instance");
}

#[test]
fn a_write_without_an_answer_may_take_effect_at_any_time_or_never() {
    for offset in [None, Some(12), Some(14)] {
        let (mut log, mut history) = register(json!({}), 3);
        log.facts.pop();
        log.facts.pop();
        history.entries.truncate(1);
        history.set((110, 120), REGISTER, 2, "w2", unknown());
        if let Some(offset) = offset {
            log.set(12, REGISTER, 3, "w3");
            log.facts.retain(|fact| fact.offset != offset);
            log.set(offset, REGISTER, 2, "w2");
            log.facts.sort_by_key(|fact| fact.offset);
            read(&log, &mut history, (9000, 9100), offset);
            if offset == 14 {
                let ack = RequestOutcome::Ok(log.ack(REGISTER, 12));
                history.set((8000, 8100), REGISTER, 3, "w3", ack);
            }
        }
        let found = judge(&log, &history);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{offset:?} {found}");
    }
}

#[test]
fn a_write_without_an_answer_cannot_take_effect_before_it_was_sent() {
    let (log, mut history) = register(json!({}), 3);
    history.entries[1].outcome = unknown();
    history.entries[1].begun = 1000;
    history.entries[1].ended = 1100;
    assert_finds(
        &judge(&log, &history),
        "out of order: offset 12 was sent after 13",
    );
}

#[test]
fn what_nobody_asked_for_or_was_refused_must_not_be_there() {
    let (log, mut history) = register(json!({}), 3);
    history.entries.remove(1);
    assert_finds(&judge(&log, &history), "no client asked for it");

    let (log, mut history) = register(json!({}), 3);
    history.entries[1].outcome = refused("NO_LEADER", json!({}));
    assert_finds(&judge(&log, &history), "a refused request took effect");
}

#[test]
fn an_event_that_took_effect_twice_is_found() {
    let (mut log, history) = register(json!({}), 3);
    log.set(14, REGISTER, 3, "w3");
    let found = judge(&log, &history);
    let twice = |violation: &Violation| violation.message.contains("w3 took effect twice");
    assert!(found.violations().iter().any(twice), "{found}");
}

#[test]
fn a_lost_update_is_found() {
    let (log, mut history) = register(json!({}), 3);
    history.entries[1].params["expected_wal_offset"] = json!(11);
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    // Two that both expect the first.
    history.entries[2].params["expected_wal_offset"] = json!(11);
    assert_finds(
        &judge(&log, &history),
        "only after offset 11, but came after Some(12)",
    );
}

#[test]
fn a_conflict_must_name_what_was_current() {
    let conflict = |expected: u64, actual: u64| {
        let details = json!({"expected_wal_offset": expected, "actual_wal_offset": actual});
        refused("CONFLICT", details)
    };
    for (outcome, problem) in [
        (conflict(10, 12), None),
        (conflict(10, 11), Some("stale: it saw offset 11")),
        (conflict(10, 13), Some("from the future: 13")),
        (
            conflict(12, 12),
            Some("although the offset was the expected one"),
        ),
    ] {
        let (log, mut history) = register(json!({}), 3);
        history.set((260, 270), REGISTER, 9, "w9", outcome);
        history.last().params["expected_wal_offset"] = json!(10);
        let found = judge(&log, &history);
        match problem {
            None => assert_eq!(found.verdict, CheckVerdict::Valid, "{found}"),
            Some(problem) => assert_finds(&found, problem),
        }
    }
}

#[test]
fn a_lease_read_is_judged_like_any_and_reported_on_its_own() {
    let (log, mut history) = register(json!({}), 3);
    read(&log, &mut history, (260, 280), 12);
    history.last().workload = Workload::Lease;
    read(&log, &mut history, (290, 295), 11);
    history.last().workload = Workload::Lease;
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    let found = result(&history.entries, &log.truth(), "order", "lease");
    assert_finds(&found, "stale: it saw offset 11");
}

#[test]
fn a_local_read_may_be_behind_but_others_must_see_what_it_saw() {
    let (log, mut history) = register(json!({}), 3);
    read(&log, &mut history, (960, 970), 11);
    history.last().workload = Workload::Monotonic;
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    read(&log, &mut history, (205, 210), 12);
    history.last().workload = Workload::Monotonic;
    read(&log, &mut history, (220, 230), 11);
    assert_finds(&judge(&log, &history), "stale: it saw offset 11");
}

#[test]
fn a_run_without_a_done_operation_is_no_pass() {
    let mut history = History::of(Workload::Register);
    history.get((1, 2), REGISTER, unknown());
    let found = judge(&Log::default(), &history);
    assert!(matches!(found.verdict, CheckVerdict::Unknown(_)), "{found}");
}

/// An order that is created at 10 and cancelled at 11.
fn order() -> (Log, History) {
    let mut log = Log::default();
    log.create(10, "order-1", "order", "created", json!({"total_cents": 5}));
    let by = json!({"by": "m1"});
    log.event(11, "order-1", ("CANCEL", "cancelled"), by.clone(), "m1");
    let mut history = History::of(Workload::Machine);
    let params =
        json!({"instance_id": "order-1", "event": "CANCEL", "payload": by, "event_id": "m1"});
    let ack = RequestOutcome::Ok(log.ack("order-1", 11));
    history.push((100, 150), "APPLY_EVENT", params, ack);
    (log, history)
}

fn refuse(history: &mut History, when: (u64, u64), event: &str, outcome: RequestOutcome) {
    let params = json!({"instance_id": "order-1", "event": event, "payload": {"by": "m2"},
        "event_id": "m2"});
    history.push(when, "APPLY_EVENT", params, outcome);
}

#[test]
fn a_refusal_must_be_explained_by_what_was_current() {
    let invalid = |state: &str| {
        refused(
            "INVALID_TRANSITION",
            json!({"current_state": state, "event": "SHIP"}),
        )
    };
    for (when, state, is_right) in [
        ((10, 20), "created", true),
        ((110, 120), "created", true),
        ((110, 120), "cancelled", true),
        ((160, 170), "cancelled", true),
        ((160, 170), "created", false),
        ((10, 20), "cancelled", false),
        ((160, 170), "paid", false),
    ] {
        let (log, mut history) = order();
        refuse(&mut history, when, "SHIP", invalid(state));
        let found = result(&history.entries, &log.truth(), "order", "machine");
        if is_right {
            assert_eq!(
                found.verdict,
                CheckVerdict::Valid,
                "{when:?} {state} {found}"
            );
        } else {
            assert_finds(
                &found,
                "no version that was current meanwhile explains the refusal",
            );
        }
    }
}

#[test]
fn a_refusal_of_what_the_model_allows_is_wrong() {
    let (log, mut history) = order();
    let details = json!({"current_state": "cancelled", "event": "REOPEN"});
    let outcome = refused("INVALID_TRANSITION", details);
    refuse(&mut history, (160, 170), "REOPEN", outcome);
    let found = result(&history.entries, &log.truth(), "order", "machine");
    assert_finds(
        &found,
        "no version that was current meanwhile explains the refusal",
    );
}

#[test]
fn a_refusal_is_an_observation_that_binds_later_reads() {
    let (log, mut history) = order();
    history.entries[0].ended = 900;
    let details = json!({"current_state": "cancelled", "event": "SHIP"});
    let outcome = refused("INVALID_TRANSITION", details);
    refuse(&mut history, (200, 210), "SHIP", outcome);
    let old = RequestOutcome::Ok(log.read("order-1", 10));
    history.get((300, 310), "order-1", old);
    let found = result(&history.entries, &log.truth(), "order", "machine");
    assert_finds(&found, "stale: it saw offset 10");
}

#[test]
fn what_the_model_forbids_is_found_in_the_log() {
    let (mut log, mut history) = order();
    let by = json!({"by": "m2"});
    log.event(12, "order-1", ("SHIP", "shipped"), by, "m2");
    refuse(&mut history, (200, 210), "SHIP", unknown());
    let found = result(&history.entries, &log.truth(), "order", "machine");
    assert_finds(&found, "in spite of InvalidTransition");

    let (mut log, history) = order();
    log.facts[1].ctx["more"] = json!(1);
    let mut history = history;
    history.entries[0].outcome = unknown();
    let found = result(&history.entries, &log.truth(), "order", "machine");
    assert!(found.violations()[0].message.contains("context"), "{found}");
}

#[test]
fn a_deleted_instance_is_gone_and_stays_gone() {
    let id = "item-1-1";
    let build = |when: (u64, u64), outcome: fn(&Log) -> RequestOutcome| {
        let mut log = Log::default();
        log.create(10, id, "item", "in", json!({}));
        let old = outcome(&log);
        log.delete(12, id);
        let mut history = History::of(Workload::Set);
        let create = json!({"instance_id": id, "machine": "item", "version": 1});
        let created = json!({"instance_id": id, "state": "in", "wal_offset": 10});
        history.push(
            (10, 20),
            "CREATE_INSTANCE",
            create,
            RequestOutcome::Ok(created),
        );
        let deleted = json!({"instance_id": id, "deleted": true, "wal_offset": 12});
        let params = json!({"instance_id": id});
        history.push(
            (100, 150),
            "DELETE_INSTANCE",
            params,
            RequestOutcome::Ok(deleted),
        );
        history.get(when, id, old);
        result(&history.entries, &log.truth(), "order", "set")
    };
    let there = |log: &Log| RequestOutcome::Ok(log.read("item-1-1", 10));
    let gone = |_: &Log| refused("INSTANCE_NOT_FOUND", json!({"instance_id": "item-1-1"}));
    for (when, outcome, is_right) in [
        ((1, 5), gone as fn(&Log) -> RequestOutcome, true),
        ((50, 60), there, true),
        ((110, 120), there, true),
        ((110, 120), gone, true),
        ((200, 210), gone, true),
        ((200, 210), there, false),
        ((50, 60), gone, false),
    ] {
        let found = build(when, outcome);
        if is_right {
            assert_eq!(found.verdict, CheckVerdict::Valid, "{when:?} {found}");
        } else {
            assert_eq!(found.violations().len(), 1, "{when:?} {found}");
        }
    }
}
