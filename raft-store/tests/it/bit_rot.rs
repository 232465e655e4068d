//! Every bit of a data folder, flipped alone: the store reads what was written, or nothing.
//!
//! A flip is refused with the file and an offset at or before it, or costs nothing: derived files
//! are written again, and bytes above the last durable mark are cut off. `verify` names every flip
//! that costs something, and no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::log::{Log, options};
use crate::support::{OnTokio, entry};
use bytes::Bytes;
use rstmdb_raft_store::{
    Entry, Error, FileSystem, Identity, Keyring, MemFs, Options, RealFs, SnapshotInfo,
    SnapshotMeta, Store, Vote, log_id, verify,
};

/// The content of every file.
type Folder = BTreeMap<PathBuf, Vec<u8>>;

/// All that can be read of a folder.
#[derive(Clone, Debug, PartialEq)]
struct Content {
    entries: Vec<Entry>,
    vote: Option<Vote>,
    purged: Option<rstmdb_raft_store::LogId>,
    snapshots: Vec<SnapshotInfo>,
    records: Vec<Bytes>,
    identity: Option<Identity>,
    met: Option<u128>,
}

impl Content {
    fn of<F: FileSystem>(store: &Store<F>) -> Result<Self, Error> {
        let snapshots = store.snapshots();
        let records = match snapshots.current()? {
            Some(newest) => snapshots.open_records(&newest)?.collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Content {
            entries: store.read(store.earliest_index(), usize::MAX, usize::MAX)?,
            vote: store.vote(),
            purged: store.purged(),
            snapshots: snapshots.list(),
            records,
            identity: store.identity()?,
            met: store.roster()?.incarnation_of(2),
        })
    }
}

/// Segments that hold a handful of entries each.
fn tiny() -> Options {
    let mut options = options();
    options.segment_bytes = 768;
    options.cluster_id = 7;
    options
}

fn numbered(index: u64) -> Entry {
    entry(1, index, format!("payload {index}"))
}

/// A log from 6 on in sealed segments and one that is written to, the history before it from
/// another node, a snapshot, an identity, a roster. `marked`: closed by a mark over all of it.
fn folder(marked: bool) -> (Folder, Content) {
    let fs = MemFs::new(0);
    let mut log = Log::open(&fs, &tiny()).unwrap();
    let identity = Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation: 11,
        cluster_name: "rot".into(),
    };
    log.store.write_identity(&identity).unwrap();
    log.store.roster().unwrap().meet(2, 20).unwrap();
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, 5)),
        ..SnapshotMeta::default()
    };
    let records = (0..4).map(|n| Bytes::from(format!("record {n}")));
    log.store.snapshots().write(&meta, 9, records).unwrap();
    log.purge(log_id(1, 5)).unwrap();
    (6..26).for_each(|index| log.write(index));
    log.vote(Vote::new(3, 1)).unwrap();
    let mut history = log.store.receive_history(2, 5).unwrap();
    history
        .push(&(2..6).map(numbered).collect::<Vec<_>>())
        .unwrap();
    history.finish().unwrap();
    assert!(log.store.stats().segment_count > 3);
    if marked {
        log.writer.idle();
    }
    let content = Content::of(&log.store).unwrap();
    let expected: Vec<Entry> = (2..26).map(numbered).collect();
    assert_eq!(content.entries, expected);
    (files_of(&fs), content)
}

fn files_of(fs: &MemFs) -> Folder {
    let dirs = ["/data", "/data/wal", "/data/history", "/data/snapshots"];
    let mut files = Folder::new();
    for dir in dirs.map(Path::new) {
        for name in fs.list(dir).unwrap() {
            files.insert(dir.join(&name), fs.content(&dir.join(&name)).unwrap());
        }
    }
    files
}

fn disk(files: &Folder) -> MemFs {
    let fs = MemFs::new(0);
    for (path, content) in files {
        drop(fs.create(path).unwrap());
        fs.set_content(path, content).unwrap();
    }
    fs
}

/// What one flip leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// An error that names the file and an offset at or before the flip; `verify` says the same.
    Refused,
    /// Everything is read as it was.
    Harmless,
    /// The last batch, which no mark covers, is cut off at or before the flip.
    Cut,
}

fn fate(files: &Folder, content: &Content, path: &Path, bit: usize) -> Fate {
    let mut files = files.clone();
    files.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
    let fs = disk(&files);
    let report = verify(&fs, Path::new("/data"), &Keyring::default(), false);
    fs.kill();
    let read = Store::open(fs.clone(), tiny()).and_then(|(store, _)| Content::of(&store));
    let context = || format!("{} bit {bit}: {report:?}", path.display());
    match read {
        Ok(read) if read == *content => {
            assert!(report.is_intact(), "{}", context());
            Fate::Harmless
        }
        Ok(read) => {
            assert!(report.is_intact(), "{}", context());
            assert!(content.entries.starts_with(&read.entries), "{}", context());
            let rest = Content {
                entries: content.entries.clone(),
                vote: content.vote,
                ..read
            };
            assert_eq!(rest, *content, "{}", context());
            Fate::Cut
        }
        Err(Error::Damaged { file, offset, .. }) => {
            assert_eq!(file, path, "{}", context());
            assert!(offset <= bit as u64 / 8, "{offset}: {}", context());
            let named = |damage: &rstmdb_raft_store::Damage| {
                damage.file == path && damage.offset <= bit as u64 / 8
            };
            assert!(report.damages.iter().any(named), "{}", context());
            Fate::Refused
        }
        Err(error) => panic!("{error}: {}", context()),
    }
}

/// The fates of all bits of the files in `folder` that have this in their path, by byte.
fn fates(files: &Folder, content: &Content, part: &str) -> Vec<Vec<Fate>> {
    let matching = files
        .iter()
        .filter(|(path, _)| path.to_str().unwrap().contains(part));
    let mut all = Vec::new();
    for (path, bytes) in matching {
        for byte in 0..bytes.len() {
            let bits = (8 * byte..8 * byte + 8).map(|bit| fate(files, content, path, bit));
            all.push(bits.collect());
        }
    }
    assert!(!all.is_empty(), "{part}");
    all
}

fn all_are(fates: &[Vec<Fate>], expected: Fate) -> bool {
    fates.iter().flatten().all(|fate| *fate == expected)
}

/// The segments in their order.
fn segments(files: &Folder) -> Vec<String> {
    let named = files.keys().filter(|path| path.starts_with("/data/wal"));
    named
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn in_a_sealed_segment_every_flip_is_refused() {
    let (files, content) = folder(true);
    let segments = segments(&files);
    // The first holds the gap, the second only entries, as all that follow.
    for sealed in &segments[..2] {
        assert!(all_are(&fates(&files, &content, sealed), Fate::Refused));
    }
}

#[test]
fn in_a_marked_segment_every_flip_is_refused_but_in_the_mark_and_the_reserve() {
    let (files, content) = folder(true);
    let active = segments(&files).pop().unwrap();
    let fates = fates(&files, &content, &active);
    let refused = fates
        .iter()
        .take_while(|bits| bits.iter().all(|fate| *fate == Fate::Refused));
    let refused = refused.count();
    assert!(refused > 160, "{refused}");
    assert!(all_are(&fates[refused..], Fate::Harmless));
}

#[test]
fn in_an_unmarked_segment_every_flip_is_refused_or_cuts_the_last_batch() {
    let (files, content) = folder(false);
    let active = segments(&files).pop().unwrap();
    let fates = fates(&files, &content, &active);
    let one_fate = |bits: &Vec<Fate>| bits.iter().all(|fate| fate == &bits[0]);
    assert!(fates.iter().all(one_fate));
    let mut order: Vec<Fate> = fates.iter().map(|bits| bits[0]).collect();
    order.dedup();
    assert_eq!(order, [Fate::Refused, Fate::Cut, Fate::Harmless]);
}

#[test]
fn in_a_snapshot_every_flip_is_refused() {
    let (files, content) = folder(true);
    assert!(all_are(&fates(&files, &content, ".snap"), Fate::Refused));
}

#[test]
fn in_history_every_flip_is_refused() {
    let (files, content) = folder(true);
    assert!(all_are(&fates(&files, &content, "history"), Fate::Refused));
}

#[test]
fn in_identity_and_roster_every_flip_is_refused() {
    let (files, content) = folder(true);
    for name in ["identity.json", "peers.json"] {
        assert!(all_are(&fates(&files, &content, name), Fate::Refused));
    }
}

#[test]
fn in_the_index_of_snapshots_every_flip_is_harmless() {
    let (files, content) = folder(true);
    assert!(all_are(
        &fates(&files, &content, "index.json"),
        Fate::Harmless
    ));
}

/// Sampled bits of the catalog, on a real disk: a flip costs the catalog at most.
#[test]
fn in_the_catalog_a_flip_is_harmless() {
    const SEED: u64 = 7;
    let pristine = tempfile::tempdir().unwrap();
    let content = real_folder(pristine.path());
    let catalog = real_files(&pristine.path().join("catalog"));
    let bytes: usize = catalog.values().map(Vec::len).sum();
    let mut random = SEED;
    for sample in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut place = (random >> 20) as usize % bytes;
        let (path, before) = catalog
            .iter()
            .find(|(_, content)| {
                let here = place < content.len();
                place -= if here { 0 } else { content.len() };
                here
            })
            .unwrap();
        let mut flipped = before.clone();
        flipped[place] ^= 1 << (random % 8);
        let dir = pristine.path().join("catalog");
        std::fs::remove_dir_all(&dir).unwrap();
        for (path, content) in &catalog {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::write(path, &flipped).unwrap();
        let (store, _writer) = Store::open(RealFs, real_options(pristine.path())).unwrap();
        let read = Content::of(&store).unwrap();
        assert_eq!(read, content, "sample {sample} of seed {SEED}: {path:?}");
    }
}

fn real_options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = 768;
    options.cache_bytes = 0;
    options
}

/// Purged segments, so that the catalog's word on them is taken at the start.
fn real_folder(dir: &Path) -> Content {
    use futures_util::FutureExt;
    use openraft::RaftTypeConfig;
    use openraft::async_runtime::{AsyncRuntime, Oneshot};
    use openraft::storage::{IOFlushed, RaftLogStorage};
    type OneshotOf = <<OnTokio as RaftTypeConfig>::AsyncRuntime as AsyncRuntime>::Oneshot;

    let (store, mut writer) = Store::open(RealFs, real_options(dir)).unwrap();
    let mut raft = store.log_store::<OnTokio>();
    for index in 0..60 {
        let (done, _completion) = OneshotOf::channel::<Result<(), std::io::Error>>();
        let flushed = IOFlushed::signal(done);
        let appended = raft.append([numbered(index)], flushed).now_or_never();
        appended.unwrap().unwrap();
        writer.step();
    }
    raft.purge(log_id(1, 40)).now_or_never().unwrap().unwrap();
    writer.step();
    (0..12).for_each(|_| writer.idle());
    drop((raft, store));
    writer.run();
    let (store, _writer) = Store::open(RealFs, real_options(dir)).unwrap();
    Content::of(&store).unwrap()
}

fn real_files(dir: &Path) -> Folder {
    let mut files = Folder::new();
    for found in std::fs::read_dir(dir).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            files.extend(real_files(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}
