//! Folders without `identity.json`: empty ones, new ones, and used ones that have lost it.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use rstmdb_raft_store::{
    Damage, Error, FileSystem, Identity, Keyring, MemFs, RealFs, Report, begin_restore, verify,
};
use support::log::{Log, options};

const DIR: &str = "/data";

fn verified(fs: &MemFs) -> Report {
    verify(fs, Path::new(DIR), &Keyring::default(), false)
}

fn missing(report: &Report) -> Option<Damage> {
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
    let damage = missing(&report).unwrap();
    assert!(damage.file.ends_with("identity.json"), "{damage}");
    assert!(damage.what.contains("segments of the log: 1"), "{damage}");
    // Nor is it empty where the log is gone, too.
    FileSystem::remove(&log.fs, &log.segment(1)).unwrap();
    log.fs
        .create(Path::new("/data/snapshots/snap-1.snap"))
        .unwrap();
    log.fs.create(Path::new("/data/peers.json")).unwrap();
    let damage = missing(&log.verify()).unwrap();
    assert!(
        damage.what.ends_with("snapshots: 1, peers.json"),
        "{damage}"
    );
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
