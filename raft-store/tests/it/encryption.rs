//! Encryption at rest: what users write is nowhere in the folder in clear, only the right keys open
//! it, and a new key takes over while old files stay readable.

use std::path::{Path, PathBuf};

use crate::support::entry;
use crate::support::log::{Log, options, outcome};
use bytes::Bytes;
use rstmdb_raft_store::{
    Error, FileSystem, Keyring, MemFs, Options, SnapshotMeta, Store, StoredMembership, log_id,
};

/// A secret that is long enough to be compressed, and that the test surely finds in unencrypted files.
const SECRET: &str = "the customer's account number is DE89 3704 0044 0532 0130 00";

fn keys(ids: &[u32]) -> Keyring {
    let lines = ids
        .iter()
        .map(|id| format!("{id} {}\n", format!("{id:02x}").repeat(32)));
    Keyring::parse(&lines.collect::<String>()).unwrap()
}

fn encrypted(ids: &[u32]) -> Options {
    let mut options = options();
    options.segment_bytes = 4096;
    options.keys = keys(ids);
    options
}

fn payload(index: u64) -> String {
    format!(
        "{index}: {SECRET}; {}",
        "padding ".repeat(index as usize % 60)
    )
}

/// Entries up to `last`, in several segments, and a snapshot of them.
fn fill(log: &mut Log, last: u64) {
    let first = log.last_index().map_or(0, |last| last + 1);
    for index in first..=last {
        let completion = log.append(vec![entry(1, index, payload(index))]).unwrap();
        log.writer.step();
        assert!(outcome(completion).unwrap().is_ok());
    }
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, last)),
        last_membership: StoredMembership::default(),
    };
    let records = (0..2000).map(|n| Bytes::from(payload(n)));
    log.store.snapshots().write(&meta, 7, records).unwrap();
}

fn files(fs: &MemFs) -> Vec<PathBuf> {
    let folders = ["/data", "/data/wal", "/data/snapshots", "/data/history"];
    let files = folders.iter().flat_map(|dir| {
        let names = fs.list(Path::new(dir)).unwrap();
        names.into_iter().map(|name| Path::new(dir).join(name))
    });
    files.collect()
}

/// The files that show any eight bytes of the secret.
fn telling(fs: &MemFs) -> Vec<PathBuf> {
    let shows = |path: &PathBuf| {
        let content = fs.content(path).unwrap();
        let parts = SECRET.as_bytes().windows(8);
        parts.into_iter().any(|part| {
            let mut windows = content.windows(part.len());
            windows.any(|window| window == part)
        })
    };
    files(fs).into_iter().filter(shows).collect()
}

/// Whether a snapshot's blocks can be decompressed without a key: compression alone hides the secret, but not well.
fn has_zstd(log: &Log) -> bool {
    let current = log.store.snapshots().current().unwrap().unwrap();
    let path = Path::new("/data/snapshots").join(&current.info().file);
    let content = log.fs.content(&path).unwrap();
    content
        .windows(4)
        .any(|window| window == [0x28, 0xB5, 0x2F, 0xFD])
}

fn assert_whole(log: &mut Log, last: u64) {
    let entries = log.store.read(0, usize::MAX, usize::MAX).unwrap();
    assert_eq!(entries.len() as u64, last + 1);
    for (index, found) in entries.iter().enumerate() {
        assert_eq!(*found, entry(1, index as u64, payload(index as u64)));
    }
    let snapshots = log.store.snapshots();
    let current = snapshots.current().unwrap().unwrap();
    let records: Vec<_> = snapshots.open_records(&current).unwrap().collect();
    assert_eq!(records.len(), 2000);
    for (n, record) in records.into_iter().enumerate() {
        assert_eq!(record.unwrap(), payload(n as u64));
    }
    let report = log.verify();
    assert!(report.is_intact(), "{report:?}");
}

#[test]
fn nothing_of_what_was_written_stands_in_the_folder() {
    let mut plain = Log::open(&MemFs::new(0), &options()).unwrap();
    fill(&mut plain, 60);
    let found = [PathBuf::from("/data/wal/0000000000000001.wal")];
    assert_eq!(telling(&plain.fs), found, "the test finds what is there");
    assert!(has_zstd(&plain));

    let mut log = Log::open(&MemFs::new(0), &encrypted(&[1])).unwrap();
    fill(&mut log, 60);
    assert!(log.store.stats().segment_count > 3);
    assert_eq!(telling(&log.fs), [""; 0].map(PathBuf::from));
    assert!(!has_zstd(&log));
    assert_whole(&mut log, 60);
    let mut log = log.reopen().unwrap();
    assert_whole(&mut log, 60);
    fill(&mut log, 90);
    assert_whole(&mut log.reopen().unwrap(), 90);
}

#[test]
fn without_the_right_key_the_start_is_refused_with_the_id_it_needs() {
    let mut log = Log::open(&MemFs::new(0), &encrypted(&[5])).unwrap();
    fill(&mut log, 30);
    log.fs.kill();
    for given in [Keyring::default(), keys(&[1, 2])] {
        let mut options = encrypted(&[5]);
        options.keys = given.clone();
        let refused = Store::open(log.fs.clone(), options).map(drop).unwrap_err();
        assert!(
            matches!(refused, Error::KeyMissing { key_id: 5, .. }),
            "{refused}"
        );
        let report = rstmdb_raft_store::verify(&log.fs, &log.options.dir, &given, false);
        assert_eq!(report.damages, [], "a missing key is no damage");
        assert!(report.locked.iter().all(|file| file.contains("key 5")));
        assert!(!report.is_intact());
    }
    let mut options = encrypted(&[5]);
    options.keys = Keyring::parse(&format!("5 {}", "00".repeat(32))).unwrap();
    let refused = Store::open(log.fs.clone(), options).map(drop).unwrap_err();
    assert!(
        matches!(refused, Error::KeyWrong { key_id: 5, .. }),
        "{refused}"
    );
    assert_whole(&mut log.reopen().unwrap(), 30);
}

#[test]
fn a_new_key_is_used_from_the_next_write_on_and_old_files_stay_readable() {
    let mut log = Log::open(&MemFs::new(0), &encrypted(&[1])).unwrap();
    fill(&mut log, 20);
    let before = log.store.stats().segment_count;
    log.options.keys.learn(&keys(&[1, 2]), false).unwrap();
    fill(&mut log, 21);
    assert_eq!(log.store.stats().segment_count, before);
    log.options.keys.learn(&keys(&[1, 2]), true).unwrap();
    fill(&mut log, 22);
    assert_eq!(log.store.stats().segment_count, before + 1);
    assert_whole(&mut log, 22);
    let mut log = log.reopen().unwrap();
    assert_whole(&mut log, 22);
    // The store needs the old key as long as files under it exist.
    log.fs.kill();
    let mut options = encrypted(&[2]);
    let refused = Store::open(log.fs.clone(), options.clone()).map(drop);
    assert!(matches!(refused, Err(Error::KeyMissing { key_id: 1, .. })));
    options.keys = keys(&[1, 2]);
    assert_whole(&mut Log::open(&log.fs, &options).unwrap(), 22);
}

#[test]
fn a_folder_that_was_not_encrypted_is_from_the_next_write_on() {
    let mut plain = encrypted(&[1]);
    plain.keys = Keyring::default();
    let mut log = Log::open(&MemFs::new(0), &plain).unwrap();
    fill(&mut log, 3);
    log.fs.kill();
    let mut log = Log::open(&log.fs, &encrypted(&[1])).unwrap();
    fill(&mut log, 40);
    assert_whole(&mut log, 40);
    let clear = telling(&log.fs);
    assert_eq!(clear, [PathBuf::from("/data/wal/0000000000000001.wal")]);
}

#[test]
fn a_torn_tail_is_written_over_with_another_session() {
    let mut log = Log::open(&MemFs::new(0), &encrypted(&[1])).unwrap();
    let segment = log.segment(1);
    log.append(vec![entry(1, 0, payload(0))]).unwrap();
    log.writer.step();
    let first = log.fs.content(&segment).unwrap();
    // The write is lost, and the same entry is written at the same place again.
    let mut torn = first.clone();
    torn[192 + 40..].fill(0);
    log.fs.set_content(&segment, &torn).unwrap();
    let mut log = log.reopen().unwrap();
    assert_eq!(log.last_index(), None);
    log.append(vec![entry(1, 0, payload(0))]).unwrap();
    log.writer.step();
    let second = log.fs.content(&segment).unwrap();
    assert_eq!(first[..192], second[..192], "the same file, the same key");
    assert_ne!(first[240..340], second[240..340], "never the same nonce");
}
