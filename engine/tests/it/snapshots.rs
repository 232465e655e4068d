//! Records that were damaged, lost, repeated or put in another order never load as another state.

use crate::common::{ORDER, apply, create, delete, put, run};
use bytes::Bytes;
use proptest::prelude::*;
use rstmdb_engine::{Error, Limits, State, StateLoader};

/// Every kind of record, and keys with every kind of result.
fn state() -> State {
    let limits = Limits {
        allow_instance_recreate: false,
        ..Limits::default()
    };
    let mut state = State::new();
    let ctx = Some(r#"{"total":3,"text":"some words"}"#);
    let mut commands = vec![
        put("order", 1, ORDER),
        put(
            "order",
            2,
            r#"{"states":["a"],"initial":"a","transitions":[]}"#,
        ),
    ];
    for number in 0..12 {
        let id = format!("i{number}");
        commands.push(create(&id, ctx, Some("k")));
        commands.push(apply(&id, "PAY", Some(r#"{"by":"ann"}"#), Some("k")));
        if number % 3 == 0 {
            commands.push(apply(&id, "NOTE", None, None));
        }
        if number % 4 == 0 {
            commands.push(delete(&id, Some("k")));
        }
    }
    for command in &commands {
        run(&mut state, command, 7, &limits).unwrap();
    }
    state
}

fn load(records: Vec<Bytes>) -> Result<State, Error> {
    let mut loader = StateLoader::new();
    for record in records {
        loader.push(record)?;
    }
    loader.finish()
}

#[derive(Clone, Debug)]
enum Damage {
    Flip {
        record: usize,
        byte: usize,
        bits: u8,
    },
    Cut {
        record: usize,
        bytes: usize,
    },
    Drop(usize),
    Repeat(usize),
    Swap(usize, usize),
    Replace(usize, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<usize>();
    prop_oneof![
        6 => (at(), at(), 1..=255u8)
            .prop_map(|(record, byte, bits)| Damage::Flip { record, byte, bits }),
        2 => (at(), at()).prop_map(|(record, bytes)| Damage::Cut { record, bytes }),
        1 => at().prop_map(Damage::Drop),
        1 => at().prop_map(Damage::Repeat),
        1 => (at(), at()).prop_map(|(one, other)| Damage::Swap(one, other)),
        1 => (at(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(record, bytes)| Damage::Replace(record, bytes)),
    ]
}

fn damaged(mut records: Vec<Bytes>, damage: &Damage) -> Vec<Bytes> {
    let count = records.len();
    match damage {
        Damage::Flip { record, byte, bits } => {
            let mut bytes = records[record % count].to_vec();
            let length = bytes.len();
            bytes[byte % length] ^= bits;
            records[record % count] = bytes.into();
        }
        Damage::Cut { record, bytes } => {
            let record = &mut records[record % count];
            record.truncate(bytes % record.len());
        }
        Damage::Drop(record) => drop(records.remove(record % count)),
        Damage::Repeat(record) => records.insert(record % count, records[record % count].clone()),
        Damage::Swap(one, other) => records.swap(one % count, other % count),
        Damage::Replace(record, bytes) => records[record % count] = bytes.clone().into(),
    }
    records
}

#[test]
fn every_lost_repeated_or_swapped_record_is_noticed() {
    let records: Vec<Bytes> = state().records().collect();
    assert_eq!(load(records.clone()).unwrap().digest(), state().digest());
    for record in 0..records.len() {
        for damage in [Damage::Drop(record), Damage::Repeat(record)] {
            assert!(
                load(damaged(records.clone(), &damage)).is_err(),
                "{damage:?}"
            );
        }
        for other in record + 1..records.len() {
            let damage = Damage::Swap(record, other);
            // Records that do not depend on each other may change places: they load as the same state.
            let rigid = record <= 1 || other == records.len() - 1;
            match load(damaged(records.clone(), &damage)) {
                Err(_) => {}
                Ok(_) if rigid => panic!("{damage:?} was not noticed"),
                Ok(loaded) => assert_eq!(loaded.digest(), state().digest(), "{damage:?}"),
            }
        }
    }
}

#[test]
fn a_snapshot_cut_off_after_any_record_is_not_loaded() {
    let records: Vec<Bytes> = state().records().collect();
    for count in 0..records.len() {
        let error = load(records[..count].to_vec()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the snapshot is incomplete or damaged: its last record is missing"
        );
    }
}

#[test]
fn nothing_may_follow_the_last_record() {
    let mut records: Vec<Bytes> = state().records().collect();
    records.push(records[1].clone());
    let position = records.len() - 1;
    assert_eq!(
        load(records).err().unwrap().to_string(),
        format!("snapshot record {position} is damaged: it follows the last record")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_give_an_error_or_the_same_items(
        damages in prop::collection::vec(damage(), 1..3),
    ) {
        let state = state();
        let mut records: Vec<Bytes> = state.records().collect();
        for damage in &damages {
            if records.iter().all(|record| !record.is_empty()) {
                records = damaged(records, damage);
            }
        }
        if let Ok(loaded) = load(records) {
            prop_assert_eq!(loaded.digest(), state.digest());
            prop_assert_eq!(loaded.recompute_digest(), state.digest());
        }
    }
}
