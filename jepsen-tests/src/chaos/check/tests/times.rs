//! The log's time.

use super::fixtures::*;
use super::*;
use crate::chaos::check::log::times::AHEAD_MS_MAX;

const ID: &str = "reg-1";
/// When the history began.
const BEGAN_MS: u64 = 1_700_000_000_000;

/// Three writes, each answered two seconds after the one before, and the log's time at each.
fn judge(times: [u64; 3]) -> CheckerResult {
    let mut log = Log::default();
    log.create(1, ID, "register", "on", json!({}));
    let mut history = History::of(Workload::Register);
    let mut in_log = Vec::new();
    for (n, time_ms) in (1..).zip(times) {
        let offset = 10 + n;
        log.set(offset, ID, n, &format!("w{n}"));
        let answer = RequestOutcome::Ok(json!({"wal_offset": offset}));
        let params = json!({"instance_id": ID, "event": "SET", "event_id": format!("w{n}")});
        let told_us = n * 2_000_000;
        history.push((told_us - 10, told_us), "APPLY_EVENT", params, answer);
        in_log.push((offset, time_ms));
    }
    let mut truth = log.truth();
    truth.times = in_log;
    log_time(&history.entries, &truth, BEGAN_MS)
}

#[test]
fn a_time_within_the_bound_or_behind_is_valid() {
    for ahead_ms in [0, AHEAD_MS_MAX] {
        let times = [2_000, 4_000, 6_000].map(|ms| BEGAN_MS + ms + ahead_ms);
        let found = judge(times);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    }
    let behind = judge([BEGAN_MS - 50_000, BEGAN_MS - 49_000, BEGAN_MS]);
    assert_eq!(behind.verdict, CheckVerdict::Valid, "{behind}");
}

#[test]
fn a_time_that_is_too_far_ahead_is_found() {
    let right = BEGAN_MS + 2_000;
    let jumped = BEGAN_MS + 4_000 + AHEAD_MS_MAX + 1;
    // The last answer comes two seconds later, and the log stands at the jump.
    let found = judge([right, jumped, jumped]);
    assert_eq!(found.violations().len(), 1, "{found}");
    let message = &found.violations()[0].message;
    assert!(message.contains("at 12 is 11001 ms ahead"), "{message}");
}

#[test]
fn a_time_that_goes_back_is_found() {
    let found = judge([BEGAN_MS + 2_000, BEGAN_MS + 4_000, BEGAN_MS + 3_999]);
    assert_eq!(found.violations().len(), 1, "{found}");
}

#[test]
fn a_log_whose_times_no_answer_names_is_no_pass() {
    let found = log_time(&[], &Truth::default(), BEGAN_MS);
    assert!(matches!(found.verdict, CheckVerdict::Unknown(_)), "{found}");
}
