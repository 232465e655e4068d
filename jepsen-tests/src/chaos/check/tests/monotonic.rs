//! Local reads.

use super::fixtures::*;
use super::*;

const ID: &str = "reg-1";

fn register() -> (Log, History) {
    let mut log = Log::default();
    log.create(10, ID, "register", "on", json!({}));
    for n in 1..=3 {
        log.set(10 + n, ID, n, &format!("w{n}"));
    }
    (log, History::of(Workload::Monotonic))
}

fn read(log: &Log, history: &mut History, at: u64, asked: u64, offset: u64) {
    let params = json!({"instance_id": ID, "consistency": "local", "min_wal_offset": asked});
    let found = RequestOutcome::Ok(log.read(ID, offset));
    history.push((at, at + 5), "GET_INSTANCE", params, found);
    history.last().client = 7;
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "monotonic", "monotonic")
}

#[test]
fn reads_that_do_not_go_back_are_valid() {
    let (log, mut history) = register();
    for (at, asked, offset) in [(10, 0, 10), (20, 11, 11), (30, 11, 13), (40, 99, 13)] {
        read(&log, &mut history, at, asked, offset);
    }
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    // Another client may be behind.
    read(&log, &mut history, 50, 0, 10);
    history.last().client = 8;
    assert_eq!(judge(&log, &history).verdict, CheckVerdict::Valid);
}

#[test]
fn going_back_is_found() {
    let (log, mut history) = register();
    read(&log, &mut history, 10, 0, 13);
    read(&log, &mut history, 20, 0, 12);
    assert_finds(&judge(&log, &history), "the client saw offset 12 after 13");
}

#[test]
fn missing_what_was_asked_for_is_found() {
    let (log, mut history) = register();
    read(&log, &mut history, 10, 12, 11);
    assert_finds(
        &judge(&log, &history),
        "it shows offset 11, but the client asked for 12 or later",
    );

    let (log, mut history) = register();
    let params = json!({"instance_id": ID, "min_wal_offset": 10});
    let gone = refused("INSTANCE_NOT_FOUND", json!({"instance_id": ID}));
    history.push((10, 20), "GET_INSTANCE", params, gone);
    let found = judge(&log, &history);
    assert_finds(&found, "not found, although it existed at 10");
}

#[test]
fn a_value_that_was_never_there_is_found() {
    let (log, mut history) = register();
    read(&log, &mut history, 10, 0, 11);
    let RequestOutcome::Ok(result) = &mut history.last().outcome else {
        panic!("read");
    };
    result["ctx"]["v"] = json!(9);
    assert_finds(&judge(&log, &history), "says something else than the log");
}
