#![allow(clippy::unwrap_used)]

use openraft::entry::RaftEntry;

use super::*;
use crate::types::{Data, Payload, log_id};

fn entries(from: u64, to: u64) -> Vec<Entry> {
    let entry = |index| Entry::new(log_id(1, index), Payload::Normal(Data(vec![7; 100].into())));
    (from..to).map(entry).collect()
}

/// Entries 5 to 29, of which those up to 9 are purged and those up to 19 written.
fn tail() -> Tail {
    let mut tail = Tail::new(HardState::default(), 1000);
    tail.append(entries(5, 30)).unwrap();
    tail.state.committed = Some(log_id(1, 15));
    assert!(!tail.purge(log_id(1, 9)));
    tail.written(20, tail.epoch);
    tail
}

#[test]
fn memory_is_sound_whatever_is_asked() {
    let mut tail = tail();
    assert_eq!(tail.fault(), None);
    assert!(tail.first() > 5, "nothing has left memory");
    tail.truncate(Some(log_id(1, 22)));
    assert_eq!((tail.fault(), tail.next()), (None, 23));
    tail.append(entries(23, 40)).unwrap();
    tail.truncate(Some(log_id(1, 9)));
    assert_eq!((tail.fault(), tail.next()), (None, 10));
    assert!(tail.purge(log_id(2, 99)));
    assert_eq!((tail.fault(), tail.next()), (None, 100));
    tail.gap_written(99);
    assert_eq!((tail.fault(), tail.gap_end()), (None, None));
}

#[test]
fn of_a_run_with_a_hole_nothing_is_taken() {
    let mut tail = tail();
    let run = [entries(30, 32), entries(33, 34)].concat();
    assert!(matches!(
        tail.append(run),
        Err(Error::OutOfOrder {
            got: 33,
            expected: 32
        })
    ));
    assert_eq!((tail.fault(), tail.next()), (None, 30));
}

#[test]
fn every_contradiction_in_memory_is_found() {
    type Spoil = fn(&mut Tail);
    let spoils: [(&str, Spoil); 8] = [
        ("purged beyond the end", |tail| {
            tail.state.purged = Some(log_id(1, 30));
        }),
        ("a lost entry at the end", |tail| {
            drop(tail.entries.pop_back())
        }),
        ("a lost entry in front", |tail| {
            drop(tail.entries.pop_front())
        }),
        ("not yet written, not in memory", |tail| {
            tail.written_to = tail.first - 1
        }),
        ("written beyond the end", |tail| tail.written_to = 31),
        ("wrong size", |tail| tail.bytes = 0),
        ("durably purged before it is purged", |tail| {
            tail.purged_durable = Some(10)
        }),
        ("a gap beyond the purge", |tail| tail.gap_end = Some(11)),
    ];
    for (name, spoil) in spoils {
        let mut tail = tail();
        spoil(&mut tail);
        assert!(tail.fault().is_some(), "{name}");
    }
}
