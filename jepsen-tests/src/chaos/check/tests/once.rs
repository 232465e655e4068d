//! Exactly once.

use super::fixtures::*;
use super::*;

const ID: &str = "once-1";

/// One key, sent three times: without an answer, done, and replayed.
fn keyed() -> (Log, History) {
    let mut log = Log::default();
    log.create(10, ID, "counter", "on", json!({}));
    log.event(11, ID, ("SET", "on"), json!({"n": "k1"}), "k1");
    log.facts[1].key = Some("k1".to_owned());
    let mut history = History::of(Workload::Once);
    attempt(&mut history, (100, 150), unknown());
    attempt(
        &mut history,
        (200, 250),
        RequestOutcome::Ok(log.ack(ID, 11)),
    );
    let mut replayed = log.ack(ID, 11);
    replayed["applied"] = json!(false);
    attempt(&mut history, (300, 350), RequestOutcome::Ok(replayed));
    (log, history)
}

fn attempt(history: &mut History, when: (u64, u64), outcome: RequestOutcome) {
    let params = json!({"instance_id": ID, "event": "SET", "payload": {"n": "k1"},
        "event_id": "k1", "idempotency_key": "k1"});
    history.push(when, "APPLY_EVENT", params, outcome);
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "exactly once", "once")
}

#[test]
fn a_key_that_took_effect_once_is_valid_however_often_it_was_sent() {
    let (log, mut history) = keyed();
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    let found = result(&history.entries, &log.truth(), "order", "once");
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    // The first to be answered need not be the one that was told to be the first.
    history.entries.remove(1);
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
}

#[test]
fn a_double_effect_is_found() {
    let (mut log, history) = keyed();
    log.event(12, ID, ("SET", "on"), json!({"n": "k1"}), "k1");
    log.facts[2].key = Some("k1".to_owned());
    assert_finds(
        &judge(&log, &history),
        "took effect more than once, at [11, 12]",
    );
}

#[test]
fn a_double_effect_without_any_answer_is_found() {
    let (mut log, mut history) = keyed();
    log.event(12, ID, ("SET", "on"), json!({"n": "k1"}), "k1");
    log.facts[2].key = Some("k1".to_owned());
    for entry in &mut history.entries {
        entry.outcome = unknown();
    }
    assert_finds(&judge(&log, &history), "took effect more than once");
}

#[test]
fn answers_that_differ_are_found() {
    let (log, mut history) = keyed();
    let RequestOutcome::Ok(answer) = &mut history.entries[2].outcome else {
        panic!("replayed");
    };
    answer["wal_offset"] = json!(12);
    assert_finds(&judge(&log, &history), "answered in different ways");

    let (log, mut history) = keyed();
    let RequestOutcome::Ok(answer) = &mut history.entries[2].outcome else {
        panic!("replayed");
    };
    answer["applied"] = json!(true);
    assert_finds(
        &judge(&log, &history),
        "2 attempts of k1 were answered as the first",
    );
}

#[test]
fn an_acknowledged_key_that_is_missing_or_elsewhere_is_found() {
    let (mut log, history) = keyed();
    log.facts.pop();
    assert_finds(
        &judge(&log, &history),
        "k1 was acknowledged, but is not in the log",
    );

    let (mut log, history) = keyed();
    log.facts[1].offset = 13;
    assert_finds(&judge(&log, &history), "acknowledged at 11, but is at 13");
}

#[test]
fn without_an_answer_once_or_never_are_both_right_but_no_pass() {
    let (mut log, mut history) = keyed();
    history.entries.truncate(1);
    assert!(matches!(
        judge(&log, &history).verdict,
        CheckVerdict::Unknown(_)
    ));
    log.facts.pop();
    assert!(matches!(
        judge(&log, &history).verdict,
        CheckVerdict::Unknown(_)
    ));
}

/// Whose key was forgotten finds that the instance is there.
#[test]
fn a_creation_that_is_refused_for_what_it_did_itself_is_found() {
    let mut log = Log::default();
    log.create(10, ID, "counter", "on", json!({}));
    log.facts[0].key = Some("k1".to_owned());
    let mut history = History::of(Workload::Once);
    let params =
        json!({"instance_id": ID, "machine": "counter", "version": 1, "idempotency_key": "k1"});
    let op = "CREATE_INSTANCE";
    history.push((100, 150), op, params.clone(), unknown());
    let created = json!({"instance_id": ID, "state": "on", "wal_offset": 10});
    history.push((200, 250), op, params.clone(), RequestOutcome::Ok(created));
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
    let exists = refused("INSTANCE_EXISTS", json!({"instance_id": ID}));
    history.push((300, 350), op, params, exists);
    assert_finds(
        &judge(&log, &history),
        "k1 was refused because of its own earlier effect",
    );
}
