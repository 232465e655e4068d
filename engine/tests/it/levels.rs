//! Feature levels: the engine reads what the earlier program wrote unchanged, and writes nothing beyond the level.
//!
//! `fixtures/level-N/` has the log and the snapshot of a program that understood level N, and the digests that it had.
//! The files stay as they are. A program with a new level adds its own, once, by
//! `cargo test -p rstmdb-engine --test it levels::the_fixtures -- --ignored`.

#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};
use rstmdb_engine::fact::level::{CURRENT, FIRST, needed_by, needed_by_record};
use rstmdb_engine::fact::{Body, Fact, Message, SetLevel};
use rstmdb_engine::{
    Command, Decision, Entry, EntryOutcome, Error, Limits, PendingEntries, Refusal, Reply, State,
    StateLoader,
};

use crate::common::{ORDER, apply, create, decided, delete, put, reload, run};

fn folder(level: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/level-{level}"))
}

fn framed(messages: impl IntoIterator<Item = Bytes>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.put_u32_le(message.len() as u32);
        bytes.extend_from_slice(&message);
    }
    bytes
}

fn unframed(bytes: Vec<u8>) -> Vec<Bytes> {
    let mut rest = Bytes::from(bytes);
    let mut messages = Vec::new();
    while rest.has_remaining() {
        let length = rest.get_u32_le() as usize;
        messages.push(rest.split_to(length));
    }
    messages
}

/// Every kind of fact and record that the first level has.
fn commands() -> Vec<Command> {
    let mut commands = vec![put("order", 1, ORDER)];
    for number in 0..6 {
        let id = format!("i{number}");
        commands.push(create(&id, Some(r#"{"total":3}"#), Some("k")));
        commands.push(apply(&id, "PAY", Some(r#"{"by":"ann"}"#), Some("k")));
        commands.push(apply(&id, "NOTE", None, None));
        if number % 2 == 0 {
            commands.push(delete(&id, Some("k")));
        }
    }
    commands
}

#[test]
#[ignore = "makes the fixtures of this level, once"]
fn the_fixtures_of_this_level_are_made() {
    let limits = Limits {
        allow_instance_recreate: false,
        allow_flush_all: true,
        ..Limits::default()
    };
    let mut state = State::new();
    let (mut entries, mut digests) = (Vec::new(), String::new());
    let mut commands = commands();
    commands.push(Command::FlushAll);
    commands.extend(self::commands());
    for (number, command) in commands.iter().enumerate() {
        let now_ms = 1_700_000_000_000 + 10 * number as u64;
        let (entry, _) = run(&mut state, command, now_ms, &limits).unwrap();
        entries.push(Bytes::from(entry.unwrap().encode_to_vec()));
        writeln!(digests, "{:032x}", state.digest()).unwrap();
    }
    let dir = folder(state.level());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("entries.bin"), framed(entries)).unwrap();
    std::fs::write(dir.join("snapshot.bin"), framed(state.records())).unwrap();
    std::fs::write(dir.join("digests.txt"), digests).unwrap();
}

#[test]
fn what_a_program_of_the_first_level_wrote_gives_the_state_that_it_had() {
    let dir = folder(FIRST);
    let digests = std::fs::read_to_string(dir.join("digests.txt")).unwrap();
    let entries = unframed(std::fs::read(dir.join("entries.bin")).unwrap());
    assert_eq!(digests.lines().count(), entries.len());
    let mut state = State::new();
    for (bytes, digest) in entries.iter().zip(digests.lines()) {
        let entry = Entry::decode(bytes.clone()).unwrap();
        assert_eq!(needed_by(&entry), FIRST, "{entry}");
        assert_eq!(entry.encode_to_vec(), bytes.to_vec(), "{entry}");
        let offset = entry.index;
        assert_eq!(state.apply(&entry, offset), Ok(EntryOutcome::Applied));
        assert_eq!(format!("{:032x}", state.digest()), digest, "at {offset}");
    }
    let records = unframed(std::fs::read(dir.join("snapshot.bin")).unwrap());
    let mut loader = StateLoader::new();
    for record in &records {
        assert_eq!(needed_by_record(record), FIRST);
        loader.push(record.clone()).unwrap();
    }
    let loaded = loader.finish().unwrap();
    assert_eq!((loaded.digest(), loaded.level()), (state.digest(), FIRST));
    // The order of used ids in a snapshot is that of a hash table.
    let written: usize = state.records().map(|record| record.len()).sum();
    assert_eq!(written, records.iter().map(Bytes::len).sum::<usize>());
}

fn raise(state: &mut State, level: u32) -> Result<(Option<Entry>, Reply), Refusal> {
    run(state, &Command::SetLevel { level }, 5, &Limits::default())
}

#[test]
fn a_level_is_raised_once_and_never_lowered() {
    let mut state = State::new();
    assert!(state.is_untouched());
    let (entry, reply) = raise(&mut state, 2).unwrap();
    assert_eq!(entry.unwrap().to_string(), "@1 feature level 2");
    assert_eq!(reply, Reply::LevelSet { from: 1, to: 2 });
    assert_eq!(state.level(), 2);
    assert!(!state.is_untouched());
    for level in [1, 2] {
        let (entry, reply) = raise(&mut state, level).unwrap();
        assert_eq!((entry, reply), (None, Reply::LevelSet { from: 2, to: 2 }));
    }
    for level in [0, CURRENT + 1] {
        let refusal = raise(&mut state, level).unwrap_err();
        assert!(refusal.to_string().contains("levels 1 to 2"), "{refusal}");
    }
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn a_level_counts_in_the_digest_outlives_a_flush_and_is_in_snapshots() {
    let limits = Limits {
        allow_flush_all: true,
        ..Limits::default()
    };
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 5, &limits).unwrap();
    let before = state.digest();
    assert!(state.records().all(|record| needed_by_record(&record) == 1));
    raise(&mut state, 2).unwrap();
    assert_ne!(state.digest(), before);
    run(&mut state, &Command::FlushAll, 5, &limits).unwrap();
    assert_eq!(state.level(), 2);
    let header = state.records().next().unwrap();
    assert_eq!(needed_by_record(&header), 2);
    let loaded = reload(&state);
    assert_eq!((loaded.level(), loaded.digest()), (2, state.digest()));
    assert_eq!(loaded.check_invariants(), Ok(()));
}

fn setting(level: u32, index: u64) -> Entry {
    Entry {
        index,
        facts: vec![Fact::from(Body::SetLevel(SetLevel { level }))],
        ..Entry::default()
    }
}

#[test]
fn a_program_that_understands_less_applies_and_loads_nothing_of_a_higher_level() {
    let mut old = State::new().understanding(1);
    let before = old.digest();
    let error = old.apply(&setting(2, 1), 1).unwrap_err();
    assert!(
        matches!(
            error,
            Error::LevelNotUnderstood {
                level: 2,
                understood: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("entry 1 is of feature level 2"),
        "{error}"
    );
    assert_eq!(
        (old.digest(), old.level()),
        (before, 1),
        "it has changed nothing"
    );
    let mut state = State::new();
    raise(&mut state, 2).unwrap();
    let mut loader = StateLoader::understanding(1);
    let error = loader.push(state.records().next().unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the snapshot is of feature level 2"),
        "{error}"
    );
    let mut new = State::new();
    let error = new.apply(&setting(CURRENT + 1, 1), 1).unwrap_err();
    assert!(error.to_string().contains("a newer version"), "{error}");
}

#[test]
fn a_level_that_is_not_higher_is_stale_in_the_log() {
    let mut state = State::new();
    raise(&mut state, 2).unwrap();
    for (level, offset) in [(2, 2), (1, 3), (0, 4)] {
        let outcome = state.apply(&setting(level, offset), offset);
        assert_eq!(outcome, Ok(EntryOutcome::Stale));
    }
    assert_eq!(state.level(), 2);
}

#[test]
fn a_level_in_flight_counts_for_what_is_decided_behind_it() {
    let (state, mut pending) = (State::new(), PendingEntries::new());
    let limits = Limits::default();
    let command = Command::SetLevel { level: 2 };
    let decision = decided(&state, &pending, &command, 1, 5, &limits).unwrap();
    let Decision::Write {
        entry, compiled, ..
    } = decision
    else {
        panic!("{decision:?}");
    };
    pending.push(&entry, &compiled);
    let again = decided(&state, &pending, &command, 2, 5, &limits).unwrap();
    assert!(
        matches!(
            again,
            Decision::Answer {
                reply: Reply::LevelSet { from: 2, to: 2 },
                ..
            }
        ),
        "{again:?}"
    );
    pending.settle(1);
    assert!(pending.is_empty());
    assert_eq!(pending.check_invariants(1), Ok(()));
}

#[test]
fn what_the_level_does_not_reach_is_refused_with_what_is_needed() {
    use rstmdb_engine::fact::level::Feature;
    assert_eq!(Refusal::unless_reached(2, Feature::Meta), Ok(()));
    let mut refusal = Refusal::unless_reached(1, Feature::Meta).unwrap_err();
    assert_eq!(refusal.code(), "FEATURE_LEVEL");
    assert!(
        refusal.to_string().contains("finalize-upgrade"),
        "{refusal}"
    );
    refusal.name_holders(|needed| vec![u64::from(needed) + 1]);
    assert_eq!(
        refusal.details(),
        serde_json::json!({"needed": 2, "current": 1, "held_back_by": [3]})
    );
    assert!(
        refusal.to_string().contains("upgrade node 3 first"),
        "{refusal}"
    );
    let mut inside = Refusal::InBatch {
        index: 1,
        refusal: Box::new(Refusal::unless_reached(1, Feature::Emits).unwrap_err()),
    };
    inside.name_holders(|_| vec![4]);
    assert_eq!(inside.details()["held_back_by"], serde_json::json!([4]));
}

#[test]
fn the_level_is_not_raised_inside_a_batch() {
    use rstmdb_engine::BatchOp;
    let batch = Command::Batch(vec![BatchOp::Write(Command::SetLevel { level: 2 })]);
    let refusal = run(&mut State::new(), &batch, 5, &Limits::default()).unwrap_err();
    assert!(
        refusal.to_string().contains("not allowed in a batch"),
        "{refusal}"
    );
}
