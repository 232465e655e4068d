//! Places in the queues of locks that never change hands: those that nobody asks for any more do not stay.

use rstmdb_engine::limits::{
    LOCK_PLACE_LATE_MS_MAX, LOCK_PLACE_SLACK_MS, LOCK_WAITERS_MAX, LOCKS_WAITING_MAX,
};
use rstmdb_engine::{
    AcquireLock, Command, Limits, LockCommand, LockReply, Refusal, RenewLock, Reply, State,
};

use crate::common;

const START: u64 = 1_700_000_000_000;
const WAIT: u64 = 5_000;
const KEPT: u64 = WAIT + LOCK_PLACE_SLACK_MS;

fn started() -> State {
    let mut state = State::new();
    common::run(
        &mut state,
        &Command::SetLevel { level: 2 },
        START,
        &Limits::default(),
    )
    .unwrap();
    state
}

fn run(state: &mut State, command: LockCommand, now_ms: u64) -> Result<LockReply, Refusal> {
    let command = Command::Lock(command);
    let (_, reply) = common::run(state, &command, now_ms, &Limits::default())?;
    match reply {
        Reply::Lock(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn acquire(name: &str, owner: &str, ttl_ms: u64, wait_ms: u64) -> LockCommand {
    LockCommand::Acquire(AcquireLock {
        name: name.to_owned(),
        owner: owner.to_owned(),
        ttl_ms,
        wait_ms: (wait_ms > 0).then_some(wait_ms),
    })
}

/// Holds a lock for an hour; its token.
fn hold(state: &mut State, name: &str, now_ms: u64) -> u64 {
    match run(state, acquire(name, "holder", 3_600_000, 0), now_ms) {
        Ok(LockReply::Held { lock, .. }) => lock.token,
        other => panic!("{other:?}"),
    }
}

fn wait(state: &mut State, name: &str, owner: &str, now_ms: u64) -> Result<u64, Refusal> {
    match run(state, acquire(name, owner, 20_000, WAIT), now_ms)? {
        LockReply::Waits { place, .. } => Ok(place),
        other => panic!("{other:?}"),
    }
}

#[test]
fn owners_that_ask_under_ever_new_names_do_not_use_up_the_places_of_all_locks() {
    let mut state = started();
    let locks: Vec<String> = (0..20).map(|number| format!("l{number}")).collect();
    for name in &locks {
        hold(&mut state, name, START);
    }
    let mut now_ms = START;
    for round in 0..700 {
        for name in &locks {
            wait(&mut state, name, &format!("o{round}"), now_ms).unwrap();
        }
        now_ms += WAIT;
    }
    let kept = usize::try_from((KEPT + LOCK_PLACE_LATE_MS_MAX) / WAIT + 1).unwrap();
    let most = (locks.len() * kept) as u64;
    assert!(state.locks_waiting() <= most, "{}", state.locks_waiting());
    state.check_invariants().unwrap();
    assert_eq!(
        common::reload(&state).locks_waiting(),
        state.locks_waiting()
    );
}

#[test]
fn when_all_places_are_taken_those_of_the_lock_that_are_lost_are_free_at_once() {
    let mut state = started();
    let locks: Vec<String> = (0..20).map(|number| format!("l{number}")).collect();
    let tokens: Vec<u64> = locks
        .iter()
        .map(|name| hold(&mut state, name, START))
        .collect();
    for number in 0..LOCKS_WAITING_MAX / locks.len() {
        for name in &locks {
            wait(&mut state, name, &format!("o{number}"), START).unwrap();
        }
    }
    assert_eq!(state.locks_waiting(), LOCKS_WAITING_MAX as u64);
    let early = START + KEPT - 1;
    let refused = wait(&mut state, "l0", "late", early).unwrap_err();
    assert_eq!(refused.code(), "QUOTA_EXCEEDED");
    wait(&mut state, "l0", "late", START + KEPT).unwrap();
    let left = LOCKS_WAITING_MAX - LOCKS_WAITING_MAX / locks.len() + 1;
    assert_eq!(state.locks_waiting(), left as u64);
    // Nobody asks for the others again, but they are renewed.
    let now_ms = START + KEPT + LOCK_PLACE_LATE_MS_MAX;
    for (name, token) in locks.iter().zip(tokens).skip(1) {
        let renew = RenewLock {
            name: name.clone(),
            token,
            ttl_ms: None,
        };
        run(&mut state, LockCommand::Renew(renew), now_ms).unwrap();
    }
    assert_eq!(state.locks_waiting(), 1);
    state.check_invariants().unwrap();
}

#[test]
fn a_place_that_was_lost_a_short_time_ago_stays_while_there_is_room() {
    let mut state = started();
    hold(&mut state, "l", START);
    let place = wait(&mut state, "l", "late", START).unwrap();
    let now_ms = START + KEPT + LOCK_PLACE_LATE_MS_MAX - 1;
    wait(&mut state, "l", "other", now_ms).unwrap();
    assert_eq!(wait(&mut state, "l", "late", now_ms), Ok(place));
    // One that is full makes room at once.
    for number in 2..LOCK_WAITERS_MAX {
        wait(&mut state, "l", &format!("o{number}"), now_ms).unwrap();
    }
    assert!(wait(&mut state, "l", "more", now_ms).is_err());
    wait(&mut state, "l", "more", now_ms + KEPT).unwrap();
    assert_eq!(state.locks_waiting(), 1);
}
