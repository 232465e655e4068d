//! The owner of a folder, and the nodes that it has met. They keep a node that forgot its votes out of its cluster.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Barrier;

use crate::support::log::{Log, options};
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{
    Acquaintance, Error, FileSystem, Identity, Keyring, MemFs, Options, RealFs, Store,
    read_identity, rejoin, verify,
};

const PEERS: &str = "/data/peers.json";
const IDENTITY: &str = "/data/identity.json";

fn put(fs: &MemFs, path: &str, content: &[u8]) {
    drop(fs.create(Path::new(path)).unwrap());
    fs.set_content(Path::new(path), content).unwrap();
    fs.sync_dir(Path::new("/data")).unwrap();
}

/// A whole file from a JSON object without its end: what the writer would make of it.
fn checked(begin: &str) -> Vec<u8> {
    let checksum = crc32c::crc32c(begin.as_bytes());
    format!("{begin},\n  \"crc32c\": \"{checksum:08x}\"\n}}\n").into_bytes()
}

#[test]
fn a_node_is_known_from_the_first_meeting_on_in_one_incarnation_only() {
    let mut log = Log::new();
    let roster = log.store.roster().unwrap();
    assert_eq!(roster.incarnation_of(2), None);
    assert_eq!(roster.meet(2, 20).unwrap(), Acquaintance::New);
    assert_eq!(roster.meet(3, 30).unwrap(), Acquaintance::New);
    drop(roster);
    for _ in 0..2 {
        let roster = log.store.roster().unwrap();
        assert_eq!(roster.meet(2, 20).unwrap(), Acquaintance::Known);
        let other = Acquaintance::Other { recorded: 20 };
        assert_eq!(roster.meet(2, 21).unwrap(), other);
        assert_eq!(roster.meet(2, 0).unwrap(), other);
        assert_eq!(roster.incarnation_of(2), Some(20));
        assert_eq!(roster.incarnation_of(3), Some(30));
        drop(roster);
        log = log.reopen().unwrap();
    }
}

#[test]
fn all_handles_of_a_store_share_one_roster() {
    let log = Log::new();
    let (one, other) = (log.store.roster().unwrap(), log.store.clone().roster());
    let (other, third) = (other.unwrap(), one.clone());
    assert_eq!(one.meet(2, u128::MAX).unwrap(), Acquaintance::New);
    assert_eq!(other.meet(2, u128::MAX).unwrap(), Acquaintance::Known);
    assert_eq!(other.meet(3, 30).unwrap(), Acquaintance::New);
    assert_eq!(third.incarnation_of(3), Some(30));
    drop((one, other, third));
    let roster = log.reopen().unwrap().store.roster().unwrap();
    assert_eq!(roster.incarnation_of(2), Some(u128::MAX));
    assert_eq!(roster.incarnation_of(3), Some(30));
}

#[test]
fn a_known_node_costs_no_operation_on_the_disk() {
    let log = Log::new();
    let roster = log.store.roster().unwrap();
    roster.meet(2, 20).unwrap();
    let before = log.fs.operations();
    roster.meet(2, 20).unwrap();
    roster.meet(2, 21).unwrap();
    assert_eq!(log.fs.operations(), before);
}

#[test]
fn threads_that_meet_the_same_nodes_agree_on_each() {
    const NODES: u64 = 40;
    // On a real disk, which takes long enough for them to meet there.
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(RealFs, Options::new(dir.path())).unwrap().0;
    let roster = open().roster().unwrap();
    let start = Barrier::new(4);
    let met: Vec<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4u128)
            .map(|incarnation| {
                let (roster, start) = (&roster, &start);
                scope.spawn(move || {
                    let meet = |node| {
                        start.wait();
                        roster.meet(node, incarnation)
                    };
                    (0..NODES).map(meet).collect()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for node in 0..NODES {
        let recorded = roster.incarnation_of(node).unwrap();
        let told = met.iter().map(|met| *met[node as usize].as_ref().unwrap());
        let (new, other): (Vec<_>, Vec<_>) = told.partition(|met| *met == Acquaintance::New);
        assert_eq!(new.len(), 1);
        assert_eq!(other, [Acquaintance::Other { recorded }; 3]);
    }
    let again = open().roster().unwrap();
    assert!((0..NODES).all(|node| again.incarnation_of(node).is_some()));
}

#[test]
fn a_node_told_as_new_is_still_known_after_a_power_cut_at_any_step() {
    let ops = [
        FaultOp::Open,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Name,
    ];
    let mut failed = 0;
    for (seed, op) in (0..30).flat_map(|seed| ops.iter().map(move |op| (seed, *op))) {
        let log = Log::open(&MemFs::new(seed), &options()).unwrap();
        let roster = log.store.roster().unwrap();
        roster.meet(2, 20).unwrap();
        log.fs.inject(DiskFault {
            op,
            nth: 1 + seed % 3,
            error: ErrorKind::Other,
            sticky: true,
        });
        let told = roster.meet(3, 30).is_ok();
        assert_eq!(roster.incarnation_of(3).is_some(), told);
        failed += u32::from(!told);
        log.fs.crash();
        drop(roster);
        let roster = log.reopen().unwrap().store.roster().unwrap();
        assert_eq!(roster.incarnation_of(2), Some(20));
        assert!(roster.incarnation_of(3) == Some(30) || !told);
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn a_node_that_could_not_be_recorded_was_never_met() {
    let log = Log::new();
    let roster = log.store.roster().unwrap();
    log.fs.inject(DiskFault {
        op: FaultOp::Sync,
        nth: 1,
        error: ErrorKind::StorageFull,
        sticky: false,
    });
    assert!(roster.meet(2, 20).is_err());
    assert_eq!(roster.meet(2, 21).unwrap(), Acquaintance::New);
    drop(roster);
    let roster = log.reopen().unwrap().store.roster().unwrap();
    assert_eq!(roster.incarnation_of(2), Some(21));
}

#[test]
fn a_damaged_roster_is_named_and_never_taken_for_an_empty_one() {
    let log = Log::new();
    log.store.roster().unwrap().meet(2, 20).unwrap();
    let (fs, right) = (log.fs.clone(), log.fs.content(Path::new(PEERS)).unwrap());
    let unchecked = br#"{"format_version":1,"nodes":[]}"#;
    let twice = checked(
        r#"{"format_version":1,"nodes":[
        {"node_id":2,"incarnation":"00000000-0000-0000-0000-000000000014"},
        {"node_id":2,"incarnation":"00000000-0000-0000-0000-000000000015"}]"#,
    );
    let vague = checked(r#"{"format_version":1,"nodes":[{"node_id":2,"incarnation":"20"}]"#);
    let short = &right[..right.len() - 2];
    let mut log = log;
    for wrong in [b"", &b"{}"[..], short, unchecked, &twice, &vague] {
        put(&fs, PEERS, wrong);
        log = log.reopen().unwrap();
        let told = log.store.roster().map(drop);
        assert!(
            matches!(&told, Err(Error::Damaged { file, .. }) if file == Path::new(PEERS)),
            "{told:?}"
        );
        let report = verify(&fs, Path::new("/data"), &Keyring::default(), false);
        assert_eq!(report.damages.len(), 1);
        assert_eq!(report.damages[0].file, Path::new(PEERS));
    }
    put(&fs, PEERS, &checked(r#"{"format_version":2,"nodes":[]"#));
    let log = log.reopen().unwrap();
    let told = log.store.roster().map(drop);
    assert!(matches!(told, Err(Error::Unsupported { .. })));
    put(&fs, PEERS, &right);
    assert_eq!(log.store.roster().unwrap().incarnation_of(2), Some(20));
    assert!(verify(&fs, Path::new("/data"), &Keyring::default(), false).is_intact());
}

#[test]
fn a_folder_that_rejoins_has_met_nobody() {
    let log = Log::new();
    log.store.roster().unwrap().meet(2, 20).unwrap();
    log.store.write_identity(&identity(11, "tour")).unwrap();
    let (fs, options) = (log.fs.clone(), log.options.clone());
    drop(log);
    rejoin(&fs, &options.dir).unwrap();
    let log = Log::open(&fs, &options).unwrap();
    assert_eq!(log.store.identity().unwrap(), None);
    assert_eq!(log.store.roster().unwrap().incarnation_of(2), None);
}

fn identity(incarnation: u128, cluster_name: &str) -> Identity {
    Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation,
        cluster_name: cluster_name.into(),
    }
}

#[test]
fn an_identity_that_says_less_is_filled_in_and_then_stays() {
    let log = Log::new();
    let store = &log.store;
    let old = checked(
        r#"{"format_version":1,"cluster_id":"00000000-0000-0000-0000-000000000007","node_id":1"#,
    );
    put(&log.fs, IDENTITY, &old);
    assert_eq!(store.identity().unwrap(), Some(identity(0, "")));
    store.write_identity(&identity(0, "")).unwrap();
    assert_eq!(log.fs.content(Path::new(IDENTITY)).unwrap(), old);
    store.write_identity(&identity(0, "tour")).unwrap();
    assert_eq!(store.identity().unwrap(), Some(identity(0, "tour")));
    let refused = |identity: Identity| {
        let told = store.write_identity(&identity);
        assert!(
            matches!(told, Err(Error::WrongIdentity { .. })),
            "{identity}"
        );
    };
    refused(identity(11, "other"));
    refused(identity(11, ""));
    store.write_identity(&identity(11, "tour")).unwrap();
    store.write_identity(&identity(11, "tour")).unwrap();
    refused(identity(12, "tour"));
    refused(identity(0, "tour"));
    refused(Identity {
        cluster_id: 8,
        ..identity(11, "tour")
    });
    let dir = &log.options.dir;
    let found = read_identity(&log.fs, dir).unwrap();
    assert_eq!(found, Some(identity(11, "tour")));
}

#[test]
fn a_new_folder_can_be_given_its_whole_identity_at_once() {
    let log = Log::new();
    log.store
        .write_identity(&identity(u128::MAX, "a b"))
        .unwrap();
    let log = log.reopen().unwrap();
    let found = log.store.identity().unwrap();
    assert_eq!(found, Some(identity(u128::MAX, "a b")));
    let vague = r#"{"format_version":1,"cluster_id":"00000000-0000-0000-0000-000000000007","node_id":1,"incarnation":"x""#;
    put(&log.fs, IDENTITY, &checked(vague));
    assert!(matches!(log.store.identity(), Err(Error::Damaged { .. })));
}

#[test]
fn identity_and_roster_work_the_same_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(RealFs, Options::new(dir.path())).unwrap();
    let (store, writer) = open();
    store.write_identity(&identity(11, "tour")).unwrap();
    store.roster().unwrap().meet(2, 20).unwrap();
    drop((store, writer));
    let (store, writer) = open();
    assert_eq!(store.identity().unwrap(), Some(identity(11, "tour")));
    let roster = store.roster().unwrap();
    assert_eq!(roster.meet(2, 20).unwrap(), Acquaintance::Known);
    drop((store, writer));
    rejoin(&RealFs, dir.path()).unwrap();
    let (store, _writer) = open();
    assert_eq!(store.roster().unwrap().incarnation_of(2), None);
}
