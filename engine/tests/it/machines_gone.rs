//! Machines that are deleted, and imports: what the state keeps, and what a snapshot brings back.

use crate::common::{ORDER, apply, create, delete, put, reload, run};
use rstmdb_engine::command::{BatchOp, DeleteMachine, Import, Query};
use rstmdb_engine::{
    Command, DecideAt, Decision, Limits, PendingEntries, Refusal, Reply, State, prepare,
};

fn gone(machine: &str, version: Option<u32>) -> Command {
    Command::DeleteMachine(DeleteMachine {
        machine: machine.to_owned(),
        version,
    })
}

/// At the level that all of this needs, with version 1 of the machine.
fn started(limits: &Limits) -> State {
    let mut state = State::new();
    run(&mut state, &Command::SetLevel { level: 2 }, 1, limits).unwrap();
    run(&mut state, &put("order", 1, ORDER), 1, limits).unwrap();
    state
}

fn same_after_reload(state: &State) -> State {
    assert_eq!(state.check_invariants(), Ok(()));
    let loaded = reload(state);
    assert_eq!(loaded.check_invariants(), Ok(()));
    assert_eq!(loaded.digest(), state.digest());
    assert_eq!(loaded.machine_count(), state.machine_count());
    loaded
}

#[test]
fn a_deleted_machine_stays_as_long_as_keys_name_it_also_over_a_snapshot() {
    let limits = Limits {
        idempotency_retention_ms: 1000,
        ..Limits::default()
    };
    let mut state = started(&limits);
    run(&mut state, &put("other", 1, ORDER), 1, &limits).unwrap();
    for command in [
        create("a", Some(r#"{"total":1}"#), Some("k")),
        apply("a", "PAY", None, Some("k")),
        delete("a", Some("k")),
        gone("order", None),
    ] {
        run(&mut state, &command, 10, &limits).unwrap();
        state = same_after_reload(&state);
    }
    assert_eq!((state.machine_count(), state.key_count()), (1, 3));
    // The same name and version, with another definition, beside the one that keys still name.
    let another = r#"{"states":["x"],"initial":"x","transitions":[]}"#;
    run(&mut state, &put("order", 1, another), 20, &limits).unwrap();
    run(&mut state, &create("a", None, Some("k")), 20, &limits).unwrap();
    state = same_after_reload(&state);
    assert_eq!(state.machine_count(), 2);
    // The keys of the earlier one are forgotten, one after the other.
    for now_ms in [1_500, 1_510, 3_000] {
        run(
            &mut state,
            &put("more", now_ms as u32, another),
            now_ms,
            &limits,
        )
        .unwrap();
        state = same_after_reload(&state);
    }
    assert_eq!(state.key_count(), 0);
    run(&mut state, &delete("a", None), 3_000, &limits).unwrap();
    run(&mut state, &gone("order", Some(1)), 3_000, &limits).unwrap();
    let state = same_after_reload(&state);
    assert_eq!(state.machine_count(), 4);
}

#[test]
fn a_free_number_is_used_again_and_counts_stay_right() {
    let limits = Limits::default();
    let mut state = started(&limits);
    for round in 0..20 {
        for version in 2..5 {
            run(&mut state, &put("order", version, ORDER), 1, &limits).unwrap();
        }
        run(&mut state, &gone("order", Some(3)), 1, &limits).unwrap();
        run(&mut state, &create("i", None, None), 1, &limits).unwrap();
        let in_use = run(&mut state, &gone("order", Some(1)), 1, &limits).unwrap_err();
        let used = vec![(1, 1)];
        let machine = "order".to_owned();
        assert_eq!(in_use, Refusal::MachineInUse { machine, used }, "{round}");
        run(&mut state, &delete("i", None), 1, &limits).unwrap();
        for version in [2, 4] {
            run(&mut state, &gone("order", Some(version)), 1, &limits).unwrap();
        }
        state = same_after_reload(&state);
        assert_eq!(state.machine_count(), 1);
    }
    // A snapshot holds every number once: nothing has piled up.
    assert!(state.records().count() < 10);
}

#[test]
fn an_import_that_was_decided_ahead_keeps_its_times() {
    let limits = Limits::default();
    let mut state = started(&limits);
    run(&mut state, &put("late", 1, ORDER), 1_000, &limits).unwrap();
    let import = |id: &str, updated_ms| {
        let Command::CreateInstance(mut new) = create(id, None, None) else {
            unreachable!("it creates");
        };
        new.import = Some(Box::new(Import {
            state: "paid".to_owned(),
            created_ms: None,
            updated_ms,
        }));
        BatchOp::Write(Command::CreateInstance(new))
    };
    let get = |id: &str| {
        BatchOp::Read(Query::GetInstance {
            instance_id: id.to_owned(),
        })
    };
    let batch = Command::Batch(vec![
        import("a", Some(500)),
        get("a"),
        import("b", None),
        get("b"),
    ]);
    let at = |now_ms| DecideAt {
        offset: state.last_applied() + 1,
        now_ms,
        actor: "",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let ahead = prepare(&state, &batch, &at(2_000));
    let nothing = PendingEntries::new();
    let landed = ahead.land(&state, &nothing, &batch, &at(2_400)).unwrap();
    let Ok(Decision::Write { entry, reply, .. }) = landed else {
        panic!("it writes");
    };
    let Reply::Batch(replies) = reply else {
        panic!("a batch");
    };
    let shown = |reply: &Reply| match reply {
        Reply::Instance(view) => (view.created_ms, view.updated_ms, view.last_wal_offset),
        other => panic!("{other:?}"),
    };
    let offset = entry.index;
    assert_eq!(shown(&replies[1]), (500, 500, offset));
    assert_eq!(shown(&replies[3]), (2_400, 2_400, offset));
    state.apply(&entry, offset).unwrap();
    assert_eq!(state.check_invariants(), Ok(()));
    for (id, ms) in [("a", 500), ("b", 2_400)] {
        let instance_id = id.to_owned();
        let found = state.query(&Query::GetInstance { instance_id }).unwrap();
        assert_eq!(shown(&found), (ms, ms, offset));
    }
}
