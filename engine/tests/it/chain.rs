//! The chain over the log: in the state, in snapshots, and in what a restore and the check of a backup replay.

use crate::common::{ORDER, apply, create, put, run};
use bytes::Bytes;
use proptest::prelude::*;
use rstmdb_engine::chain::{EntryHash, EntryKind, Head, Logged, MARK_OFFSETS};
use rstmdb_engine::fact::{Body, FlushAll, Message};
use rstmdb_engine::replay::{Error, Replay, SnapshotBeginning, Until};
use rstmdb_engine::{Entry, EntryOutcome, Limits, State, StateLoader};

/// An entry of a log, as it is kept.
#[derive(Clone)]
struct Kept {
    term: u64,
    kind: EntryKind,
    payload: Bytes,
}

impl Kept {
    fn logged(&self, offset: u64) -> Logged<'_> {
        Logged {
            term: self.term,
            offset,
            kind: self.kind,
            payload: &self.payload,
        }
    }
}

/// A log with entries of every kind: of facts, stale, blank, of a membership.
fn log() -> Vec<Kept> {
    let limits = Limits::default();
    let mut state = State::new();
    let mut log = Vec::new();
    for (number, command) in [
        put("order", 1, ORDER),
        create("a", Some(r#"{"total":7}"#), None),
        apply("a", "PAY", None, None),
        create("b", None, None),
    ]
    .iter()
    .enumerate()
    {
        let (entry, _) = run(&mut state, command, 10 * number as u64, &limits).unwrap();
        log.push(normal(1, &entry.unwrap()));
    }
    // Decided for another offset, so it is stale.
    log.push(normal(1, &Entry::default()));
    log.push(Kept {
        term: 2,
        kind: EntryKind::Blank,
        payload: Bytes::new(),
    });
    log.push(Kept {
        term: 2,
        kind: EntryKind::Membership,
        payload: Bytes::from_static(b"the members"),
    });
    log
}

fn normal(term: u64, entry: &Entry) -> Kept {
    Kept {
        term,
        kind: EntryKind::Normal,
        payload: entry.encode_to_vec().into(),
    }
}

/// A state that has applied the log, with a chain from `first` on.
fn state_of(log: &[Kept], first: u64) -> State {
    let mut state = State::new();
    state.begin_chain(first);
    go_on(&mut state, log, 0);
    state
}

/// Applies the log from behind `done` entries on.
fn go_on(state: &mut State, log: &[Kept], done: usize) {
    for (offset, kept) in (1u64..).zip(log).skip(done) {
        match kept.kind {
            EntryKind::Normal => {
                let entry = Entry::decode(kept.payload.clone()).unwrap();
                state.apply(&entry, offset).unwrap();
            }
            EntryKind::Blank | EntryKind::Membership => state.skip(offset),
        }
        state.link(offset, &kept.logged(offset).hash()).unwrap();
    }
}

fn reload(state: &State) -> State {
    let mut loader = StateLoader::new();
    for record in state.records() {
        loader.push(record).unwrap();
    }
    loader.finish().unwrap()
}

fn head(state: &State) -> Head {
    state.chain().unwrap().head()
}

#[test]
fn stale_blank_and_membership_entries_are_in_the_chain_like_all_others() {
    let log = log();
    let state = state_of(&log, 1);
    assert!(state.is_stale(5));
    let by_hand = (1..).zip(&log).fold(Head::BEGIN, |head, (offset, kept)| {
        head.then(&kept.logged(offset).hash())
    });
    assert_eq!(head(&state), by_hand);
    assert_eq!(state.chain().unwrap().last(), 7);
}

#[test]
fn a_state_from_a_snapshot_goes_on_with_the_chain_that_the_snapshot_had() {
    let log = log();
    let whole = state_of(&log, 1);
    for done in 0..=log.len() {
        let mut state = reload(&state_of(&log[..done], 1));
        go_on(&mut state, &log, done);
        assert_eq!(state.chain(), whole.chain(), "a snapshot at {done}");
    }
}

#[test]
fn a_chain_may_begin_within_the_log_and_begins_once() {
    let log = log();
    let mut late = state_of(&log, 4);
    assert_eq!(late.chain().unwrap().first(), 4);
    late.begin_chain(8);
    assert_eq!(late.chain().unwrap().first(), 4, "it had begun");
    assert_ne!(head(&late), head(&state_of(&log, 1)));
    let without = reload(&State::new());
    assert_eq!(without.chain(), None, "a log from before there was a chain");
}

#[test]
fn a_flush_removes_everything_but_the_chain() {
    let mut log = log();
    let flush = Entry {
        index: 8,
        time_ms: 1_000,
        facts: vec![Body::FlushAll(FlushAll::default()).into()],
        ..Entry::default()
    };
    log.push(normal(2, &flush));
    let state = state_of(&log, 1);
    assert_eq!(state.instance_count(), 0);
    let chain = state.chain().unwrap();
    assert_eq!((chain.first(), chain.last()), (1, 8));
}

#[test]
fn an_entry_that_is_left_out_of_the_chain_stops_the_node() {
    let log = log();
    let mut state = state_of(&log[..5], 1);
    state.skip(6);
    state.skip(7);
    let refused = state.link(7, &log[6].logged(7).hash()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "entry 7: the chain ends at 5, and entry 7 does not follow it"
    );
}

#[test]
fn marks_survive_a_snapshot() {
    let mut state = State::new();
    state.begin_chain(1);
    let hash = EntryHash([9; 32]);
    for offset in 1..=2 * MARK_OFFSETS + 1 {
        state.skip(offset);
        state.link(offset, &hash).unwrap();
    }
    let again = reload(&state);
    assert_eq!(again.chain(), state.chain());
    let marks: Vec<u64> = again.chain().unwrap().marks().map(|(at, _)| at).collect();
    assert_eq!(marks, [0, MARK_OFFSETS, 2 * MARK_OFFSETS]);
}

fn replayed(log: &[Kept], mut replay: Replay) -> Replay {
    for (offset, kept) in (1..).zip(log) {
        replay.entry(&kept.logged(offset)).unwrap();
    }
    replay
}

#[test]
fn a_replay_comes_to_the_head_that_the_cluster_had_and_refuses_another() {
    let log = log();
    let part = state_of(&log[..3], 1);
    let known = head(&state_of(&log, 1)).to_string();
    let mut beginning = SnapshotBeginning::new(3, &format!("{:032x}", part.digest()));
    for record in part.records() {
        beginning.push(record).unwrap();
    }
    let replay = replayed(&log, beginning.finish(Until::End).unwrap());
    replay.compare_head(7, Some(&known)).unwrap();
    replay.compare_head(7, None).unwrap();
    replay.compare_head(6, Some("of another offset")).unwrap();
    let other = head(&part).to_string();
    let refused = replay.compare_head(7, Some(&other)).unwrap_err();
    assert!(
        matches!(&refused, Error::Chain { offset: 7, found, .. } if *found == known),
        "{refused}"
    );
    let text = refused.to_string();
    assert!(text.contains(&known) && text.contains(&other), "{text}");
    assert!(replay.compare_head(7, Some("no head")).is_err());
}

#[test]
fn a_known_head_is_not_met_by_a_state_without_a_chain() {
    let replay = replayed(&log(), Replay::new(Until::End));
    let refused = replay.compare_head(7, Some(&Head::BEGIN.to_string()));
    assert!(matches!(refused, Err(Error::Chain { found, .. }) if found == "none"));
}

#[test]
fn an_entry_beyond_the_end_of_a_replay_is_not_in_its_chain() {
    let log = log();
    let mut beginning = SnapshotBeginning::new(0, &format!("{:032x}", State::new().digest()));
    let mut empty = State::new();
    empty.begin_chain(1);
    for record in empty.records() {
        beginning.push(record).unwrap();
    }
    let replay = replayed(&log, beginning.finish(Until::Offset(4)).unwrap());
    assert_eq!(replay.state().chain(), state_of(&log[..4], 1).chain());
}

proptest! {
    #[test]
    fn any_change_of_any_entry_changes_the_head(
        change in (0..7usize, 0..5usize, any::<prop::sample::Index>(), 1..=255u8)
    ) {
        let log = log();
        let (place, what, at, bits) = change;
        let hashes = |log: &[Kept]| -> Head {
            (1..).zip(log).fold(Head::BEGIN, |head, (offset, kept)| {
                head.then(&kept.logged(offset).hash())
            })
        };
        let mut other = log.clone();
        match what {
            0 => other[place].term += u64::from(bits),
            1 if !log[place].payload.is_empty() => {
                let mut bytes = log[place].payload.to_vec();
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
                other[place].payload = bytes.into();
            }
            2 => drop(other.remove(place)),
            3 => other.insert(place, log[place].clone()),
            _ => other.swap(place, (place + 1) % 7),
        }
        prop_assert_ne!(hashes(&other), hashes(&log));
    }
}

#[test]
fn an_entry_keeps_its_place_whatever_becomes_of_it() {
    let mut state = State::new();
    state.begin_chain(1);
    let entry = Entry::default();
    assert_eq!(state.apply(&entry, 1), Ok(EntryOutcome::Stale));
    let kept = normal(1, &entry);
    state.link(1, &kept.logged(1).hash()).unwrap();
    assert_eq!(head(&state), Head::BEGIN.then(&kept.logged(1).hash()));
}
