//! History that leaves the node for an archive, and is read again.

use std::path::Path;

use rstmdb_raft_store::{
    ArchiveFolder, ArchivedName, ArchivedObject, Error, Expired, FileSystem, Keyring, MemFs,
    Retention, Store, log_id,
};

use crate::support::entry;
use crate::support::log::{Log, options};

const KEYS: &str = "1 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A log `1..=120` in many segments, all but its end purged; with history `1..=20` from another node where that is
/// asked for.
fn purged_log(keys: &str, with_history: bool) -> Log {
    let mut options = options();
    options.segment_bytes = 1024;
    options.keys = Keyring::parse(keys).unwrap_or_default();
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    let first = if with_history { 21 } else { 1 };
    if with_history {
        log.purge(log_id(1, 20)).unwrap();
    }
    (first..=120).for_each(|index| log.write(index));
    log.commit(log_id(1, 120)).unwrap();
    if with_history {
        let mut receiver = log.store.receive_history(1, 20).unwrap();
        let run: Vec<_> = (1..=20)
            .map(|index| entry(1, index, format!("payload {index}")))
            .collect();
        receiver.push(&run).unwrap();
        receiver.finish().unwrap();
    }
    log.purge(log_id(1, 110)).unwrap();
    log.writer.step();
    log.writer.idle();
    log
}

fn nothing() -> Retention {
    Retention {
        events: Some(0),
        ..Retention::default()
    }
}

fn expired(store: &Store<MemFs>) -> Vec<Expired> {
    store.expired(&nothing(), u64::MAX, 0, usize::MAX)
}

fn form(store: &Store<MemFs>, file: &Expired) -> ArchivedObject {
    let form = store.archived_form(file, 7, 0, |offset| offset % 10 == 3);
    form.unwrap().unwrap()
}

#[test]
fn what_retention_drops_is_what_was_named_before_and_reads_the_same_from_the_archive() {
    for (keys, with_history) in [("", false), ("", true), (KEYS, false), (KEYS, true)] {
        let log = purged_log(keys, with_history);
        let before = log.store.read(1, usize::MAX, usize::MAX).unwrap();
        let files = expired(&log.store);
        assert!(files.len() > 3, "{} files", files.len());
        let objects: Vec<_> = files.iter().map(|file| form(&log.store, file)).collect();
        let reclaimed = log.store.retain(&nothing(), u64::MAX, 0).unwrap();
        assert_eq!(reclaimed.segments_deleted, files.len() as u64);
        let bytes: u64 = files.iter().map(Expired::bytes).sum();
        assert_eq!(reclaimed.bytes, bytes);
        let mut next = 1;
        for object in &objects {
            assert_eq!(object.name.first, next, "the objects join each other");
            let file = log
                .store
                .open_archived(&object.name, &object.bytes)
                .unwrap();
            for (entries, bytes) in [(usize::MAX, usize::MAX), (3, usize::MAX), (usize::MAX, 1)] {
                let mut at = next;
                while at <= object.name.last {
                    let read = file.read(at, entries, bytes).unwrap();
                    assert!(!read.is_empty() && read.len() <= entries);
                    for entry in &read {
                        assert_eq!(*entry, before[at as usize - 1]);
                        assert_eq!(file.is_stale(at), at % 10 == 3, "{at}");
                        at += 1;
                    }
                }
            }
            assert!(file.read(object.name.last + 1, 1, 1).unwrap().is_empty());
            next = object.name.last + 1;
        }
        assert_eq!(next, log.store.earliest_index());
        let copies = log.fs.list(Path::new("/data/archived")).unwrap();
        assert!(copies.is_empty(), "{copies:?}");
        let plain = b"payload 30".as_slice();
        let shows =
            |object: &ArchivedObject| object.bytes.windows(plain.len()).any(|at| at == plain);
        assert_eq!(objects.iter().any(shows), keys.is_empty());
    }
}

#[test]
fn a_file_that_its_caller_wants_to_keep_stays_with_all_behind_it() {
    let log = purged_log("", false);
    let files = expired(&log.store);
    let third = files[2].range().unwrap();
    let keep = |file: &Expired| file.range() != Some(third);
    let reclaimed = log.store.retain_while(&nothing(), u64::MAX, 0, &keep);
    assert_eq!(reclaimed.unwrap().segments_deleted, 2);
    assert_eq!(log.store.earliest_index(), third.0);
    assert_eq!(expired(&log.store), files[2..]);
}

#[test]
fn entries_of_which_the_state_no_longer_knows_whether_they_were_stale_stay_out_of_the_archive() {
    let log = purged_log("", false);
    let file = &expired(&log.store)[0];
    let (first, last) = file.range().unwrap();
    let form = |from| log.store.archived_form(file, 7, from, |_| false).unwrap();
    let object = form(first + 2).unwrap();
    assert_eq!((object.name.first, object.name.last), (first + 2, last));
    let opened = log
        .store
        .open_archived(&object.name, &object.bytes)
        .unwrap();
    assert!(opened.read(first + 1, 1, 1).unwrap().is_empty());
    assert!(form(last + 1).is_none());
}

#[test]
fn an_object_that_was_changed_in_any_way_is_refused() {
    let log = purged_log("", false);
    let object = form(&log.store, &expired(&log.store)[0]);
    let refused = |name: &ArchivedName, bytes: &[u8]| {
        let error = log.store.open_archived(name, bytes).err().unwrap();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("in the archive"), "{error}");
    };
    for at in (0..object.bytes.len()).step_by(97) {
        let mut bytes = object.bytes.clone();
        bytes[at] ^= 1;
        refused(&object.name, &bytes);
        refused(&object.name, &object.bytes[..at]);
    }
    let name = ArchivedName {
        last: object.name.last - 1,
        ..object.name.clone()
    };
    refused(&name, &object.bytes);
    let mut options = options();
    options.cluster_id = 9;
    let other = Log::open(&MemFs::new(0), &options).unwrap();
    let error = other.store.open_archived(&object.name, &object.bytes);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("is of cluster"), "{error}");
}

#[test]
fn an_object_whose_key_is_gone_says_which_key() {
    let log = purged_log(KEYS, false);
    let object = form(&log.store, &expired(&log.store)[0]);
    let other = Log::open(&MemFs::new(0), &options()).unwrap();
    let error = other.store.open_archived(&object.name, &object.bytes);
    assert!(matches!(
        error.err().unwrap(),
        Error::KeyMissing { key_id: 1, .. }
    ));
}

#[test]
fn damage_on_the_node_is_not_archived() {
    let log = purged_log("", false);
    let path = log.segment(1);
    let mut content = log.fs.content(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    log.fs.set_content(&path, &content).unwrap();
    let file = &expired(&log.store)[0];
    let error = log.store.archived_form(file, 7, 0, |_| false).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn what_is_in_a_folder_survives_a_power_cut_whole() {
    let fs = MemFs::new(0);
    let folder = ArchiveFolder::new(fs.clone(), Path::new("/archive"), "a");
    // It may be a file system that is not mounted.
    assert!(folder.list().is_err());
    assert!(folder.put("one", b"1").is_err());
    fs.create_dir_all(Path::new("/archive")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    assert!(folder.list().unwrap().is_empty());
    folder.put("one", b"1").unwrap();
    folder.put("two", b"22").unwrap();
    fs.crash();
    assert_eq!(folder.list().unwrap(), ["one", "two"]);
    assert_eq!(folder.get("two", 2).unwrap(), b"22");
    assert!(matches!(folder.get("two", 1), Err(Error::TooLarge { .. })));
    let missing = folder.get("three", 1).unwrap_err().to_string();
    assert!(missing.contains("/archive/a/three"), "{missing}");
    let other = ArchiveFolder::new(fs, Path::new("/archive"), "b");
    assert!(other.list().unwrap().is_empty());
}
