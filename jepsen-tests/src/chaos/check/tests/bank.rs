//! Transfers between accounts.

use super::fixtures::*;
use super::*;

const ACCOUNTS: [&str; 3] = ["acct-0", "acct-1", "acct-2"];

/// Three accounts, and transfers of 10 from 0 to 1 at offset 11, and from 1 to 2 at offset 12.
fn bank() -> (Log, History) {
    let mut log = Log::default();
    for id in ACCOUNTS {
        log.create(10, id, "account", "open", json!({"cents": 1000}));
    }
    let mut history = History::of(Workload::Bank);
    transfer(
        &mut log,
        &mut history,
        11,
        [("acct-0", 990, 10), ("acct-1", 1010, 10)],
    );
    transfer(
        &mut log,
        &mut history,
        12,
        [("acct-1", 1000, 11), ("acct-2", 1010, 10)],
    );
    (log, history)
}

fn transfer(log: &mut Log, history: &mut History, offset: u64, parts: [(&str, i64, u64); 2]) {
    let mut ops = Vec::new();
    let mut results = Vec::new();
    for (n, (id, cents, expected)) in parts.into_iter().enumerate() {
        let tag = format!("t{offset}.{n}");
        let payload = json!({"cents": cents});
        log.event(offset, id, ("SET", "open"), payload.clone(), &tag);
        ops.push(
            json!({"op": "APPLY_EVENT", "params": {"instance_id": id, "event": "SET",
            "payload": payload, "expected_wal_offset": expected, "event_id": tag}}),
        );
        results.push(json!({"status": "ok", "result": log.ack(id, offset)}));
    }
    let when = (offset * 10, offset * 10 + 5);
    let done = RequestOutcome::Ok(json!({"results": results}));
    history.push(when, "BATCH", json!({"mode": "atomic", "ops": ops}), done);
}

fn read(log: &Log, history: &mut History, when: (u64, u64), offsets: [u64; 3]) {
    let ops = ACCOUNTS.map(|id| json!({"op": "GET_INSTANCE", "params": {"instance_id": id}}));
    let results: Vec<Value> = ACCOUNTS
        .iter()
        .zip(offsets)
        .map(|(id, offset)| json!({"status": "ok", "result": log.read(id, offset)}))
        .collect();
    let params = json!({"mode": "atomic", "ops": ops});
    let done = RequestOutcome::Ok(json!({"results": results}));
    history.push(when, "BATCH", params, done);
}

fn judge(log: &Log, history: &History, checker: &str) -> CheckerResult {
    result(&history.entries, &log.truth(), checker, "bank")
}

#[test]
fn reads_of_one_moment_are_valid() {
    let (log, mut history) = bank();
    read(&log, &mut history, (1, 5), [10, 10, 10]);
    read(&log, &mut history, (116, 119), [11, 11, 10]);
    read(&log, &mut history, (130, 135), [11, 12, 12]);
    for checker in ["bank", "order"] {
        let found = judge(&log, &history, checker);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    }
}

#[test]
fn a_torn_read_is_found_even_if_the_sum_holds() {
    let (log, mut history) = bank();
    // Half of the first transfer and half of the second.
    read(&log, &mut history, (105, 135), [10, 12, 10]);
    let found = judge(&log, &history, "bank");
    assert_eq!(found.violations().len(), 2, "{found}");
    assert!(
        found.violations()[0]
            .message
            .contains("no single moment of the log")
    );
    assert_eq!(judge(&log, &history, "order").verdict, CheckVerdict::Valid);
}

#[test]
fn a_read_that_does_not_add_up_is_found() {
    let (log, mut history) = bank();
    read(&log, &mut history, (105, 135), [10, 11, 10]);
    let found = judge(&log, &history, "bank");
    assert!(
        found.violations()[0].message.contains("adds up to 3010"),
        "{found}"
    );
}

#[test]
fn a_stale_read_of_all_accounts_is_found() {
    let (log, mut history) = bank();
    read(&log, &mut history, (130, 135), [11, 11, 10]);
    let found = judge(&log, &history, "order");
    assert!(found.violations()[0].message.contains("stale"), "{found}");
}

#[test]
fn half_a_transfer_is_found() {
    let (mut log, mut history) = bank();
    read(&log, &mut history, (1, 5), [10, 10, 10]);
    log.facts.pop();
    let found = judge(&log, &history, "bank");
    let says = |part: &str| {
        found
            .violations()
            .iter()
            .any(|it| it.message.contains(part))
    };
    assert!(says("took effect in part, at [Some(12), None]"), "{found}");
    assert!(says("offset 12 changed the sum by -10"), "{found}");
}

#[test]
fn a_lost_update_of_an_account_is_found() {
    let (log, mut history) = bank();
    history.entries[1].params["ops"][0]["params"]["expected_wal_offset"] = json!(10);
    assert_finds(&judge(&log, &history, "order"), "only after offset 10");
}

#[test]
fn a_refused_transfer_shows_what_its_refused_part_saw() {
    let conflict = |actual: u64| {
        refused(
            "CONFLICT",
            json!({"expected_wal_offset": 9, "actual_wal_offset": actual, "index": 1}),
        )
    };
    for (actual, is_right) in [(12, true), (10, false)] {
        let (log, mut history) = bank();
        let mut again = history.entries[1].clone();
        (again.begun, again.ended, again.outcome) = (200, 210, conflict(actual));
        for part in [0, 1] {
            again.params["ops"][part]["params"]["event_id"] = json!(format!("t13.{part}"));
        }
        history.entries.push(again);
        let found = judge(&log, &history, "order");
        if is_right {
            assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
        } else {
            assert_finds(&found, "stale: it saw offset 10");
        }
    }
}

#[test]
fn transfers_without_a_read_are_no_pass() {
    let (log, history) = bank();
    let found = judge(&log, &history, "bank");
    assert!(matches!(found.verdict, CheckVerdict::Unknown(_)), "{found}");
}
