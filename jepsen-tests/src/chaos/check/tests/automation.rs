//! Automation paused and resumed.

use super::fixtures::*;
use super::*;

/// Paused at 5, which was acknowledged at 20 µs, and resumed at 9, of which nobody was told; then one reads.
fn judge(word: &str, reason: &str, begun: u64) -> CheckerResult {
    let mut history = History::of(Workload::Automation);
    let set = json!({"set": "paused", "reason": "one"});
    let done = json!({"automation": "paused", "reason": "one", "wal_offset": 5});
    history.push((10, 20), "AUTOMATION", set, RequestOutcome::Ok(done));
    let seen = json!({"automation": word, "reason": reason});
    history.push(
        (begun, begun + 5),
        "AUTOMATION",
        json!({}),
        RequestOutcome::Ok(seen),
    );
    let mut truth = Log::default().truth();
    truth.automation = vec![(5, true, "one".to_owned()), (9, false, "two".to_owned())];
    result(&history.entries, &truth, "automation", "automation")
}

#[test]
fn what_the_log_gives_is_valid() {
    for (word, reason, begun) in [
        ("running", "", 1),
        ("paused", "one", 1),
        ("paused", "one", 30),
        ("running", "two", 30),
    ] {
        let found = judge(word, reason, begun);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    }
}

#[test]
fn what_was_not_so_any_more_or_never_is_found() {
    for (word, reason, begun) in [
        ("running", "", 30),
        ("paused", "two", 30),
        ("running", "one", 1),
    ] {
        assert_finds(&judge(word, reason, begun), "it shows what was not so");
    }
}

#[test]
fn an_acknowledgement_of_something_else_is_found() {
    let mut history = History::of(Workload::Automation);
    let set = json!({"set": "running", "reason": "one"});
    let done = json!({"automation": "running", "reason": "one", "wal_offset": 5});
    history.push((10, 20), "AUTOMATION", set, RequestOutcome::Ok(done));
    let mut truth = Log::default().truth();
    truth.automation = vec![(5, true, "one".to_owned())];
    let found = result(&history.entries, &truth, "automation", "automation");
    assert_finds(&found, "acknowledged at 5");
}
