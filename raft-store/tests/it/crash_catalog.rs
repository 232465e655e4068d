//! The catalog after a power cut: it is a database with syncs of its own, so its files may be cut anywhere, and it may
//! be older or newer than the log. No reader notices: the store answers from the log. It lives in a real folder, so the
//! cuts are made in its files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{OnTokio, entry};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use rstmdb_raft_store::{Entry, Keyring, LogStore, Options, RealFs, Store, Writer, log_id, verify};

/// At how many places each file is cut.
const PLACES: u64 = 24;

fn open(dir: &Path) -> (Store<RealFs>, Writer<RealFs>) {
    let mut options = Options::new(dir);
    options.segment_bytes = 4096;
    options.cache_bytes = 0;
    Store::open(RealFs, options).unwrap()
}

fn entries(first: u64, last: u64) -> Vec<Entry> {
    (first..=last)
        .map(|index| entry(1, index, format!("payload {index:0100}")))
        .collect()
}

/// Adds entries over several segments and purges most of what is there then.
async fn grow(dir: &Path, first: u64, last: u64) {
    let (store, writer) = open(dir);
    let writer = std::thread::spawn(|| writer.run());
    let mut log: LogStore<OnTokio, RealFs> = store.log_store();
    for entry in entries(first, last) {
        log.blocking_append([entry]).await.unwrap();
    }
    log.save_committed(Some(log_id(1, last))).await.unwrap();
    log.purge(log_id(1, last - 20)).await.unwrap();
    store.sync().await.unwrap();
    drop((store, log));
    writer.join().unwrap();
}

/// All that is in the log, and nothing else; at this start, and at one with the catalog rebuilt.
fn assert_whole(dir: &Path, last: u64, what: &str) {
    for _ in 0..2 {
        let (store, writer) = open(dir);
        let found = store.read(0, usize::MAX, usize::MAX).unwrap();
        assert_eq!(found, entries(0, last), "{what}");
        assert_eq!(store.purged(), Some(log_id(1, last - 20)), "{what}");
        assert_eq!(store.last_log_id(), Some(log_id(1, last)), "{what}");
        drop((store, writer));
    }
    let report = verify(&RealFs, dir, &Keyring::default(), true);
    assert!(report.is_intact(), "{what}: {report:?}");
    assert_eq!(report.notes, [""; 0], "{what}");
}

/// A folder and everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Lengths of a file: the first bytes one by one, then evenly.
fn places(len: u64) -> Vec<u64> {
    let mut places: Vec<u64> = (0..len.min(8)).collect();
    places.extend((1..PLACES).map(|n| len * n / PLACES));
    places.sort_unstable();
    places.dedup();
    places
}

#[tokio::test]
async fn a_catalog_whose_files_end_anywhere_costs_nothing_but_time() {
    let good = tempfile::tempdir().unwrap();
    grow(good.path(), 0, 150).await;
    let catalog = good.path().join("catalog");
    let mut cuts = 0;
    for file in files(&catalog) {
        let name = file.strip_prefix(good.path()).unwrap();
        let content = fs::read(&file).unwrap();
        for place in places(content.len() as u64) {
            for zeros in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                copy(good.path(), dir.path());
                let mut cut = content[..place as usize].to_vec();
                if zeros {
                    cut.resize(content.len(), 0);
                }
                fs::write(dir.path().join(name), cut).unwrap();
                let what = format!("{} cut at {place}, zeros: {zeros}", name.display());
                assert_whole(dir.path(), 150, &what);
                cuts += 1;
            }
        }
        // The file's name may be lost as well.
        let dir = tempfile::tempdir().unwrap();
        copy(good.path(), dir.path());
        fs::remove_file(dir.path().join(name)).unwrap();
        assert_whole(dir.path(), 150, &format!("without {}", name.display()));
    }
    assert!(cuts > 20, "there was no catalog");
}

#[tokio::test]
async fn a_catalog_that_is_older_or_newer_than_the_log_is_put_right() {
    let stages = tempfile::tempdir().unwrap();
    let now = stages.path().join("now");
    fs::create_dir(&now).unwrap();
    let ends = [40, 90, 150, 220];
    let mut first = 0;
    for (n, last) in ends.into_iter().enumerate() {
        grow(&now, first, last).await;
        copy(&now, &stages.path().join(n.to_string()));
        first = last + 1;
    }
    for (of_log, last) in ends.into_iter().enumerate() {
        for of_catalog in 0..ends.len() {
            let dir = tempfile::tempdir().unwrap();
            copy(&stages.path().join(of_log.to_string()), dir.path());
            let catalog = dir.path().join("catalog");
            fs::remove_dir_all(&catalog).unwrap();
            let other = stages.path().join(of_catalog.to_string());
            copy(&other.join("catalog"), &catalog);
            let what = format!("log {of_log} with catalog {of_catalog}");
            assert_whole(dir.path(), last, &what);
        }
    }
}
