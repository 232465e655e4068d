//! What a restore and the check of a backup share: a state from a snapshot and entries, up to an end.

use crate::common::{ORDER, apply, create, put, run};
use bytes::Bytes;
use rstmdb_engine::chain::{EntryKind, Logged};
use rstmdb_engine::fact::Message;
use rstmdb_engine::replay::{Error, Replay, ReplayedEntry, SnapshotBeginning, Until};
use rstmdb_engine::{Command, Entry, Limits, State};

/// A log of four entries, one each ten milliseconds, and the state behind each.
fn log() -> (Vec<Entry>, Vec<State>) {
    let commands: [Command; 4] = [
        put("order", 1, ORDER),
        create("a", Some(r#"{"total":7}"#), None),
        apply("a", "PAY", None, None),
        create("b", None, None),
    ];
    let limits = Limits::default();
    let mut state = State::new();
    let (mut entries, mut states) = (Vec::new(), Vec::new());
    for (number, command) in commands.iter().enumerate() {
        let now_ms = 10 * (number as u64 + 1);
        let (entry, _) = run(&mut state, command, now_ms, &limits).unwrap();
        entries.push(entry.unwrap());
        states.push(state.clone());
    }
    (entries, states)
}

fn facts(entry: &Entry) -> Option<Bytes> {
    Some(entry.encode_to_vec().into())
}

/// Shows the replay an entry of facts, or one without any.
fn enter(replay: &mut Replay, offset: u64, facts: Option<Bytes>) -> Result<ReplayedEntry, Error> {
    replay.entry(&Logged {
        term: 1,
        offset,
        kind: match facts {
            Some(_) => EntryKind::Normal,
            None => EntryKind::Blank,
        },
        payload: &facts.unwrap_or_default(),
    })
}

fn hex(state: &State) -> String {
    format!("{:032x}", state.digest())
}

/// Replays the whole log; what became of each entry, and the replay.
fn replayed(entries: &[Entry], mut replay: Replay) -> (Vec<ReplayedEntry>, Replay) {
    let steps = entries.iter().map(|entry| {
        let step = enter(&mut replay, entry.index, facts(entry));
        step.unwrap()
    });
    let steps = steps.collect();
    (steps, replay)
}

fn begun(state: &State, until: Until) -> Replay {
    let mut beginning = SnapshotBeginning::new(state.last_applied(), &hex(state));
    for record in state.records() {
        beginning.push(record).unwrap();
    }
    beginning.finish(until).unwrap()
}

#[test]
fn the_log_alone_and_a_snapshot_with_what_follows_come_to_the_same_state() {
    let (entries, states) = log();
    let (steps, replay) = replayed(&entries, Replay::new(Until::End));
    assert_eq!(steps, [ReplayedEntry::Applied; 4]);
    replay.compare(4, Some(&hex(&states[3]))).unwrap();

    let (steps, replay) = replayed(&entries, begun(&states[1], Until::End));
    let (covered, applied) = (ReplayedEntry::Covered, ReplayedEntry::Applied);
    assert_eq!(steps, [covered, covered, applied, applied]);
    assert_eq!(hex(replay.state()), hex(&states[3]));
    assert_eq!(replay.into_state().last_applied(), 4);
}

#[test]
fn nothing_beyond_the_end_is_applied() {
    let (entries, states) = log();
    let (applied, beyond) = (ReplayedEntry::Applied, ReplayedEntry::Beyond);
    for (until, expected) in [
        (Until::Offset(3), [applied, applied, applied, beyond]),
        (Until::TimeMs(30), [applied, applied, applied, beyond]),
        (Until::TimeMs(29), [applied, applied, beyond, beyond]),
    ] {
        let mut replay = Replay::new(until);
        let mut steps = Vec::new();
        for entry in &entries {
            let step = enter(&mut replay, entry.index, facts(entry)).unwrap();
            steps.push(step);
            if step == beyond {
                break;
            }
        }
        let until_end = expected.iter().position(|step| *step == beyond).unwrap();
        assert_eq!(steps, expected[..=until_end], "{until:?}");
        assert_eq!(
            hex(replay.state()),
            hex(&states[until_end - 1]),
            "{until:?}"
        );
    }
}

#[test]
fn a_stale_entry_ends_no_replay_up_to_a_time() {
    let (entries, _) = log();
    // The entry was decided for another place in the log, by a leader whose clock was ahead.
    let stale = Entry {
        index: 9,
        time_ms: 1_000,
        ..entries[3].clone()
    };
    let mut replay = Replay::new(Until::TimeMs(40));
    for entry in &entries[..3] {
        enter(&mut replay, entry.index, facts(entry)).unwrap();
    }
    assert_eq!(
        enter(&mut replay, 4, facts(&stale)),
        Ok(ReplayedEntry::Applied)
    );
    assert!(replay.state().is_stale(4));
    let in_time = Entry {
        index: 5,
        ..entries[3].clone()
    };
    assert_eq!(
        enter(&mut replay, 5, facts(&in_time)),
        Ok(ReplayedEntry::Applied)
    );
    assert!(!replay.state().is_stale(5));
}

#[test]
fn entries_without_facts_are_passed_over() {
    let mut replay = Replay::new(Until::Offset(2));
    assert_eq!(enter(&mut replay, 1, None), Ok(ReplayedEntry::Applied));
    assert_eq!(enter(&mut replay, 2, None), Ok(ReplayedEntry::Applied));
    assert_eq!(enter(&mut replay, 3, None), Ok(ReplayedEntry::Beyond));
    assert_eq!(replay.state().last_applied(), 2);
}

#[test]
fn another_digest_is_refused_where_it_is_known_and_the_replay_is_there() {
    let (entries, states) = log();
    let (_, replay) = replayed(&entries, Replay::new(Until::End));
    let other = hex(&states[2]);
    replay.compare(4, None).unwrap();
    // A file that ends below the snapshot says nothing of this state.
    replay.compare(3, Some(&other)).unwrap();
    let refused = replay.compare(4, Some(&other)).unwrap_err();
    assert!(matches!(&refused, Error::Digest { offset: 4, known, .. } if *known == other));
    let text = refused.to_string();
    assert!(
        text.contains(&hex(&states[3])) && text.contains(&other),
        "{text}"
    );
}

#[test]
fn a_snapshot_of_another_state_is_refused() {
    let (_, states) = log();
    let finish = |offset, digest: &str, records: &[Bytes]| {
        let mut beginning = SnapshotBeginning::new(offset, digest);
        for record in records {
            beginning.push(record.clone())?;
        }
        beginning.finish(Until::End).map(drop)
    };
    let records: Vec<Bytes> = states[1].records().collect();
    let digest = hex(&states[1]);
    assert_eq!(finish(2, &digest, &records), Ok(()));
    let named = finish(3, &digest, &records).unwrap_err();
    assert_eq!(named, Error::Offset { found: 2, named: 3 });
    let other = finish(2, &hex(&states[0]), &records).unwrap_err();
    assert!(matches!(other, Error::Digest { offset: 2, .. }), "{other}");
    let cut = finish(2, &digest, &records[..records.len() - 1]).unwrap_err();
    assert!(matches!(cut, Error::Engine(_)), "{cut}");
}

#[test]
fn an_entry_that_cannot_be_applied_is_named_by_its_offset() {
    let (entries, _) = log();
    let mut replay = Replay::new(Until::End);
    enter(&mut replay, 1, facts(&entries[0])).unwrap();
    let garbage = Bytes::from_static(b"\xff\xff\xff");
    let refused = enter(&mut replay, 2, Some(garbage)).unwrap_err();
    assert!(
        matches!(&refused, Error::Undecodable { offset: 2, .. }),
        "{refused}"
    );
}
