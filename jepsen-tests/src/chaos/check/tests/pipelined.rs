//! The order of pipelines.

use super::fixtures::*;
use super::*;

/// Three writes, all sent before the first was answered, with the last two answers the other way round.
fn piped() -> (Log, History) {
    let (log, mut history) = register(json!({}), 3);
    for (at, entry) in (0..).zip(&mut history.entries) {
        (entry.begun, entry.ended, entry.pipeline) = (100 + at, 200 - at, 1);
    }
    (log, history)
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "pipelined", "register")
}

#[test]
fn a_pipeline_in_its_order_is_valid() {
    let (log, history) = piped();
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
}

#[test]
fn what_was_sent_first_and_took_effect_last_is_out_of_order_although_nobody_had_an_answer() {
    let (log, mut history) = piped();
    let first = history.entries[0].begun;
    history.entries[0].begun = history.entries[1].begun;
    history.entries[1].begun = first;
    let order = result(&history.entries, &log.truth(), "order", "register");
    assert_eq!(
        order.verdict,
        CheckVerdict::Valid,
        "linearizable all the same"
    );
    assert_finds(
        &judge(&log, &history),
        "out of order: what took effect at 11 was sent behind 12",
    );
}

#[test]
fn what_has_no_answer_says_nothing_of_the_order() {
    let (log, mut history) = piped();
    history.entries[0].begun = history.entries[1].begun + 1;
    history.entries[0].outcome = unknown();
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
}

#[test]
fn pipelines_of_one_are_no_test() {
    let (log, mut history) = piped();
    for (pipeline, entry) in (1..).zip(&mut history.entries) {
        entry.pipeline = pipeline;
    }
    assert!(matches!(
        judge(&log, &history).verdict,
        CheckVerdict::Unknown(_)
    ));
}
