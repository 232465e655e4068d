#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::super::UsedId;
use super::*;
use crate::api::command::{ApplyEvent, Command, CreateInstance, DeleteInstance, PutMachine};
use crate::decide::{DecideAt, Decision, decide};
use crate::limits::Limits;
use crate::view::PendingEntries;

const DEFINITION: &[u8] = br#"{"states":["open","closed"],"initial":"open","transitions":[
{"from":"open","event":"CLOSE","to":"closed"}]}"#;

fn write(state: &mut State, command: &Command) {
    let limits = Limits {
        allow_instance_recreate: false,
        ..Limits::default()
    };
    let at = DecideAt {
        offset: state.last_applied() + 1,
        now_ms: 1000 + state.last_applied(),
        actor: "",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let decision = decide(state, &PendingEntries::new(), command, &at).unwrap();
    let Decision::Write { entry, .. } = decision else {
        panic!("every command here is new");
    };
    state.apply(&entry, at.offset).unwrap();
}

fn create(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        id_given: true,
        machine: "door".to_owned(),
        version: 1,
        initial_ctx: None,
        idempotency_key: Some("create".to_owned()),
        import: None,
    })
}

/// Two instances, the id of a third that was deleted, and idempotency keys.
fn state() -> State {
    let mut state = State::new();
    let put = PutMachine {
        machine: "door".to_owned(),
        version: 1,
        definition: bytes::Bytes::from_static(DEFINITION),
        checksum: None,
    };
    write(&mut state, &Command::PutMachine(put));
    for id in ["a", "b", "c"] {
        write(&mut state, &create(id));
    }
    let close = ApplyEvent {
        instance_id: "a".to_owned(),
        event: "CLOSE".to_owned(),
        ..ApplyEvent::default()
    };
    write(&mut state, &Command::ApplyEvent(close));
    let delete = DeleteInstance {
        instance_id: "c".to_owned(),
        ..DeleteInstance::default()
    };
    write(&mut state, &Command::DeleteInstance(delete));
    state
}

fn broken(change: impl FnOnce(&mut State)) -> String {
    let mut state = state();
    change(&mut state);
    state.check_invariants().unwrap_err().to_string()
}

#[test]
fn a_state_that_was_applied_keeps_them() {
    assert_eq!(state().check_invariants(), Ok(()));
    assert_eq!(State::new().check_invariants(), Ok(()));
}

#[test]
fn each_rule_is_seen_to_break() {
    type Change = fn(&mut State);
    let cases: [(Change, &str); 12] = [
        (
            |state| {
                state.ids.remove("a");
            },
            "1 ids are ordered",
        ),
        (
            |state| {
                state.ids.remove("a");
                state.ids.insert(Box::from("z"));
            },
            "is not among the ordered ids",
        ),
        (
            |state| {
                state.used_ids.insert(used("a"));
            },
            "counts as one of a deleted instance",
        ),
        (
            |state| {
                state.used_ids.insert(used("z"));
            },
            "the digest is",
        ),
        (
            |state| state.machines.count(0, 0, 1),
            "the states count [2, 1]",
        ),
        (
            |state| state.last_applied = 4,
            "was created at 2 and changed at 5",
        ),
        (|state| state.last_time_ms = 1, "the log's time is 1 ms"),
        (
            |state| {
                state.stale.insert(99);
            },
            "offset 99 is stale",
        ),
        (|state| state.items_digest ^= 1, "the digest is"),
        (
            |state| {
                state.keys.queue.remove(&0);
            },
            "2 are in the queue",
        ),
        (|state| state.keys.next_place = 0, "the next place is 0"),
        (
            |state| {
                let first = state.keys.queue.remove(&0).unwrap();
                state.keys.queue.insert(7, first);
                state.keys.next_place = 8;
            },
            "says 0 and is found at Some(0)",
        ),
    ];
    for (change, expected) in cases {
        let found = broken(change);
        assert!(found.contains(expected), "{found} instead of {expected}");
    }
}

fn used(id: &str) -> UsedId {
    UsedId {
        id: Arc::from(id),
        last_offset: 1,
    }
}
