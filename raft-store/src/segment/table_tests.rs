#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::fs::MemFs;

/// The file with the entries `from..to`.
fn file(number: u64, from: u64, to: u64) -> (Index, Arc<OpenedFile<<MemFs as FileSystem>::File>>) {
    let mut index = Index::default();
    index.summary.number = number;
    for entry in from..to {
        index.entry(entry, 192 + 64 * (entry - from));
    }
    let file = MemFs::new(0).create(Path::new("/file")).unwrap();
    (index, Arc::new(OpenedFile { file, cipher: None }))
}

fn push(table: &mut SegmentTable<MemFs>, number: u64, from: u64, to: u64) {
    let (index, file) = file(number, from, to);
    table.push(index, true, Some(file));
}

/// Segments 3 to 5 with the entries 10 to 39, and history before them.
fn table() -> SegmentTable<MemFs> {
    let mut table = SegmentTable::new();
    for number in 3..6 {
        push(&mut table, number, number * 10 - 20, number * 10 - 10);
    }
    let (index, file) = file(HISTORY_BIT | 4, 4, 10);
    table.push_history(index, true, Some(file));
    table
}

#[test]
fn a_table_is_sound_whatever_is_written() {
    let mut table = table();
    assert_eq!(table.fault(), None);
    table.entry(40, 4096);
    table.entry(41, 4160);
    assert_eq!(table.fault(), None);
    table.truncate(41);
    table.truncate(25);
    assert_eq!((table.fault(), table.last()), (None, Some(24)));
    table.entry(25, 8192);
    assert_eq!((table.fault(), table.last()), (None, Some(25)));
    table.gap(99);
    table.entry(100, 9000);
    assert_eq!((table.fault(), table.first()), (None, Some(100)));
    push(&mut table, 6, 101, 140);
    assert_eq!((table.fault(), table.last()), (None, Some(139)));
}

#[test]
fn the_oldest_files_are_closed_when_there_are_many() {
    let mut table = table();
    for number in 6..60 {
        push(&mut table, number, number * 10 - 20, number * 10 - 10);
        assert_eq!(table.fault(), None, "after segment {number}");
    }
}

#[test]
fn every_contradiction_in_a_table_is_found() {
    type Spoil = fn(&mut SegmentTable<MemFs>);
    let spoils: [(&str, Spoil); 8] = [
        ("no segment", |table| table.held.clear()),
        ("a segment is missing", |table| drop(table.held.remove(1))),
        ("a segment among history", |table| {
            table.history[0].index.summary.number = 2;
        }),
        ("more live than held", |table| {
            table.held[0].live = Some((10, 25))
        }),
        ("a hole", |table| table.held[1].live = Some((21, 29))),
        ("live without entries", |table| {
            table.held[0].index.summary.range = None;
        }),
        ("a position is missing", |table| {
            table.held[2].index.positions = Positions::default();
        }),
        ("open, but not indexed", |table| {
            table.held[0].indexed = false
        }),
    ];
    for (name, spoil) in spoils {
        let mut table = table();
        spoil(&mut table);
        assert!(table.fault().is_some(), "{name}");
    }
}
