//! Snapshots: round trip, transfer, damage, crashes, and the index beside them.

use std::path::{Path, PathBuf};

use crate::support::log::{Log, options};
use bytes::Bytes;
use openraft::Membership;
use rstmdb_raft_store::{
    Error, FileSystem, Identity, MemFs, NodeInfo, SnapshotHandle, SnapshotMeta, SnapshotReceiver,
    SnapshotStore, StoredMembership, log_id,
};

fn meta(index: u64) -> SnapshotMeta {
    let info = NodeInfo {
        peer_addr: "a:1".into(),
        rcp_addr: "a:2".into(),
    };
    let members = Membership::new(
        vec![[1].into()],
        std::collections::BTreeMap::from([(1, info)]),
    );
    SnapshotMeta {
        last_log_id: Some(log_id(2, index)),
        last_membership: StoredMembership::new(Some(log_id(1, 0)), members.unwrap()),
    }
}

fn records(count: u64) -> impl Iterator<Item = Bytes> {
    (0..count).map(|n| Bytes::from(format!("record {n} {}", "x".repeat((n % 700) as usize))))
}

fn read(store: &SnapshotStore<MemFs>, handle: &SnapshotHandle<MemFs>) -> Result<Vec<Bytes>, Error> {
    store.open_records(handle)?.collect()
}

fn path(name: &str) -> PathBuf {
    Path::new("/data/snapshots").join(name)
}

#[test]
fn a_snapshot_reads_back_as_written_after_a_power_cut() {
    let log = Log::new();
    let written = log
        .store
        .snapshots()
        .write(&meta(9), 77, records(5000))
        .unwrap();
    assert_eq!(written.info().records, 5000);
    log.fs.crash();
    let log = log.reopen().unwrap();
    let store = log.store.snapshots();
    let current = store.current().unwrap().unwrap();
    assert_eq!(current.meta(), &meta(9));
    assert_eq!(current.digest(), 77);
    assert_eq!(current.info(), written.info());
    assert_eq!(
        read(&store, &current).unwrap(),
        records(5000).collect::<Vec<_>>()
    );
}

#[test]
fn an_empty_snapshot_and_an_empty_record_are_fine() {
    let store = Log::new().store.snapshots();
    let empty = store
        .write(&SnapshotMeta::default(), 0, std::iter::empty())
        .unwrap();
    assert_eq!(read(&store, &empty).unwrap().len(), 0);
    let one = store
        .write(&meta(1), 0, [Bytes::new()].into_iter())
        .unwrap();
    assert_eq!(read(&store, &one).unwrap(), vec![Bytes::new()]);
}

#[test]
fn the_newest_replaces_the_older_which_open_handles_still_read() {
    let log = Log::new();
    let store = log.store.snapshots();
    let old = store.write(&meta(1), 0, records(10)).unwrap();
    store.write(&meta(2), 0, records(20)).unwrap();
    assert_eq!(store.list().len(), 1);
    assert!(log.fs.content(&path("snap-1-2.snap")).is_err());
    assert_eq!(read(&store, &old).unwrap().len(), 10);
}

#[test]
fn a_snapshot_travels_in_blocks_and_is_verified_on_arrival() {
    let from = Log::new().store.snapshots();
    let sent = from.write(&meta(4), 5, records(3000)).unwrap();
    let target = Log::new();
    let to = target.store.snapshots();
    let mut receiver = to.receive().unwrap();
    while let block = sent.read_block(receiver.bytes(), 1000).unwrap()
        && !block.is_empty()
    {
        receiver.write_block(&block).unwrap();
    }
    let received = receiver.finish().unwrap();
    assert_eq!((received.meta(), received.digest()), (&meta(4), 5));
    assert_eq!(read(&to, &received).unwrap().len(), 3000);

    let mut broken = to.receive().unwrap();
    let mut bytes = sent.read_block(0, usize::MAX >> 1).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    broken.write_block(&bytes).unwrap();
    assert!(matches!(broken.finish(), Err(Error::Damaged { .. })));
    let mut short = to.receive().unwrap();
    short.write_block(&bytes[..middle]).unwrap();
    assert!(matches!(short.finish(), Err(Error::Damaged { .. })));
    assert_eq!(to.list().len(), 1);
    assert!(target.fs.content(&path("incoming-2.tmp")).is_err());
}

/// A stream that breaks leaves its receiver waiting; another one may come and go meanwhile.
#[test]
fn two_snapshots_can_be_on_their_way_in_at_once() {
    let (source, target) = (Log::new(), Log::new());
    let (from, to) = (source.store.snapshots(), target.store.snapshots());
    let older = from.write(&meta(4), 5, records(300)).unwrap();
    let newer = from.write(&meta(9), 6, records(400)).unwrap();
    let mut waiting = to.receive().unwrap();
    let mut other = to.receive().unwrap();
    for (sent, receiver) in [(&older, &mut waiting), (&newer, &mut other)] {
        receiver
            .write_block(&sent.read_block(0, 100).unwrap())
            .unwrap();
    }
    drop(to.receive().unwrap());
    // On another thread, as another call would find it.
    let other = std::thread::spawn(move || take_in(&newer, other))
        .join()
        .unwrap();
    assert_eq!(other.meta(), &meta(9));
    let waiting = take_in(&older, waiting);
    assert_eq!((waiting.info(), waiting.meta()), (older.info(), &meta(4)));
    assert_eq!(read(&to, &waiting).unwrap().len(), 300);
    assert_eq!(to.current().unwrap().unwrap().meta(), &meta(9));
}

fn take_in(
    sent: &SnapshotHandle<MemFs>,
    mut receiver: SnapshotReceiver<MemFs>,
) -> SnapshotHandle<MemFs> {
    loop {
        let block = sent.read_block(receiver.bytes(), 1000).unwrap();
        if block.is_empty() {
            return receiver.finish().unwrap();
        }
        receiver.write_block(&block).unwrap();
    }
}

#[test]
fn every_flip_and_every_cut_is_found() {
    let log = Log::new();
    let store = log.store.snapshots();
    let handle = store.write(&meta(3), 0, records(12)).unwrap();
    let file = path("snap-3-2.snap");
    let content = log.fs.content(&file).unwrap();
    for place in 0..content.len() {
        let mut flipped = content.clone();
        flipped[place] ^= 4;
        log.fs.set_content(&file, &flipped).unwrap();
        match read(&store, &handle) {
            Err(Error::Damaged { offset, .. }) => assert!(offset <= place as u64),
            // The version and flag fields ask for a newer build, and the refusal says so.
            Ok(_) => panic!("a flip at {place} went unnoticed"),
            Err(_) => {}
        }
        log.fs.set_content(&file, &content[..place]).unwrap();
        assert!(
            read(&store, &handle).is_err(),
            "a cut at {place} went unnoticed"
        );
    }
    let mut longer = content.clone();
    longer.push(0);
    log.fs.set_content(&file, &longer).unwrap();
    assert!(read(&store, &handle).is_err());
}

#[test]
fn a_damaged_snapshot_is_refused_at_the_start_and_named_by_verify() {
    let log = Log::new();
    log.store
        .snapshots()
        .write(&meta(3), 0, records(12))
        .unwrap();
    let file = path("snap-3-2.snap");
    let content = log.fs.content(&file).unwrap();
    log.fs
        .set_content(&file, &content[..content.len() - 1])
        .unwrap();
    let report = log.verify();
    assert_eq!(report.damages[0].file, file);
    assert!(matches!(log.reopen().map(drop), Err(Error::Damaged { .. })));
}

#[test]
fn a_snapshot_of_another_cluster_or_under_another_name_is_refused() {
    let of_cluster = |cluster_id| {
        let mut options = options();
        options.cluster_id = cluster_id;
        let log = Log::open(&MemFs::new(0), &options).unwrap();
        let node = Identity {
            cluster_id,
            node_id: 1,
            incarnation: 7,
            cluster_name: String::new(),
        };
        log.store.write_identity(&node).unwrap();
        log
    };
    let (ours, theirs) = (of_cluster(1), of_cluster(2));
    let snapshots = theirs.store.snapshots();
    let written = snapshots.write(&meta(3), 0, records(12)).unwrap();
    let content = theirs.fs.content(&path("snap-3-2.snap")).unwrap();
    let receive = || {
        let mut receiver = ours.store.snapshots().receive()?;
        receiver.write_block(&written.read_block(0, content.len())?)?;
        receiver.finish()
    };
    assert!(matches!(receive(), Err(Error::Damaged { .. })));

    drop(FileSystem::create(&ours.fs, &path("snap-3-2.snap")).unwrap());
    ours.fs
        .set_content(&path("snap-3-2.snap"), &content)
        .unwrap();
    assert!(!ours.verify().is_intact());
    assert!(matches!(
        ours.reopen().map(drop),
        Err(Error::Damaged { .. })
    ));

    drop(FileSystem::create(&theirs.fs, &path("snap-9-2.snap")).unwrap());
    theirs
        .fs
        .set_content(&path("snap-9-2.snap"), &content)
        .unwrap();
    assert!(!theirs.verify().is_intact());
    assert!(matches!(
        theirs.reopen().map(drop),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn the_index_is_rebuilt_when_missing_or_damaged() {
    let mut log = Log::new();
    log.store
        .snapshots()
        .write(&meta(3), 0, records(12))
        .unwrap();
    let right = log.fs.content(&path("index.json")).unwrap();
    for wrong in [&b""[..], b"{", b"{\"format_version\":1,\"snapshots\":[]}"] {
        log.fs.set_content(&path("index.json"), wrong).unwrap();
        log = log.reopen().unwrap();
        assert_eq!(log.fs.content(&path("index.json")).unwrap(), right);
        assert!(log.store.snapshots().current().unwrap().is_some());
    }
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_snapshot_or_the_new() {
    use rstmdb_raft_store::fs::{DiskFault, FaultOp};
    let ops = [
        FaultOp::Open,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Name,
    ];
    for (op, nth) in ops.iter().flat_map(|op| (1..8).map(move |nth| (*op, nth))) {
        let log = Log::open(&MemFs::new(nth), &options()).unwrap();
        log.store
            .snapshots()
            .write(&meta(1), 0, records(5))
            .unwrap();
        let error = std::io::ErrorKind::Other;
        log.fs.inject(DiskFault {
            op,
            nth,
            error,
            sticky: true,
        });
        let written = log.store.snapshots().write(&meta(2), 0, records(9)).is_ok();
        log.fs.crash();
        let log = log.reopen().unwrap();
        let store = log.store.snapshots();
        let current = store.current().unwrap().unwrap();
        let index = current.info().index.unwrap();
        assert!(index == 2 || !written, "{op:?} {nth}");
        let expected = if index == 1 { 5 } else { 9 };
        assert_eq!(read(&store, &current).unwrap().len(), expected);
        assert!(log.verify().is_intact());
    }
}
