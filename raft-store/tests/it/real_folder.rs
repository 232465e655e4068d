//! A folder of the operating system: who may enter it, what reading it changes, and what happens when it goes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use rstmdb_raft_store::{Error, Identity, Keyring, Options, RealFs, Store, VerifyReport, verify};

fn open(dir: &Path) -> (Store<RealFs>, JoinHandle<()>) {
    let (store, writer) = Store::open(RealFs, Options::new(dir)).unwrap();
    let writer = std::thread::spawn(move || {
        // A failed store ends its writer too.
        writer.run();
    });
    (store, writer)
}

fn close((store, writer): (Store<RealFs>, JoinHandle<()>)) {
    drop(store);
    writer.join().unwrap();
}

fn checked(dir: &Path) -> VerifyReport {
    verify(&RealFs, dir, &Keyring::default(), true)
}

/// Everything below a folder, with what a change of it would show.
fn seen(dir: &Path) -> BTreeMap<PathBuf, (u32, u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        if meta.is_dir() {
            found.extend(seen(&path));
        }
        let mode = meta.permissions().mode() & 0o777;
        found.insert(path, (mode, meta.len(), meta.modified().unwrap()));
    }
    found
}

#[test]
fn what_the_store_makes_is_for_its_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("data");
    close(open(&dir));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    // What is in the catalog is sled's; its folder lets none but the owner in.
    assert_eq!(mode(&dir.join("catalog")), 0o700);
    for (path, (mode, ..)) in seen(&dir) {
        if path.starts_with(dir.join("catalog")) {
            continue;
        }
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
    }
}

#[test]
fn verify_creates_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    close(open(dir.path()));
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    let before = seen(dir.path());
    let report = checked(dir.path());
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.notes, [""; 0]);
    assert_eq!(seen(dir.path()), before);
}

#[test]
fn verify_says_that_a_node_runs_and_calls_nothing_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let running = open(dir.path());
    let report = checked(dir.path());
    assert!(report.is_intact(), "{report:?}");
    let [note] = report.notes.as_slice() else {
        panic!("{report:?}");
    };
    assert!(note.contains("a node is running on this folder"), "{note}");
    close(running);
}

#[test]
fn what_a_later_version_wrote_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer) = open(dir.path());
    let identity = Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation: 5,
        cluster_name: "tests".into(),
    };
    store.write_identity(&identity).unwrap();
    close((store, writer));
    let path = dir.path().join("identity.json");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("\"format_version\": 1", "\"format_version\": 99");
    let (content, _) = text.rsplit_once(",\n  \"crc32c\"").unwrap();
    let checksum = crc32c::crc32c(content.as_bytes());
    let text = format!("{content},\n  \"crc32c\": \"{checksum:08x}\"\n}}\n");
    fs::write(&path, text).unwrap();
    let report = checked(dir.path());
    assert!(report.damages.is_empty(), "{report:?}");
    assert!(report.unread[0].contains("format version 99"), "{report:?}");
    assert!(!report.is_intact());
}

#[test]
fn a_folder_that_is_removed_or_replaced_fails_the_store() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("data");
    for replaced in [false, true] {
        let (store, writer) = open(&dir);
        store.check_folder().unwrap();
        let aside = above.path().join(format!("aside-{replaced}"));
        fs::rename(&dir, &aside).unwrap();
        if replaced {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("LOCK"), "").unwrap();
        }
        let Err(Error::Failed(first)) = store.check_folder() else {
            panic!("a folder that is gone was not noticed");
        };
        assert!(matches!(&*first, Error::FolderGone { dir: gone } if *gone == dir));
        assert!(store.failed().is_some());
        close((store, writer));
        let _ = fs::remove_dir_all(&dir);
    }
}
