//! Pausing automation and letting it run again, as facts.

use rstmdb_engine::command::SetAutomation;
use rstmdb_engine::fact::level::{needed_by, needed_by_record};
use rstmdb_engine::fact::{self, Body, Fact};
use rstmdb_engine::{
    Automation, BatchOp, Command, DecideAt, Decision, Entry, EntryOutcome, Limits, PendingEntries,
    Refusal, Reply, State, decide, is_settled, prepare,
};

use crate::common::{ORDER, put, reload, run};

fn pause(reason: &str) -> SetAutomation {
    SetAutomation {
        paused: true,
        reason: Some(reason.to_owned()),
        ..SetAutomation::default()
    }
}

fn resume() -> SetAutomation {
    SetAutomation::default()
}

fn set(
    state: &mut State,
    set: SetAutomation,
    now_ms: u64,
) -> Result<(Option<Entry>, Reply), Refusal> {
    let command = Command::SetAutomation(set);
    run(state, &command, now_ms, &Limits::default())
}

/// A state of the second level.
fn state() -> State {
    let mut state = State::new();
    let limits = Limits::default();
    run(&mut state, &Command::SetLevel { level: 2 }, 5, &limits).unwrap();
    run(&mut state, &put("order", 1, ORDER), 5, &limits).unwrap();
    state
}

#[test]
fn it_is_paused_once_and_runs_again_and_the_state_says_since_when_why_and_by_whom() {
    let mut state = state();
    assert_eq!(state.automation(), Automation::default());
    let (entry, reply) = set(&mut state, pause("a move"), 100).unwrap();
    assert_eq!(entry.unwrap().to_string(), "@3 automation paused: a move");
    let paused = Reply::Automation {
        paused: true,
        since_ms: 100,
        reason: "a move".into(),
        wal_offset: Some(3),
    };
    assert_eq!(reply, paused);
    let expected = Automation {
        paused: true,
        since_ms: 100,
        reason: "a move".to_owned(),
        by: "test".to_owned(),
        ..Automation::default()
    };
    assert_eq!(state.automation(), expected);
    assert!(state.is_paused());
    let (entry, reply) = set(&mut state, pause("once more"), 200).unwrap();
    assert_eq!(entry, None, "it is paused already");
    let Reply::Automation {
        since_ms: 100,
        wal_offset: None,
        reason,
        ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!(&*reason, "a move");
    let skipping = SetAutomation {
        skip_overdue: true,
        ..resume()
    };
    let (entry, _) = set(&mut state, skipping, 300).unwrap();
    assert_eq!(
        entry.unwrap().to_string(),
        "@4 automation running, overdue skipped"
    );
    assert!(!state.is_paused());
    assert_eq!(state.automation().since_ms, 300);
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn it_counts_in_the_digest_outlives_a_flush_and_is_in_snapshots() {
    let mut state = state();
    let before = state.digest();
    set(&mut state, pause("a move"), 5).unwrap();
    assert_ne!(state.digest(), before);
    let limits = Limits {
        allow_flush_all: true,
        ..Limits::default()
    };
    run(&mut state, &Command::FlushAll, 5, &limits).unwrap();
    assert!(state.is_paused());
    assert!(state.records().all(|record| needed_by_record(&record) <= 2));
    let loaded = reload(&state);
    assert_eq!(loaded.automation(), state.automation());
    assert_eq!(loaded.digest(), state.digest());
}

#[test]
fn the_first_level_has_no_place_for_it() {
    let mut state = State::new();
    let refusal = set(&mut state, pause("a move"), 5).unwrap_err();
    assert_eq!(refusal.code(), "FEATURE_LEVEL");
    assert_eq!(
        refusal.details(),
        serde_json::json!({"needed": 2, "current": 1, "held_back_by": []})
    );
    let entry = Entry {
        index: 1,
        facts: vec![Fact::from(Body::SetAutomation(fact::SetAutomation {
            paused: true,
            ..fact::SetAutomation::default()
        }))],
        ..Entry::default()
    };
    assert_eq!(needed_by(&entry), 2);
    let error = state.apply(&entry, 1).unwrap_err();
    assert!(
        error.to_string().contains("higher feature level"),
        "{error}"
    );
    assert_eq!(state.digest(), State::new().digest());
}

#[test]
fn what_makes_no_sense_is_refused_by_the_name_of_its_parameter() {
    let mut state = state();
    let long = "x".repeat(1025);
    let cases = [
        (
            pause(&long),
            "reason is 1025 bytes long; at most 1024 are allowed",
        ),
        (
            pause("a\u{1b}b"),
            "reason holds a control character at position 2",
        ),
        (
            SetAutomation {
                skip_overdue: true,
                ..pause("")
            },
            "skip_overdue is only for set \"running\"",
        ),
        (
            SetAutomation {
                shift_timers: true,
                ..pause("")
            },
            "shift_timers is only for set \"running\"",
        ),
        (
            SetAutomation {
                skip_overdue: true,
                shift_timers: true,
                ..resume()
            },
            "shift_timers and skip_overdue are both true",
        ),
    ];
    for (asked, expected) in cases {
        let refusal = set(&mut state, asked, 5).unwrap_err();
        assert_eq!(refusal.code(), "BAD_REQUEST");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
    let longest = "x".repeat(1024);
    set(&mut state, pause(&longest), 5).unwrap();
    let batch = Command::Batch(vec![BatchOp::Write(Command::SetAutomation(resume()))]);
    let refusal = run(&mut state, &batch, 5, &Limits::default()).unwrap_err();
    assert!(
        refusal.to_string().contains("not allowed in a batch"),
        "{refusal}"
    );
}

#[test]
fn a_change_in_flight_counts_for_the_next_one() {
    let (state, mut pending) = (state(), PendingEntries::new());
    let limits = Limits::default();
    let at = |offset| DecideAt {
        offset,
        now_ms: 50,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let command = Command::SetAutomation(pause("a move"));
    let ahead = prepare(&state, &command, &at(0));
    let decision = decide(&state, &pending, &command, &at(3)).unwrap();
    let Decision::Write {
        entry, compiled, ..
    } = decision
    else {
        panic!("{decision:?}");
    };
    assert!(is_settled(&state, &pending, &command));
    pending.push(&entry, &compiled);
    assert!(!is_settled(&state, &pending, &command));
    assert!(ahead.land(&state, &pending, &command, &at(4)).is_none());
    let again = decide(&state, &pending, &command, &at(4)).unwrap();
    assert!(matches!(again, Decision::Answer { .. }), "{again:?}");
    let back = decide(&state, &pending, &Command::SetAutomation(resume()), &at(4)).unwrap();
    assert!(matches!(back, Decision::Write { .. }), "{back:?}");
    let ahead = prepare(&state, &command, &at(0));
    let landed = ahead
        .land(&state, &PendingEntries::new(), &command, &at(3))
        .unwrap()
        .unwrap();
    let Decision::Write {
        entry: landed,
        reply,
        ..
    } = landed
    else {
        panic!("{landed:?}");
    };
    assert_eq!(landed, entry);
    assert!(
        matches!(
            reply,
            Reply::Automation {
                since_ms: 50,
                wal_offset: Some(3),
                ..
            }
        ),
        "{reply:?}"
    );
    pending.settle(3);
    assert!(pending.is_empty());
    let mut applied = state.clone();
    assert_eq!(applied.apply(&entry, 3), Ok(EntryOutcome::Applied));
}
