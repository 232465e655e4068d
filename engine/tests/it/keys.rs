//! Idempotency keys: their cost, the answer to a retry, and their end with the life of their instance.

use crate::common::{ORDER, apply, bytes, create, decided, delete, put, reload, run};
use rstmdb_engine::command::{BatchOp, CreateInstance};
use rstmdb_engine::{Command, Decision, Entry, EntryOutcome, Limits, PendingEntries, Reply, State};

fn started() -> State {
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 1, &Limits::default()).unwrap();
    state
}

fn done(state: &mut State, command: &Command) -> (Option<Entry>, Reply) {
    run(state, command, 1, &Limits::default()).unwrap()
}

/// Whether the command took effect anew.
fn is_new(state: &mut State, command: &Command) -> bool {
    let is_new = done(state, command).0.is_some();
    assert_eq!(state.digest(), state.recompute_digest());
    assert_eq!(reload(state).digest(), state.digest());
    is_new
}

fn offset(reply: &Reply) -> u64 {
    match reply {
        Reply::Created { wal_offset, .. }
        | Reply::Applied { wal_offset, .. }
        | Reply::Replayed { wal_offset, .. }
        | Reply::Deleted { wal_offset, .. } => *wal_offset,
        other => panic!("{other:?}"),
    }
}

fn generated(id: &str, key: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        id_given: false,
        machine: "order".to_owned(),
        version: 1,
        initial_ctx: None,
        idempotency_key: Some(key.to_owned()),
        import: None,
    })
}

fn batch(commands: &[Command]) -> Command {
    Command::Batch(commands.iter().cloned().map(BatchOp::Write).collect())
}

/// Applies what the command writes as it was written by a version whose keys outlived their instances.
fn done_earlier(state: &mut State, command: &Command) {
    let offset = state.last_applied() + 1;
    let limits = Limits::default();
    let decision = decided(state, &PendingEntries::new(), command, offset, 1, &limits);
    let Ok(Decision::Write { mut entry, .. }) = decision else {
        panic!("{command} writes nothing")
    };
    if let Some(bounds) = &mut entry.key_bounds {
        bounds.of_lives = false;
    }
    assert_eq!(state.apply(&entry, offset), Ok(EntryOutcome::Applied));
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn a_key_of_an_earlier_version_counts_in_the_next_life_as_well() {
    let mut state = started();
    let keyed = create("i", None, Some("k"));
    for command in [&keyed, &delete("i", None), &create("i", None, None)] {
        done_earlier(&mut state, command);
    }
    assert!(!is_new(&mut state, &keyed));
    assert_eq!(offset(&done(&mut state, &keyed).1), 2);
}

#[test]
fn a_key_costs_the_same_whatever_the_context() {
    let costs = [2, 1 << 20].map(|bytes| {
        let mut state = started();
        let ctx = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        done(&mut state, &create("i", Some(&ctx), None));
        for number in 0..100 {
            let key = format!("key-{number:02}");
            done(
                &mut state,
                &apply("i", "NOTE", Some(r#"{"n":1}"#), Some(&key)),
            );
        }
        let size: usize = state.records().map(|record| record.len()).sum();
        (state.key_bytes(), size.abs_diff(bytes))
    });
    assert_eq!(costs[0].0, costs[1].0);
    // 176, and the name: the operation, the lengths, "i", "key-00".
    assert_eq!(costs[0].0, 100 * (176 + 5 + 1 + 6));
    assert!(
        costs[1].1 < 64 << 10,
        "a snapshot holds contexts once: {costs:?}"
    );
}

#[test]
fn beyond_the_bound_of_bytes_the_oldest_keys_go() {
    let mut state = started();
    let limits = |bytes| Limits {
        idempotency_bytes_max: bytes,
        ..Limits::default()
    };
    let cost = 176 + 5 + 3 + 3;
    for number in 0..300 {
        let key = format!("{number:03}");
        run(&mut state, &create(&key, None, Some(&key)), 1, &limits(0)).unwrap();
    }
    assert_eq!((state.key_count(), state.key_bytes()), (300, 300 * cost));
    let mut copy = reload(&state);
    for (id, left) in [("x", 44), ("y", 10), ("z", 10)] {
        for state in [&mut state, &mut copy] {
            run(state, &create(id, None, None), 1, &limits(10 * cost + 5)).unwrap();
            assert_eq!((state.key_count(), state.key_bytes()), (left, left * cost));
        }
        assert_eq!(state.digest(), copy.digest());
    }
    assert!(!is_new(&mut state, &create("290", None, Some("290"))));
    let forgotten = create("289", None, Some("289"));
    assert!(run(&mut state, &forgotten, 1, &Limits::default()).is_err());
}

#[test]
fn a_retry_gets_the_context_it_was_answered_with_as_long_as_the_log_has_it() {
    let mut state = started();
    done(&mut state, &create("i", None, None));
    let first = apply("i", "NOTE", Some(r#"{"n":1}"#), Some("a"));
    let second = apply("i", "NOTE", Some(r#"{"n":2}"#), Some("b"));
    let (entry, told) = done(&mut state, &batch(&[first.clone(), second.clone()]));
    let entry = entry.unwrap();
    let Reply::Batch(told) = told else { panic!() };
    // The instance still has the second event's context. Only the log has the first one's.
    let (_, again) = done(&mut state, &second);
    let Reply::Applied {
        ctx,
        applied: false,
        ..
    } = &again
    else {
        panic!("{again:?}")
    };
    assert_eq!(*ctx, bytes(r#"{"n":2}"#));
    let (_, again) = done(&mut reload(&state), &first);
    assert_eq!(again.incomplete_to(), Some(entry.index));
    let complete = |reply: &Reply, entry: Option<&Entry>| {
        let (mut reply, mut room) = (reply.clone(), 1000);
        reply.complete(&mut room, &mut |_| entry.cloned());
        (reply, room)
    };
    let (gone, _) = complete(&again, None);
    assert_eq!(gone, again, "what is left is true");
    let (whole, room) = complete(&again, Some(&entry));
    let Reply::Applied {
        from_state,
        to_state,
        ctx,
        event_id,
        wal_offset,
        ..
    } = &told[0]
    else {
        panic!("{told:?}")
    };
    assert_eq!(room, 1000 - ctx.len());
    let expected = Reply::Applied {
        from_state: from_state.clone(),
        to_state: to_state.clone(),
        ctx: ctx.clone(),
        applied: false,
        event_id: event_id.clone(),
        wal_offset: *wal_offset,
    };
    assert_eq!(whole, expected);
    done(&mut state, &apply("i", "NOTE", None, None));
    let (_, both) = done(&mut state, &batch(&[first, second]));
    let (both, _) = complete(&both, Some(&entry));
    let Reply::Batch(both) = both else { panic!() };
    for (again, told) in both.iter().zip(&told) {
        let (Reply::Applied { ctx: again, .. }, Reply::Applied { ctx: told, .. }) = (again, told)
        else {
            panic!("{again:?}")
        };
        assert_eq!(again, told);
    }
}

#[test]
fn contexts_of_a_batch_of_retries_are_read_until_they_fill_an_answer() {
    let mut state = started();
    done(&mut state, &create("i", None, None));
    let ctx = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
    let first = apply("i", "NOTE", Some(&ctx), Some("a"));
    let entry = done(&mut state, &first).0;
    done(&mut state, &apply("i", "NOTE", None, None));
    let (_, mut reply) = done(&mut state, &batch(&vec![first; 100]));
    let (mut room, mut reads) = (5000, 0);
    reply.complete(&mut room, &mut |_| {
        reads += 1;
        entry.clone()
    });
    assert_eq!((room, reads), (0, 5));
}

#[test]
fn keys_end_with_the_life_of_their_instance() {
    let mut state = started();
    let all = [
        create("i", None, Some("k")),
        apply("i", "NOTE", None, Some("k")),
        delete("i", Some("k")),
    ];
    for life in 0..3 {
        for command in &all {
            assert!(is_new(&mut state, command), "{command} in life {life}");
            assert!(
                !is_new(&mut state, command),
                "{command} again in life {life}"
            );
        }
        // The deletion is answered as first, the others are of an instance that is no more.
        assert!(!is_new(&mut state, &all[2]));
        let refused = run(&mut state, &all[1], 1, &Limits::default()).unwrap_err();
        assert_eq!(refused.code(), "INSTANCE_NOT_FOUND");
    }
}

#[test]
fn a_create_without_an_id_is_a_new_one_once_its_instance_is_deleted() {
    let mut state = started();
    assert!(is_new(&mut state, &generated("g1", "k")));
    let (entry, reply) = done(&mut state, &generated("g2", "k"));
    assert!(entry.is_none());
    assert_eq!(offset(&reply), 2);
    done(&mut state, &delete("g1", None));
    assert!(is_new(&mut state, &generated("g3", "k")));
    done(&mut state, &create("g1", None, None));
    let (_, reply) = done(&mut state, &generated("g4", "k"));
    assert!(matches!(&reply, Reply::Created { instance_id, .. } if **instance_id == *"g3"));
}

#[test]
fn a_deletion_touches_no_key_of_its_instance() {
    let mut state = started();
    done(&mut state, &create("i", None, None));
    for number in 0..1000 {
        let key = number.to_string();
        done(&mut state, &apply("i", "NOTE", None, Some(&key)));
    }
    done(&mut state, &delete("i", None));
    assert_eq!(state.key_count(), 1000, "they go by age, not all at once");
    done(&mut state, &create("i", None, None));
    assert!(is_new(&mut state, &apply("i", "NOTE", None, Some("7"))));
    assert_eq!(state.key_count(), 1000);
}

#[test]
fn lives_within_one_batch_have_keys_of_their_own() {
    let mut state = started();
    done(&mut state, &create("i", None, None));
    let note = |n: u8| apply("i", "NOTE", Some(&format!(r#"{{"n":{n}}}"#)), Some("k"));
    let lives = batch(&[
        note(1),
        delete("i", Some("d")),
        create("i", None, Some("c")),
        note(1),
        delete("i", Some("d")),
        create("i", None, Some("c")),
    ]);
    let (entry, reply) = done(&mut state, &lives);
    assert_eq!(entry.unwrap().facts.len(), 6, "{reply:?}");
    // Of the last life there is its creation only.
    assert_eq!(state.key_count(), 2);
    assert!(!is_new(&mut state, &create("i", None, Some("c"))));
    assert!(is_new(&mut state, &note(2)), "with other parameters, too");
    assert!(is_new(&mut state, &delete("i", Some("d"))));
}

#[test]
fn lives_in_flight_have_keys_of_their_own() {
    let state = started();
    let limits = Limits::default();
    let mut pending = PendingEntries::new();
    let commands = [
        create("i", None, Some("k")),
        apply("i", "NOTE", None, Some("k")),
        delete("i", Some("k")),
    ];
    for (number, command) in commands.iter().cycle().take(9).enumerate() {
        let at = state.last_applied() + 1 + number as u64;
        let Ok(Decision::Write {
            entry, compiled, ..
        }) = decided(&state, &pending, command, at, 1, &limits)
        else {
            panic!("{command} is no new one")
        };
        pending.push(&entry, &compiled);
        let again = decided(&state, &pending, command, at + 1, 1, &limits);
        assert!(matches!(again, Ok(Decision::Answer { offset: Some(first), .. }) if first == at));
    }
}
