//! Apply agrees with a leader that decides at that moment. An entry that was decided on an older state is applied
//! exactly if deciding its command anew would write the same facts.

use std::collections::VecDeque;

use crate::common::{ORDER, apply, create, decided, delete, put, run};
use proptest::collection::vec;
use proptest::prelude::*;
use rstmdb_engine::command::BatchOp;
use rstmdb_engine::{Command, Decision, EntryOutcome, Fact, Limits, PendingEntries, State};

/// The states that a late entry may have been decided on.
const STATES_MAX: usize = 5;

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b"])
}

fn ctx() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some(r#"{"total":1}"#),
        Some(r#"{"total":0,"reopen":true}"#),
    ])
}

/// A write of one instance, with a key where `keys` allows one.
fn write(keys: bool) -> impl Strategy<Value = Command> {
    let keys = match keys {
        true => vec![None, Some("k"), Some("l")],
        false => vec![None],
    };
    let key = prop::sample::select(keys);
    let event = prop::sample::select(vec!["PAY", "NOTE", "SHIP"]);
    prop_oneof![
        3 => (id(), ctx(), key.clone()).prop_map(|(id, ctx, key)| create(id, ctx, key)),
        6 => (id(), event, ctx(), key.clone())
            .prop_map(|(id, event, ctx, key)| apply(id, event, ctx, key)),
        2 => (id(), key).prop_map(|(id, key)| delete(id, key)),
    ]
}

/// No batch with keys or machines: an operation that was answered from memory leaves no fact, so its entry does not
/// rest on it.
fn command() -> impl Strategy<Value = Command> {
    let batch = vec(write(false).prop_map(BatchOp::Write), 1..4).prop_map(Command::Batch);
    let machine = (1..3u32).prop_map(|version| put("order", version, ORDER));
    prop_oneof![10 => write(true), 3 => batch, 2 => machine, 1 => Just(Command::FlushAll)]
}

fn limits() -> impl Strategy<Value = Limits> {
    (any::<bool>(), 0..40u64, 1..4u64).prop_map(|(recreate, retention_ms, keys_max)| Limits {
        allow_instance_recreate: recreate,
        allow_flush_all: true,
        idempotency_retention_ms: retention_ms,
        idempotency_keys_max: keys_max,
        ..Limits::default()
    })
}

/// The facts that deciding on this state would write.
fn facts(state: &State, command: &Command, offset: u64, now_ms: u64, limits: &Limits) -> Vec<Fact> {
    match decided(
        state,
        &PendingEntries::new(),
        command,
        offset,
        now_ms,
        limits,
    ) {
        Ok(Decision::Write { entry, .. }) => entry.facts,
        Ok(Decision::Answer { .. }) | Err(_) => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_late_entry_is_applied_exactly_where_it_would_be_decided_again(
        commands in vec((command(), 0..20u64, 0..STATES_MAX), 1..50),
        limits in limits(),
    ) {
        let mut state = State::new();
        run(&mut state, &put("order", 1, ORDER), 1, &limits).unwrap();
        let mut older = VecDeque::from([state.clone()]);
        let mut now_ms = 1;
        for (command, pause_ms, behind) in commands {
            now_ms += pause_ms;
            let offset = state.last_applied() + 1;
            let at = older.len() - 1 - behind.min(older.len() - 1);
            let late = decided(&older[at], &PendingEntries::new(), &command, offset, now_ms, &limits);
            let Ok(Decision::Write { entry, compiled, .. }) = late else { continue };
            let again = facts(&state, &command, offset, now_ms, &limits);
            let outcome = state.apply_compiled(&entry, offset, &compiled).unwrap();
            prop_assert_eq!(outcome == EntryOutcome::Applied, entry.facts == again, "{}: {:?}", entry, again);
            prop_assert_eq!(state.check_invariants(), Ok(()));
            older.push_back(state.clone());
            if older.len() > STATES_MAX {
                older.pop_front();
            }
        }
    }
}
