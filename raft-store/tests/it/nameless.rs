//! Folders without `identity.json`: empty ones, new ones, and used ones that have lost it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::log::{Log, options, outcome};
use bytes::Bytes;
use rstmdb_raft_store::{
    Entry, Error, FileSystem, Identity, Keyring, MemFs, Membership, NodeInfo, Payload, RealFs,
    SnapshotMeta, Store, StoredMembership, VerifyReport, begin_restore, log_id, verify,
};

const DIR: &str = "/data";

fn verified(fs: &MemFs) -> VerifyReport {
    verify(fs, Path::new(DIR), &Keyring::default(), false)
}

fn missing(report: &VerifyReport) -> Option<Error> {
    report.missing_identity(Path::new(DIR))
}

/// A used folder that has lost `identity.json`.
fn without_identity() -> Log {
    let mut log = Log::new();
    let identity = Identity {
        cluster_id: 5,
        node_id: 1,
        incarnation: 7,
        cluster_name: String::new(),
    };
    log.store.write_identity(&identity).unwrap();
    (0..5).for_each(|index| log.write(index));
    assert!(missing(&log.verify()).is_none());
    FileSystem::remove(&log.fs, &PathBuf::from(DIR).join("identity.json")).unwrap();
    log
}

#[test]
fn a_used_folder_misses_its_identity() {
    let log = without_identity();
    let report = log.verify();
    assert!(report.is_intact(), "the log is whole: {report:?}");
    let said = missing(&report).unwrap().to_string();
    let begins =
        "/data/identity.json is missing, but the folder was in use (1 segment of the log). ";
    assert!(said.starts_with(begins), "{said}");
    // Nor is it empty where the log is gone, too.
    FileSystem::remove(&log.fs, &log.segment(1)).unwrap();
    log.fs
        .create(Path::new("/data/snapshots/snap-1.snap"))
        .unwrap();
    log.fs.create(Path::new("/data/peers.json")).unwrap();
    let said = missing(&log.verify()).unwrap().to_string();
    assert!(said.contains("(1 snapshot, peers.json)"), "{said}");
}

fn members(ids: &[u64]) -> Membership {
    let voters: BTreeSet<u64> = ids.iter().copied().collect();
    let nodes = ids.iter().map(|id| (*id, NodeInfo::default()));
    let nodes: BTreeMap<u64, NodeInfo> = nodes.collect();
    Membership::new(vec![voters], nodes).unwrap()
}

fn set_members(log: &mut Log, index: u64, ids: &[u64]) {
    let entry = Entry {
        log_id: log_id(1, index),
        payload: Payload::Membership(members(ids)),
    };
    let completion = log.append(vec![entry]).unwrap();
    log.writer.step();
    assert!(outcome(completion).unwrap().is_ok());
}

#[test]
fn a_whole_log_names_the_only_member_of_its_newest_membership() {
    let mut log = without_identity();
    let only = |log: &Log| log.verify().only_member(Path::new(DIR));
    assert_eq!(only(&log), None, "the log has no membership");
    set_members(&mut log, 5, &[3]);
    assert_eq!(only(&log), Some(3));
    set_members(&mut log, 6, &[3, 4]);
    assert_eq!(only(&log), None, "there is another member");
    log.truncate(Some(log_id(1, 5))).unwrap();
    log.writer.step();
    assert_eq!(only(&log), Some(3), "that membership was cut off");
    // A snapshot may have a newer one.
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, 9)),
        last_membership: StoredMembership::new(Some(log_id(1, 8)), members(&[3, 5])),
    };
    let records = std::iter::once(Bytes::from("a record"));
    log.store.snapshots().write(&meta, 7, records).unwrap();
    assert_eq!(only(&log), None, "there is another member");
}

#[test]
fn a_log_that_is_not_whole_names_no_member() {
    let mut log = without_identity();
    set_members(&mut log, 5, &[3]);
    let path = log.segment(1);
    let mut content = log.fs.content(&path).unwrap();
    content[300] ^= 1;
    log.fs.set_content(&path, &content).unwrap();
    let report = log.verify();
    assert!(!report.is_intact() && missing(&report).is_some());
    assert_eq!(report.only_member(Path::new(DIR)), None);
}

#[test]
fn a_first_start_that_was_broken_off_and_had_another_key_misses_only_that() {
    let keys = |byte: &str| Keyring::parse(&format!("5 {}\n", byte.repeat(32))).unwrap();
    let mut options = options();
    options.keys = keys("11");
    let log = Log::open(&MemFs::new(0), &options).unwrap();
    log.fs.kill();
    options.keys = keys("22");
    let report = verify(&log.fs, Path::new(DIR), &options.keys, false);
    assert_eq!(report.locked.len(), 1, "{report:?}");
    assert!(missing(&report).is_none(), "{report:?}");
    let refused = Store::open(log.fs.clone(), options).map(drop).unwrap_err();
    assert!(matches!(refused, Error::KeyWrong { .. }), "{refused}");
}

#[test]
fn a_first_start_that_was_broken_off_misses_nothing() {
    let log = Log::new();
    let report = log.verify();
    assert!(
        report.is_intact() && missing(&report).is_none(),
        "{report:?}"
    );
}

#[test]
fn an_empty_folder_is_called_empty() {
    let fs = MemFs::new(0);
    for dir in ["/data", "/data/wal", "/data/snapshots"] {
        fs.create_dir_all(Path::new(dir)).unwrap();
        let report = verified(&fs);
        assert!(
            report.is_intact() && missing(&report).is_none(),
            "{report:?}"
        );
        assert!(report.notes[0].contains("is empty"), "{report:?}");
    }
    let real = tempfile::tempdir().unwrap();
    let report = verify(&RealFs, real.path(), &Keyring::default(), true);
    assert!(report.is_intact(), "{report:?}");
    let [note] = report.notes.as_slice() else {
        panic!("{report:?}");
    };
    assert!(note.contains("is empty"), "{note}");
}

#[test]
fn a_restore_that_was_interrupted_is_called_that() {
    let fs = MemFs::new(0);
    drop(begin_restore(fs.clone(), options()).unwrap());
    let report = verified(&fs);
    assert!(missing(&report).is_none(), "{report:?}");
    let [damage] = report.damages.as_slice() else {
        panic!("{report:?}");
    };
    assert!(damage.what.contains("interrupted"), "{damage}");
}

#[test]
fn a_log_whose_folder_is_gone_is_damage() {
    let log = without_identity();
    let identity = Identity {
        cluster_id: 5,
        node_id: 1,
        incarnation: 7,
        cluster_name: String::new(),
    };
    log.store.write_identity(&identity).unwrap();
    log.fs.remove_dir_all(Path::new("/data/wal")).unwrap();
    let report = log.verify();
    let [damage] = report.damages.as_slice() else {
        panic!("{report:?}");
    };
    assert!(damage.what.contains("its log is gone"), "{damage}");
    assert!(matches!(log.reopen().map(drop), Err(Error::Damaged { .. })));
}
