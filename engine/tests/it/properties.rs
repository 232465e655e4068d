//! What must hold for every sequence of commands, and for entries that no leader would decide.

use std::collections::VecDeque;

use crate::common::{ORDER, apply, bytes, create, decided, delete, put, reload, run};
use proptest::collection::vec;
use proptest::prelude::*;
use rstmdb_engine::command::{
    AcquireLock, BatchOp, DeleteMachine, Import, ListInstances, LockCommand, Query, ReleaseLock,
    RenewLock, SetAutomation,
};
use rstmdb_engine::fact::{self, Body, Fact, KeyBounds, Message};
use rstmdb_engine::{
    Command, DecideAt, Decision, Entry, EntryOutcome, Limits, PendingEntries, Reply, State,
    is_settled, prepare,
};

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn key() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, None, Some("k"), Some("l")])
}

fn ctx() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some(r#"{"total":1}"#),
        Some(r#"{"total":0,"items":[1],"address":""}"#),
        Some(r#"{ "items" : [ ] , "reopen" : true }"#),
    ])
}

fn write() -> impl Strategy<Value = Command> {
    let event = prop::sample::select(vec!["PAY", "NOTE", "SHIP", "NONE"]);
    prop_oneof![
        3 => (id(), ctx(), key()).prop_map(|(id, ctx, key)| create(id, ctx, key)),
        8 => (id(), event, ctx(), key())
            .prop_map(|(id, event, ctx, key)| apply(id, event, ctx, key)),
        2 => (id(), key()).prop_map(|(id, key)| delete(id, key)),
        1 => (1..3u32).prop_map(|version| put("order", version, ORDER)),
        2 => import(),
    ]
}

/// Most are of a time that has passed.
fn import() -> impl Strategy<Value = Command> {
    let state = prop::sample::select(vec!["new", "paid", "shipped", "none"]);
    let times = (prop::option::of(1..20u64), prop::option::of(1..20u64));
    (id(), ctx(), key(), state, times).prop_map(
        |(id, ctx, key, state, (created_ms, updated_ms))| {
            let Command::CreateInstance(mut new) = create(id, ctx, key) else {
                unreachable!("it creates");
            };
            new.import = Some(Box::new(Import {
                state: state.to_owned(),
                created_ms,
                updated_ms,
            }));
            Command::CreateInstance(new)
        },
    )
}

fn drop_machine() -> impl Strategy<Value = Command> {
    prop::option::of(1..3u32).prop_map(|version| {
        Command::DeleteMachine(DeleteMachine {
            machine: "order".to_owned(),
            version,
        })
    })
}

/// Tokens are small, because logs are short.
fn lock() -> impl Strategy<Value = Command> {
    let acquire = (id(), id(), 1_000..3_000u64, prop::option::of(0..5_000u64)).prop_map(
        |(name, owner, ttl_ms, wait_ms)| {
            LockCommand::Acquire(AcquireLock {
                name: name.to_owned(),
                owner: owner.to_owned(),
                ttl_ms,
                wait_ms,
            })
        },
    );
    let renew = (id(), 1..40u64).prop_map(|(name, token)| {
        LockCommand::Renew(RenewLock {
            name: name.to_owned(),
            token,
            ttl_ms: None,
        })
    });
    let release = (id(), 1..40u64).prop_map(|(name, token)| {
        LockCommand::Release(ReleaseLock {
            name: name.to_owned(),
            token,
        })
    });
    prop_oneof![4 => acquire, 1 => renew, 1 => release].prop_map(Command::Lock)
}

fn command() -> impl Strategy<Value = Command> {
    let get = id().prop_map(|id| {
        BatchOp::Read(Query::GetInstance {
            instance_id: id.to_owned(),
        })
    });
    let op = prop_oneof![6 => write().prop_map(BatchOp::Write), 1 => get];
    let batch = vec(op, 0..5).prop_map(Command::Batch);
    prop_oneof![12 => write(), 3 => batch, 6 => lock(), 2 => drop_machine(), 1 => Just(Command::FlushAll),
    2 => (0..4u32).prop_map(|level| Command::SetLevel { level }),
    1 => any::<bool>().prop_map(|paused| Command::SetAutomation(SetAutomation {
        paused,
        ..SetAutomation::default()
    }))]
}

fn limits() -> impl Strategy<Value = Limits> {
    let bounds = (0..40u64, 0..4u64, 0..800u64);
    (any::<bool>(), bounds).prop_map(|(recreate, (retention_ms, keys_max, bytes_max))| Limits {
        allow_instance_recreate: recreate,
        allow_flush_all: true,
        idempotency_retention_ms: retention_ms,
        idempotency_keys_max: keys_max,
        idempotency_bytes_max: bytes_max,
        ..Limits::default()
    })
}

fn started() -> State {
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 1, &Limits::default()).unwrap();
    state
}

/// Everything a client can see, and the digest.
fn shown(state: &State) -> (u128, Vec<Reply>) {
    let list = |state: Option<&str>| {
        Query::ListInstances(ListInstances {
            state: state.map(str::to_owned),
            ..ListInstances::default()
        })
    };
    let mut queries = vec![list(None), list(Some("paid")), list(Some("new"))];
    queries.push(Query::ListMachines {
        limit: None,
        offset: None,
    });
    let mut replies: Vec<Reply> = queries.iter().map(|q| state.query(q).unwrap()).collect();
    for id in ["a", "b", "c"] {
        let instance_id = id.to_owned();
        replies.extend(state.query(&Query::GetInstance { instance_id }).ok());
    }
    (state.digest(), replies)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "order", "new", "paid", ""]).prop_map(str::to_owned)
}

fn fact_key() -> impl Strategy<Value = Option<fact::Key>> {
    let key =
        (name(), 0..2u64, any::<bool>()).prop_map(|(key, params_hash, of_machine)| fact::Key {
            key,
            params_hash,
            of_machine,
        });
    prop::option::of(key)
}

fn timers() -> impl Strategy<Value = Option<fact::Timers>> {
    let timer = (name(), 0..60u64, 0..2u32).prop_map(|(name, due_ms, refusals)| fact::Timer {
        name,
        due_ms,
        refusals,
    });
    let timers = (vec(timer, 0..3), 0..9u64, any::<bool>(), 0..60u64).prop_map(
        |(armed, entry, suspended, number)| fact::Timers {
            entry,
            armed,
            // Mostly right.
            shift_ms: number.saturating_sub(57),
            minute_ms: number,
            firings: number as u32,
            suspended,
        },
    );
    prop::option::of(timers)
}

fn fired() -> impl Strategy<Value = Option<fact::Fired>> {
    let fired = (name(), 0..60u64, 0..9u64).prop_map(|(name, due_ms, entry)| fact::Fired {
        name,
        due_ms,
        entry,
    });
    prop::option::weighted(0.2, fired)
}

fn timer_fact() -> impl Strategy<Value = Body> {
    let place = (name(), 0..9u64);
    (place, fact_key(), timers(), fired()).prop_map(
        |((instance_id, prev_offset), key, timers, fired)| match fired {
            None => Body::SetTimers(fact::SetTimers {
                instance_id,
                prev_offset,
                timers,
                key,
                ..fact::SetTimers::default()
            }),
            fired => Body::TimerSpent(fact::TimerSpent {
                instance_id,
                prev_offset,
                fired,
                timers,
                ..fact::TimerSpent::default()
            }),
        },
    )
}

fn drop_fact() -> impl Strategy<Value = Body> {
    (name(), vec(0..3u32, 0..3)).prop_map(|(machine, versions)| {
        Body::DeleteMachine(fact::DeleteMachine { machine, versions })
    })
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let put = (name(), 0..3u32, prop::sample::select(vec![ORDER, "{}", ""])).prop_map(
        |(machine, version, definition)| {
            Body::PutMachine(fact::PutMachine {
                machine,
                version,
                definition: bytes(definition),
                checksum: String::new(),
                format: 0,
            })
        },
    );
    let place = (name(), 0..9u64);
    let imported = prop::option::weighted(
        0.2,
        (0..60u64, 0..60u64).prop_map(|(created_ms, updated_ms)| fact::Imported {
            created_ms,
            updated_ms,
        }),
    );
    let more = (timers(), imported);
    let create = (name(), 0..3u32, name(), place, fact_key(), more).prop_map(
        |(machine, version, state, (instance_id, prev_offset), key, (timers, imported))| {
            Body::CreateInstance(fact::CreateInstance {
                instance_id,
                machine,
                version,
                state,
                ctx: bytes("not JSON"),
                prev_offset,
                key,
                timers,
                imported,
                ..fact::CreateInstance::default()
            })
        },
    );
    let place = (name(), 0..9u64);
    let timed = (timers(), fired());
    let event = (name(), name(), name(), place, fact_key(), timed).prop_map(
        |(machine, from_state, to_state, (instance_id, prev_offset), key, (timers, fired))| {
            Body::ApplyEvent(fact::ApplyEvent {
                instance_id,
                machine,
                version: 1,
                from_state,
                to_state,
                prev_offset,
                key,
                event_id: Some("e".repeat(prev_offset as usize * 10_000)),
                timers,
                fired,
                ..fact::ApplyEvent::default()
            })
        },
    );
    let delete = (name(), 0..9u64, any::<bool>(), fact_key(), fired()).prop_map(
        |(instance_id, prev_offset, keep_id, key, fired)| {
            Body::DeleteInstance(fact::DeleteInstance {
                instance_id,
                prev_offset,
                keep_id,
                key,
                fired,
                ..fact::DeleteInstance::default()
            })
        },
    );
    let ended = (0..20u64, any::<bool>()).prop_map(|(token, expired)| fact::LockEnded {
        owner: "a".to_owned(),
        token,
        expired,
    });
    let holder =
        (name(), 0..3u64, 0..60u64).prop_map(|(owner, token, expires_ms)| fact::LockHolder {
            owner,
            token,
            expires_ms,
            ttl_ms: 1,
        });
    let waiter = (name(), 0..3u64).prop_map(|(owner, place)| fact::LockWaiter {
        owner,
        place,
        ttl_ms: 1,
        until_ms: 9,
    });
    let lock = (
        name(),
        0..3u64,
        prop::option::of(ended),
        prop::option::of(holder),
        prop::option::of(waiter),
        vec(0..9u64, 0..2),
    );
    let lock = lock.prop_map(|(name, prev_offset, ended, holder, waiter, gone)| {
        Body::LockChanged(fact::LockChanged {
            name,
            prev_offset,
            ended,
            holder,
            waiter,
            gone,
        })
    });
    prop_oneof![
        4 => lock.prop_map(Some),
        2 => put.prop_map(Some),
        2 => drop_fact().prop_map(Some),
        4 => create.prop_map(Some),
        4 => event.prop_map(Some),
        2 => delete.prop_map(Some),
        3 => timer_fact().prop_map(Some),
        1 => Just(Some(Body::FlushAll(fact::FlushAll {}))),
        1 => (0..4u32).prop_map(|level| Some(Body::SetLevel(fact::SetLevel { level }))),
        1 => any::<bool>().prop_map(|paused| Some(Body::SetAutomation(fact::SetAutomation {
            paused,
            ..fact::SetAutomation::default()
        }))),
        1 => Just(None),
    ]
    .prop_map(|body| Fact { body })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_applied_alone_is_never_stale_and_its_reply_comes_true(
        commands in vec((command(), 0..20u64), 1..40),
        limits in limits(),
    ) {
        let mut state = started();
        let mut now_ms = 1;
        for (command, pause_ms) in commands {
            now_ms += pause_ms;
            let Ok((_, reply)) = run(&mut state, &command, now_ms, &limits) else { continue };
            prop_assert_eq!(state.check_invariants(), Ok(()));
            if let Reply::Applied { ctx, to_state, applied: true, .. } = reply
                && let Command::ApplyEvent(apply) = &command
            {
                let instance_id = apply.instance_id.clone();
                let Ok(Reply::Instance(now)) = state.query(&Query::GetInstance { instance_id })
                    else { panic!("the instance is gone") };
                prop_assert_eq!(now.ctx, ctx);
                prop_assert_eq!(now.state, to_state);
            }
        }
    }

    #[test]
    fn a_snapshot_at_any_point_replays_to_the_whole(
        commands in vec((command(), 0..20u64), 1..40),
        limits in limits(),
        cut in 0..40usize,
    ) {
        let mut state = started();
        let mut copy = (cut == 0).then(|| reload(&state));
        let mut now_ms = 1;
        for (position, (command, pause_ms)) in commands.iter().enumerate() {
            now_ms += pause_ms;
            let frozen = state.clone();
            let before = shown(&frozen);
            if let Ok((Some(entry), _)) = run(&mut state, command, now_ms, &limits) {
                let decoded = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
                if let Some(copy) = &mut copy {
                    prop_assert_eq!(copy.apply(&decoded, entry.index), Ok(EntryOutcome::Applied));
                }
            }
            prop_assert_eq!(before, shown(&frozen), "a clone changed");
            if position + 1 == cut {
                copy = Some(reload(&state));
            }
        }
        if let Some(copy) = copy {
            prop_assert_eq!(shown(&copy), shown(&state));
            prop_assert_eq!(copy.recompute_digest(), state.digest());
        }
    }

    #[test]
    fn deciding_over_what_is_in_flight_is_deciding_after_it_was_applied(
        commands in vec((command(), 0..20u64, any::<bool>()), 1..40),
        limits in limits(),
    ) {
        // While the entry that removes a key is still in flight, the engine answers a repetition with that key. So no
        // key may be removed here.
        let limits = Limits { idempotency_keys_max: 1000, idempotency_bytes_max: 0, ..limits };
        let mut ahead = started();
        let mut behind = ahead.clone();
        let mut pending = PendingEntries::new();
        let mut in_flight: VecDeque<Entry> = VecDeque::new();
        let mut now_ms = 1;
        for (command, pause_ms, settle) in commands {
            now_ms += pause_ms;
            let offset = ahead.last_applied() + 1;
            let nothing = PendingEntries::new();
            let after = decided(&ahead, &nothing, &command, offset, now_ms, &limits);
            let over = decided(&behind, &pending, &command, offset, now_ms, &limits);
            prop_assert_eq!(format!("{after:?}"), format!("{over:?}"));
            let at = DecideAt { offset, now_ms, actor: "test", meta: None, limits: &limits, reach: None };
            if command != Command::FlushAll {
                let prepared = prepare(&behind, &command, &at);
                let landed = prepared.land(&behind, &pending, &command, &at);
                prop_assert_eq!(landed.is_some(), is_settled(&behind, &pending, &command));
                if let Some(landed) = landed {
                    prop_assert_eq!(format!("{landed:?}"), format!("{over:?}"));
                }
            }
            if let Ok(Decision::Write { entry, compiled, .. }) = over {
                prop_assert_eq!(
                    ahead.apply_compiled(&entry, offset, &compiled),
                    Ok(EntryOutcome::Applied)
                );
                pending.push(&entry, &compiled);
                in_flight.push_back(entry);
                prop_assert_eq!(ahead.check_invariants(), Ok(()));
            }
            if settle && let Some(entry) = in_flight.pop_front() {
                prop_assert_eq!(behind.apply(&entry, entry.index), Ok(EntryOutcome::Applied));
                pending.settle(entry.index);
            }
            prop_assert_eq!(pending.check_invariants(behind.last_applied()), Ok(()));
            prop_assert_eq!(behind.check_invariants(), Ok(()));
        }
        for entry in in_flight {
            prop_assert_eq!(behind.apply(&entry, entry.index), Ok(EntryOutcome::Applied));
            pending.settle(entry.index);
        }
        prop_assert!(pending.is_empty());
        prop_assert_eq!(shown(&ahead), shown(&behind));
    }

    #[test]
    fn any_entry_is_applied_whole_or_changes_nothing(
        entries in vec((vec(any_fact(), 0..4), 0..9u64, 0..60u64), 1..30),
    ) {
        let mut state = started();
        let mut twin = state.clone();
        for (facts, index, time_ms) in entries {
            let offset = state.last_applied() + 1;
            let entry = Entry {
                // Mostly right, so that the facts are looked at.
                index: if index == 0 { 0 } else { offset },
                time_ms,
                facts,
                actor: String::new(),
                meta: None,
                key_bounds: Some(KeyBounds { retention_ms: 20, keys_max: 3, bytes_max: 500, of_lives: true }),
            };
            let before = shown(&state);
            let outcome = state.apply(&entry, offset);
            prop_assert_eq!(twin.apply(&entry, offset), outcome.clone());
            if outcome != Ok(EntryOutcome::Applied) {
                prop_assert_eq!(shown(&state), before);
            }
            prop_assert_eq!(state.is_stale(offset), outcome == Ok(EntryOutcome::Stale));
            prop_assert_eq!(state.check_invariants(), Ok(()));
            let reloaded = reload(&state);
            prop_assert_eq!(reloaded.check_invariants(), Ok(()));
            prop_assert_eq!(shown(&reloaded), shown(&state));
            if outcome.is_err() {
                state.skip(offset);
                twin.skip(offset);
            }
        }
        prop_assert_eq!(shown(&twin), shown(&state));
    }
}
