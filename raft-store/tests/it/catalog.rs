//! The catalog only saves time. If it is gone, damaged or wrong, the log is the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{OnTokio, entry};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use rstmdb_raft_store::{Keyring, LogStore, Options, RealFs, Store, log_id, verify};

async fn fill(dir: &Path) {
    let (store, writer) = open(dir);
    let writer = std::thread::spawn(|| writer.run());
    let mut log: LogStore<OnTokio, RealFs> = store.log_store();
    for index in 0..300 {
        log.blocking_append([entry(1, index, vec![b'x'; 100])])
            .await
            .unwrap();
    }
    log.save_committed(Some(log_id(1, 299))).await.unwrap();
    log.purge(log_id(1, 250)).await.unwrap();
    for index in 300..340 {
        log.blocking_append([entry(1, index, vec![b'x'; 100])])
            .await
            .unwrap();
    }
    store.sync().await.unwrap();
    drop((store, log));
    writer.join().unwrap();
}

fn open(dir: &Path) -> (Store<RealFs>, rstmdb_raft_store::Writer<RealFs>) {
    let mut options = Options::new(dir);
    options.segment_bytes = 4096;
    options.cache_bytes = 0;
    Store::open(RealFs, options).unwrap()
}

fn assert_whole(dir: &Path) {
    let (store, writer) = open(dir);
    let all = store.read(0, usize::MAX, usize::MAX).unwrap();
    assert_eq!(all.len(), 340);
    assert_eq!(store.purged(), Some(log_id(1, 250)));
    drop((store, writer));
    let before = files(dir);
    let report = verify(&RealFs, dir, &Keyring::default(), true);
    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert!(files(dir) == before, "verify changes nothing");
}

/// Every file with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[tokio::test]
async fn a_missing_or_damaged_catalog_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    assert_whole(dir.path());
    let catalog = dir.path().join("catalog");

    fs::remove_dir_all(&catalog).unwrap();
    assert_whole(dir.path());

    for file in fs::read_dir(&catalog).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let len = fs::metadata(&path).unwrap().len() as usize;
            fs::write(&path, vec![0xa5; len.max(100)]).unwrap();
        }
    }
    assert_whole(dir.path());

    fs::remove_dir_all(&catalog).unwrap();
    fs::write(&catalog, "not a folder").unwrap();
    let (store, writer) = open(dir.path());
    assert_eq!(store.read(0, usize::MAX, usize::MAX).unwrap().len(), 340);
    drop((store, writer));
}

#[tokio::test]
async fn a_catalog_of_another_folder_is_not_believed() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(ours.path()).await;
    {
        let (store, writer) = open(theirs.path());
        drop((store, writer));
    }
    fs::remove_dir_all(ours.path().join("catalog")).unwrap();
    fs::rename(theirs.path().join("catalog"), ours.path().join("catalog")).unwrap();
    assert_whole(ours.path());
}

#[tokio::test]
async fn purged_segments_are_not_read_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    assert_whole(dir.path());
    // Damage in purged history does not keep the node from starting; reading it is an error.
    let path = dir.path().join("wal/0000000000000001.wal");
    let mut content = fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, content).unwrap();
    let (store, _writer) = open(dir.path());
    assert!(store.read(0, usize::MAX, usize::MAX).is_err());
    assert_eq!(store.read(260, usize::MAX, usize::MAX).unwrap().len(), 80);
}
