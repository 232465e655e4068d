//! Idempotency keys of TIMER_SET: a retry moves no timer a second time.

use rstmdb_engine::command::{BatchOp, SetTimers};
use rstmdb_engine::fact::{Body, Fence, Meta};
use rstmdb_engine::reply::Trial;
use rstmdb_engine::{
    Command, DecideAt, Decision, DryRun, Entry, EntryOutcome, Limits, PendingEntries, Refusal,
    Reply, State, decide, prepare,
};

use crate::common::{apply, bytes, create, decided, delete, put, reload, run};

const MACHINE: &str = r#"{"format":2,"initial":"waiting","states":[
 {"name":"waiting","timers":[{"event":"EXPIRE","after":"30m"},{"event":"REMIND","after":"10m"}]},
 {"name":"over","final":true}],
 "transitions":[
 {"from":"waiting","event":"NOTE","to":"waiting"},
 {"from":"waiting","event":"REMIND","to":"waiting"},
 {"from":"waiting","event":"EXPIRE","to":"over"}]}"#;

const MIN: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

fn started() -> State {
    let mut state = State::new();
    let limits = Limits::default();
    run(&mut state, &Command::SetLevel { level: 2 }, START, &limits).unwrap();
    run(&mut state, &put("order", 1, MACHINE), START, &limits).unwrap();
    run(&mut state, &create("i", None, None), START, &limits).unwrap();
    state
}

fn set(timers: &str, key: Option<&str>) -> SetTimers {
    SetTimers {
        instance_id: "i".to_owned(),
        timers: Some(bytes(timers)),
        idempotency_key: key.map(str::to_owned),
        ..SetTimers::default()
    }
}

fn keyed(timers: &str) -> Command {
    Command::SetTimers(set(timers, Some("k")))
}

fn after(name: &str, span: &str) -> String {
    format!(r#"{{"{name}":{{"after":"{span}"}}}}"#)
}

fn at(state: &mut State, command: &Command, now_ms: u64) -> (Option<Entry>, Reply) {
    let done = run(state, command, now_ms, &Limits::default()).unwrap();
    assert_eq!(state.digest(), state.recompute_digest());
    assert_eq!(state.check_invariants(), Ok(()));
    done
}

/// The answer: whether this call has changed something, the offset, and in how many minutes each timer is due.
fn told(reply: &Reply, now_ms: u64) -> (bool, Option<u64>, Vec<(String, u64)>) {
    let Reply::TimersSet {
        timers,
        applied,
        wal_offset,
        ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    let timers = timers.iter();
    let timers = timers.map(|timer| (timer.name.to_string(), (timer.due_ms - now_ms) / MIN));
    (*applied, *wal_offset, timers.collect())
}

fn named(timers: &[(&str, u64)]) -> Vec<(String, u64)> {
    let timers = timers.iter();
    timers
        .map(|(name, left)| ((*name).to_owned(), *left))
        .collect()
}

#[test]
fn a_retry_moves_nothing_and_gets_the_first_offset_with_the_timers_of_now() {
    let mut state = started();
    let command = keyed(&after("EXPIRE", "1h"));
    let (entry, reply) = at(&mut state, &command, START);
    let first = entry.unwrap().index;
    let moved = named(&[("EXPIRE", 60), ("REMIND", 10)]);
    assert_eq!(told(&reply, START), (true, Some(first), moved));
    let other = Command::SetTimers(set(&after("EXPIRE", "2h"), None));
    at(&mut state, &other, START + MIN);
    // Any replica answers so, also one that was loaded from a snapshot.
    for mut state in [state.clone(), reload(&state)] {
        let (entry, reply) = at(&mut state, &command, START + 5 * MIN);
        assert_eq!(entry, None);
        let now = named(&[("EXPIRE", 120), ("REMIND", 9)]);
        assert_eq!(told(&reply, START + MIN), (false, Some(first), now));
        // Also when the state has been left.
        at(&mut state, &apply("i", "EXPIRE", None, None), START);
        let (entry, reply) = at(&mut state, &command, START);
        assert_eq!(entry, None);
        assert_eq!(told(&reply, START), (false, Some(first), Vec::new()));
    }
}

#[test]
fn parameters_are_compared_by_value_and_others_are_a_conflict() {
    let mut state = started();
    let first = SetTimers {
        expected_state: Some("waiting".to_owned()),
        expected_wal_offset: Some(3),
        ..set(
            r#"{"EXPIRE":{"after":"1h"},"REMIND":{"at":1800000000000}}"#,
            Some("k"),
        )
    };
    at(&mut state, &Command::SetTimers(first.clone()), START);
    let same = SetTimers {
        timers: Some(bytes(
            r#" { "REMIND": {"at": 1800000000000}, "EXPIRE": {"after":"1h"} } "#,
        )),
        ..first.clone()
    };
    let (entry, _) = at(&mut state, &Command::SetTimers(same), START);
    assert_eq!(entry, None);
    let others = [
        set(&after("EXPIRE", "1h"), Some("k")),
        SetTimers {
            timers: None,
            ..first.clone()
        },
        SetTimers {
            resume: true,
            ..first.clone()
        },
        SetTimers {
            expected_state: None,
            ..first.clone()
        },
        SetTimers {
            expected_wal_offset: Some(4),
            ..first
        },
    ];
    for other in others {
        let command = Command::SetTimers(other);
        let refused = run(&mut state, &command, START, &Limits::default()).unwrap_err();
        let expected = Refusal::KeyConflict {
            idempotency_key: "k".to_owned(),
            actual_wal_offset: 4,
        };
        assert_eq!(refused, expected);
    }
}

#[test]
fn what_changes_nothing_and_what_is_refused_leaves_no_key() {
    let mut state = started();
    at(
        &mut state,
        &Command::SetTimers(set(r#"{"EXPIRE":null,"REMIND":null}"#, None)),
        START,
    );
    let nothing = keyed(r#"{"EXPIRE":null}"#);
    let (entry, reply) = at(&mut state, &nothing, START);
    assert_eq!(entry, None);
    assert_eq!(told(&reply, START), (false, None, Vec::new()));
    let refused = keyed(r#"{"OTHER":null}"#);
    assert!(run(&mut state, &refused, START, &Limits::default()).is_err());
    assert_eq!(state.key_count(), 0);
    let (entry, _) = at(&mut state, &keyed(&after("REMIND", "1h")), START);
    assert!(entry.is_some(), "the key is free");
}

#[test]
fn a_key_belongs_to_the_operation_and_to_one_life_of_the_instance() {
    let mut state = started();
    let command = keyed(&after("EXPIRE", "1h"));
    let note = apply("i", "NOTE", None, Some("k"));
    for life in 0..3 {
        for command in [&command, &note] {
            let (entry, _) = at(&mut state, command, START);
            assert!(entry.is_some(), "{command} in life {life}");
            let (entry, _) = at(&mut state, command, START);
            assert!(entry.is_none(), "{command} again in life {life}");
        }
        at(&mut state, &delete("i", None), START);
        let refused = run(&mut state, &command, START, &Limits::default()).unwrap_err();
        assert_eq!(refused.code(), "INSTANCE_NOT_FOUND");
        at(&mut state, &create("i", None, None), START);
        state = reload(&state);
    }
}

#[test]
fn lives_within_one_batch_have_keys_of_their_own() {
    let mut state = started();
    let command = keyed(&after("EXPIRE", "1h"));
    let ops = [
        command.clone(),
        command.clone(),
        delete("i", None),
        create("i", None, None),
        command.clone(),
    ];
    let ops = ops.into_iter().map(BatchOp::Write).collect();
    let (entry, reply) = at(&mut state, &Command::Batch(ops), START);
    let entry = entry.unwrap();
    assert_eq!(entry.facts.len(), 4);
    let Reply::Batch(replies) = reply else {
        panic!("{reply:?}");
    };
    for (place, applied) in [(0, true), (1, false), (4, true)] {
        let (was_applied, offset, _) = told(&replies[place], START);
        assert_eq!((was_applied, offset), (applied, Some(entry.index)));
    }
    assert_eq!(state.key_count(), 1);
    let (entry, _) = at(&mut state, &command, START);
    assert_eq!(entry, None);
    // A deletion at the end takes the key of the same entry along.
    let ops = [
        Command::SetTimers(set(&after("EXPIRE", "1h"), Some("other"))),
        delete("i", None),
    ];
    let ops = ops.into_iter().map(BatchOp::Write).collect();
    at(&mut state, &Command::Batch(ops), START);
    assert_eq!(state.key_count(), 1, "that of the entry before");
}

#[test]
fn a_key_in_flight_counts() {
    let state = started();
    let limits = Limits::default();
    let mut pending = PendingEntries::new();
    let command = keyed(&after("EXPIRE", "1h"));
    let next = state.last_applied() + 1;
    let Ok(Decision::Write {
        entry, compiled, ..
    }) = decided(&state, &pending, &command, next, START, &limits)
    else {
        panic!("{command} is no new one")
    };
    pending.push(&entry, &compiled);
    let Ok(Decision::Answer { reply, offset }) =
        decided(&state, &pending, &command, next + 1, START, &limits)
    else {
        panic!("{command} is a new one again")
    };
    assert_eq!(offset, Some(next));
    let moved = named(&[("EXPIRE", 60), ("REMIND", 10)]);
    assert_eq!(told(&reply, START), (false, Some(next), moved));
    assert_eq!(pending.check_invariants(state.last_applied()), Ok(()));
    pending.settle(next);
    assert!(pending.is_empty());
}

#[test]
fn a_fact_whose_key_was_used_meanwhile_is_stale() {
    let mut state = started();
    let limits = Limits::default();
    let command = keyed(&after("EXPIRE", "1h"));
    let next = state.last_applied() + 1;
    let decision = decided(
        &state,
        &PendingEntries::new(),
        &command,
        next,
        START,
        &limits,
    );
    let Ok(Decision::Write { mut entry, .. }) = decision else {
        panic!("{decision:?}");
    };
    at(&mut state, &command, START);
    // As if it had been decided on the instance as it is now, by a leader that does not know the key.
    entry.index = next + 1;
    let Some(Body::SetTimers(fact)) = &mut entry.facts[0].body else {
        panic!("{entry}");
    };
    fact.prev_offset = next;
    assert_eq!(state.apply(&entry, next + 1), Ok(EntryOutcome::Stale));
}

#[test]
fn a_decision_made_ahead_rests_on_its_key() {
    let mut state = started();
    let limits = Limits::default();
    let at_place = |offset| DecideAt {
        offset,
        now_ms: START,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let command = keyed(&after("EXPIRE", "1h"));
    let prepared = prepare(&state, &command, &at_place(0));
    let next = state.last_applied() + 1;
    let pending = PendingEntries::new();
    let landed = prepared.land(&state, &pending, &command, &at_place(next));
    let Some(Ok(Decision::Write { entry, reply, .. })) = landed else {
        panic!("{landed:?}");
    };
    assert_eq!(state.apply(&entry, next), Ok(EntryOutcome::Applied));
    assert_eq!(told(&reply, START).1, Some(next));
    let again = prepare(&state, &command, &at_place(0));
    let landed = again.land(&state, &pending, &command, &at_place(next + 1));
    assert!(
        matches!(landed, Some(Ok(Decision::Answer { offset, .. })) if offset == Some(next)),
        "{landed:?}"
    );
}

#[test]
fn a_dry_run_takes_no_key_and_knows_one() {
    let mut state = started();
    let command = keyed(&after("EXPIRE", "1h"));
    let dry = Command::DryRun(Box::new(DryRun::Whole(command.clone())));
    let trial = |state: &mut State| -> Trial {
        match at(state, &dry, START) {
            (None, Reply::DryRun(trial)) => *trial,
            other => panic!("{other:?}"),
        }
    };
    let before = trial(&mut state);
    assert!(!before.replayed);
    assert!(told(&before.reply, START).0);
    assert_eq!(state.key_count(), 0);
    let (entry, _) = at(&mut state, &command, START);
    let after = trial(&mut state);
    assert!(after.replayed);
    let (applied, offset, _) = told(&after.reply, START);
    assert_eq!((applied, offset), (false, Some(entry.unwrap().index)));
}

#[test]
fn a_retry_under_a_lost_lock_gets_the_first_answer() {
    let mut state = started();
    let command = keyed(&after("EXPIRE", "1h"));
    let (entry, _) = at(&mut state, &command, START);
    let limits = Limits::default();
    let meta = Meta {
        fence: Some(Fence {
            lock: "billing".to_owned(),
            token: 2,
        }),
        ..Meta::default()
    };
    let fenced = DecideAt {
        offset: state.last_applied() + 1,
        now_ms: START,
        actor: "test",
        meta: Some(&meta),
        limits: &limits,
        reach: None,
    };
    let pending = PendingEntries::new();
    let again = decide(&state, &pending, &command, &fenced);
    assert!(
        matches!(&again, Ok(Decision::Answer { offset, .. }) if *offset == entry.map(|it| it.index)),
        "{again:?}"
    );
    let anew = Command::SetTimers(set(&after("EXPIRE", "1h"), Some("other")));
    let refused = decide(&state, &pending, &anew, &fenced).unwrap_err();
    assert_eq!(refused.code(), "LOCK_LOST");
}
