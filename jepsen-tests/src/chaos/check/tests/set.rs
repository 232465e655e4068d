//! Listings of items.

use super::fixtures::*;
use super::*;

/// `a` from 10 on, `b` from 11 to 13, `c` from 12 on; each written at ten times its offset, for 5.
fn items() -> (Log, History) {
    let mut log = Log::default();
    let mut history = History::of(Workload::Set);
    for (offset, id) in [(10, "item-a"), (11, "item-b"), (12, "item-c")] {
        log.create(offset, id, "item", "in", json!({}));
        let params = json!({"instance_id": id, "machine": "item", "version": 1});
        let created = json!({"instance_id": id, "state": "in", "wal_offset": offset});
        let when = (offset * 10, offset * 10 + 5);
        history.push(when, "CREATE_INSTANCE", params, RequestOutcome::Ok(created));
    }
    log.delete(13, "item-b");
    let deleted = json!({"instance_id": "item-b", "deleted": true, "wal_offset": 13});
    let params = json!({"instance_id": "item-b"});
    history.push(
        (130, 135),
        "DELETE_INSTANCE",
        params,
        RequestOutcome::Ok(deleted),
    );
    (log, history)
}

fn list(history: &mut History, when: (u64, u64), listed: &[(&str, u64)]) {
    let instances: Vec<Value> = listed
        .iter()
        .map(|(id, offset)| {
            json!({"id": format!("item-{id}"), "machine": "item", "version": 1, "state": "in",
                "last_wal_offset": offset})
        })
        .collect();
    let result = json!({"instances": instances, "total": listed.len(), "has_more": false});
    let params = json!({"machine": "item", "limit": 1000});
    history.push(when, "LIST_INSTANCES", params, RequestOutcome::Ok(result));
}

fn judge(log: &Log, history: &History) -> CheckerResult {
    result(&history.entries, &log.truth(), "set", "set")
}

#[test]
fn pages_of_one_moment_are_valid() {
    for (when, listed) in [
        ((1, 5), &[][..]),
        ((106, 109), &[("a", 10)]),
        ((112, 113), &[("a", 10)]),
        ((112, 113), &[("a", 10), ("b", 11)]),
        ((126, 129), &[("a", 10), ("b", 11), ("c", 12)]),
        ((140, 150), &[("a", 10), ("c", 12)]),
        // Anything from the beginning to the end.
        ((1, 500), &[("a", 10)]),
        ((1, 500), &[("a", 10), ("c", 12)]),
    ] {
        let (log, mut history) = items();
        list(&mut history, when, listed);
        let found = judge(&log, &history);
        assert_eq!(
            found.verdict,
            CheckVerdict::Valid,
            "{when:?} {listed:?} {found}"
        );
    }
}

#[test]
fn pages_that_were_never_so_are_found() {
    for (when, listed, problem) in [
        // Lost.
        ((140, 150), &[("c", 12)][..], "item-a: it is missing"),
        ((140, 150), &[("a", 10)], "item-c: it is missing"),
        (
            (126, 129),
            &[("a", 10), ("c", 12)],
            "from the future: it shows offset 13",
        ),
        // Back from the dead.
        (
            (140, 150),
            &[("a", 10), ("b", 11), ("c", 12)],
            "item-b: it lists a version that offset 13 had replaced",
        ),
        // Not yet created.
        (
            (106, 109),
            &[("a", 10), ("b", 11)],
            "from the future: it shows offset 11",
        ),
        // Never like that, at any time.
        (
            (1, 500),
            &[("a", 10), ("b", 12)],
            "item-b: it lists it at offset 12",
        ),
        ((1, 500), &[("b", 11)], "item-a: it is missing"),
        (
            (1, 500),
            &[("a", 10), ("a", 10)],
            "it lists \"item-a\" after",
        ),
    ] {
        let (log, mut history) = items();
        list(&mut history, when, listed);
        assert_finds(&judge(&log, &history), problem);
    }
}

#[test]
fn a_torn_page_is_found() {
    let (mut log, mut history) = items();
    log.create(14, "item-d", "item", "in", json!({}));
    let params = json!({"instance_id": "item-d", "machine": "item", "version": 1});
    let created = json!({"instance_id": "item-d", "state": "in", "wal_offset": 14});
    history.push(
        (136, 145),
        "CREATE_INSTANCE",
        params,
        RequestOutcome::Ok(created),
    );
    // With the deleted one and the later one together.
    list(
        &mut history,
        (1, 500),
        &[("a", 10), ("b", 11), ("c", 12), ("d", 14)],
    );
    assert_finds(&judge(&log, &history), "that offset 13 had replaced");
}

#[test]
fn a_number_that_was_never_so_is_found() {
    for (when, listed, total) in [
        ((140, 150), &[("a", 10), ("c", 12)][..], 3),
        ((140, 150), &[("a", 10), ("c", 12)], 1),
        // There were three, but not while the page was as it is.
        ((1, 500), &[("a", 10), ("b", 11)], 3),
        ((1, 5), &[], 1),
    ] {
        let (log, mut history) = items();
        list(&mut history, when, listed);
        let RequestOutcome::Ok(result) = &mut history.last().outcome else {
            panic!("listed");
        };
        result["total"] = json!(total);
        let problem = format!("it gives a total of {total}");
        assert_finds(&judge(&log, &history), &problem);
    }
}

#[test]
fn the_number_of_all_says_when_a_page_was() {
    // Before `c` was created, or after `b` was deleted.
    for (total, problem) in [(2, None), (3, Some("from the future: it shows offset 12"))] {
        let (log, mut history) = items();
        list(&mut history, (112, 113), &[("a", 10)]);
        let RequestOutcome::Ok(result) = &mut history.last().outcome else {
            panic!("listed");
        };
        result["has_more"] = json!(true);
        result["total"] = json!(total);
        let found = judge(&log, &history);
        match problem {
            None => assert_eq!(found.verdict, CheckVerdict::Valid, "{found}"),
            Some(problem) => assert_finds(&found, problem),
        }
    }
}

#[test]
fn a_page_is_not_older_than_another_that_was_seen() {
    let (log, mut history) = items();
    // The last creation has not been answered for long.
    history.entries[2].ended = 900;
    history.entries.remove(3);
    list(&mut history, (300, 310), &[("a", 10), ("b", 11), ("c", 12)]);
    list(&mut history, (320, 330), &[("a", 10), ("b", 11)]);
    assert_finds(&judge(&log, &history), "item-c: it is missing");
}

#[test]
fn a_page_says_nothing_of_what_is_outside_of_it() {
    let (log, mut history) = items();
    list(&mut history, (140, 150), &[("a", 10)]);
    let RequestOutcome::Ok(result) = &mut history.last().outcome else {
        panic!("listed");
    };
    result["has_more"] = json!(true);
    result["total"] = json!(2);
    list(&mut history, (160, 170), &[("c", 12)]);
    history.last().params["after"] = json!("item-a");
    let RequestOutcome::Ok(result) = &mut history.last().outcome else {
        panic!("listed");
    };
    result["total"] = json!(2);
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
}

#[test]
fn a_deletion_without_an_answer_may_come_at_any_time() {
    let (log, mut history) = items();
    history.entries[3].outcome = unknown();
    list(&mut history, (300, 310), &[("a", 10), ("b", 11), ("c", 12)]);
    list(&mut history, (320, 330), &[("a", 10), ("c", 12)]);
    let found = judge(&log, &history);
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    list(&mut history, (340, 350), &[("a", 10), ("b", 11), ("c", 12)]);
    assert_finds(&judge(&log, &history), "that offset 13 had replaced");
}

/// What came and went between may be just to come, or gone: the number of all tells.
#[test]
fn a_page_may_be_from_before_or_after_what_it_leaves_out() {
    for (total, is_valid) in [(1, false), (2, true), (3, true), (4, false)] {
        let mut log = Log::default();
        for (offset, id) in [(10, "item-a"), (20, "item-x"), (30, "item-t")] {
            log.create(offset, id, "item", "in", json!({}));
        }
        log.delete(40, "item-t");
        log.create(50, "item-b", "item", "in", json!({}));
        let mut history = History::of(Workload::Set);
        list(&mut history, (1, 900), &[("x", 20)]);
        history.last().params["after"] = json!("item-m");
        let RequestOutcome::Ok(result) = &mut history.last().outcome else {
            panic!("listed");
        };
        result["total"] = json!(total);
        let found = judge(&log, &history);
        match is_valid {
            true => assert_eq!(found.verdict, CheckVerdict::Valid, "{total}: {found}"),
            false => assert_finds(&found, "but the log never had that total"),
        }
    }
}
