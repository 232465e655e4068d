//! Refusals for the feature level.

use super::fixtures::*;
use super::*;

/// A write acknowledged at 11, one refused for the level, one acknowledged at 13; the level was raised at 12 where
/// `raised` says so.
fn judge(raised: bool, refused_at: u64) -> Vec<CheckerResult> {
    let (log, mut history) = register(json!({"v": 0}), 3);
    let params = json!({"instance_id": REGISTER, "event": "SET", "reason": "why", "event_id": "x"});
    let details = json!({"needed": 2, "current": 1});
    let outcome = refused("FEATURE_LEVEL", details);
    history.push(
        (refused_at, refused_at + 10),
        "APPLY_EVENT",
        params,
        outcome,
    );
    let mut truth = log.truth();
    truth.levels = if raised { vec![(12, 2)] } else { Vec::new() };
    let results = check(&history.entries, &truth);
    results
        .into_iter()
        .filter(|result| result.checker == LEVEL)
        .collect()
}

#[test]
fn a_refusal_before_the_level_was_raised_is_valid() {
    for at in [10, 160, 240] {
        let found = judge(true, at);
        assert_eq!(found[0].verdict, CheckVerdict::Valid, "{found:?}");
    }
}

#[test]
fn a_refusal_after_it_is_found() {
    assert_finds(
        &judge(true, 260)[0],
        "although an answer has named an offset",
    );
    assert_finds(&judge(false, 10)[0], "which was never raised");
}

#[test]
fn a_cluster_that_begins_at_its_level_has_no_such_check() {
    let (log, history) = register(json!({"v": 0}), 2);
    let mut truth = log.truth();
    truth.levels = vec![(1, 2)];
    let results = check(&history.entries, &truth);
    assert!(results.iter().all(|result| result.checker != LEVEL));
}
