//! Backups of working clusters, taken in steps, and what a restore at any offset makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb::server::restore::{Error, RestoreTarget, Restored};
use rstmdb::server::{Config as ServerConfig, restore};
use rstmdb_backup::Manifest;
use rstmdb_engine::{ListInstances, Query, Reply, State, StateLoader};
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::cluster::{Cluster, SETTLE_TIMEOUT};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::content::{LogContent, LoggedInstance};
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::mixed::Mixed;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::wal::{self, ReadRecord};
use rstmdb_raft_store::{Options, RealFs, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

const OFFSETS: usize = 100;

fn backup(cli: &Cli, dir: &Path) -> Value {
    cli.json(&["backup", dir.to_str().unwrap()]).unwrap()
}

/// The restorable ranges that a backup reported.
fn ranges(report: &Value) -> Vec<(u64, u64)> {
    let ranges = report["restorable"].as_array().unwrap().iter();
    ranges
        .map(|range| {
            let offset = |field: &str| range[field].as_u64().unwrap();
            (offset("first_offset"), offset("last_offset"))
        })
        .collect()
}

fn restore_to(from: &Path, data: &Path, target: RestoreTarget) -> Result<Restored, Error> {
    let mut config = ServerConfig::load(None, |_| None).unwrap();
    config.set_data_dir(data, "the test");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(restore::restore(&config, from, target))
}

/// A restored folder, opened without a server.
struct Opened {
    store: Store<RealFs>,
    state: State,
}

/// The store of a folder that this process has just restored. Another test may be starting a child: between fork and
/// exec that child holds the folder's lock too.
fn opened(data: &Path) -> Store<RealFs> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match Store::open(RealFs, Options::new(data)) {
            Ok((store, _)) => return store,
            Err(rstmdb_raft_store::Error::Locked { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn open(data: &Path) -> Opened {
    let store = opened(data);
    let snapshots = store.snapshots();
    let handle = snapshots.current().unwrap().unwrap();
    let mut loader = StateLoader::new();
    for record in snapshots.open_records(&handle).unwrap() {
        loader.push(record.unwrap()).unwrap();
    }
    let state = loader.finish().unwrap();
    Opened { store, state }
}

/// All machines and instances of a state.
fn content_of(state: &State) -> LogContent {
    let mut content = LogContent::default();
    let everything = Query::ListMachines {
        limit: None,
        offset: None,
    };
    let Reply::Machines { items } = state.query(&everything).unwrap() else {
        panic!("no machines");
    };
    for item in items {
        let versions = item.versions.iter();
        let named = versions.map(|version| (item.machine.to_string(), u64::from(*version)));
        content.machines.extend(named);
    }
    let mut after = None;
    loop {
        let list = Query::ListInstances(ListInstances {
            limit: Some(1000),
            after: after.clone(),
            ..ListInstances::default()
        });
        let Reply::Instances {
            items, has_more, ..
        } = state.query(&list).unwrap()
        else {
            panic!("no instances");
        };
        after = items.last().map(|item| item.id.to_string());
        for item in items {
            let instance_id = item.id.to_string();
            let get = Query::GetInstance { instance_id };
            let Reply::Instance(view) = state.query(&get).unwrap() else {
                panic!("no instance");
            };
            let instance = LoggedInstance {
                machine: (view.machine.to_string(), u64::from(view.version)),
                state: view.state.to_string(),
                ctx: serde_json::from_slice(&view.ctx).unwrap(),
                last_offset: view.last_wal_offset,
            };
            content.instances.insert(item.id.to_string(), instance);
        }
        if !has_more {
            return content;
        }
    }
}

/// This many random offsets of a range, its two ends among them.
fn offsets(rng: &mut Rng, (first, last): (u64, u64), count: usize, known: &[u64]) -> BTreeSet<u64> {
    let mut chosen: BTreeSet<u64> = known
        .iter()
        .copied()
        .filter(|offset| (first..=last).contains(offset))
        .chain([first, last])
        .collect();
    while chosen.len() < count.min((last - first + 1) as usize) {
        chosen.insert(rng.between(first, last));
    }
    chosen
}

/// Restores at an offset. Compares the result with the log and with the running node.
fn check_offset(
    from: &Path,
    offset: u64,
    first: u64,
    records: &[ReadRecord],
    digests: &BTreeMap<u64, String>,
) {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let restored = restore_to(from, &data, RestoreTarget::Offset(offset)).unwrap();
    let Opened { store, state } = open(&data);
    assert_eq!((restored.offset, state.last_applied()), (offset, offset));
    assert_eq!(state.digest(), state.recompute_digest(), "offset {offset}");
    assert_eq!(
        content_of(&state),
        LogContent::at(offset, records),
        "offset {offset}"
    );
    if let Some(digest) = digests.get(&offset) {
        assert_eq!(
            format!("{:032x}", state.digest()),
            *digest,
            "offset {offset}"
        );
    }
    assert_eq!(restored.first_offset, first, "offset {offset}");
    let last = store.last_log_id().unwrap();
    // The new log begins with the feature level of this program, if the state has a lower one, and with the pause of
    // automation.
    let end = offset + u64::from(state.level() < 2) + 1;
    let purged = store.purged().map(|id| id.index);
    assert_eq!((last.index, purged), (end, Some(offset)));
    let history = store
        .read(first.min(offset), usize::MAX, usize::MAX)
        .unwrap_or_default();
    let read = history.iter().map(|entry| entry.log_id.index);
    assert!(read.eq(first..=end), "history of offset {offset}");
    assert!(store.vote().unwrap().leader_id.term >= last.leader_id.term);
}

/// The time of each offset that has facts.
fn times(records: &[ReadRecord]) -> Vec<(u64, u64)> {
    let mut times: Vec<(u64, u64)> = Vec::new();
    for record in records {
        if let Some(time) = record.entry["time_ms"].as_u64() {
            let time = time.max(times.last().map_or(0, |(_, time)| *time));
            times.push((record.offset, time));
        }
    }
    times
}

fn at_time(time_ms: u64) -> RestoreTarget {
    let time_ms = i64::try_from(time_ms).unwrap();
    RestoreTarget::Time(jiff::Timestamp::from_millisecond(time_ms).unwrap())
}

/// The message of a restore that fails. It must leave nothing behind.
fn refusal(from: &Path, target: RestoreTarget) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let refused = restore_to(from, &data, target).unwrap_err().to_string();
    assert!(!data.exists(), "something was written");
    refused
}

#[test]
fn a_backup_in_steps_can_be_restored_at_every_offset() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("backup"));
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("backup");
    let mut mixed = Mixed::start(node.addr(), "a", rng.fork()).unwrap();
    let load = std::thread::spawn(move || {
        let mut digests = BTreeMap::new();
        for _ in 0..80 {
            mixed.run(40).unwrap();
            digests.extend([mixed.digest().unwrap()]);
        }
        digests
    });
    let mut reached = 0;
    for _ in 0..5 {
        let report = backup(&cli, &dir);
        let last = ranges(&report)[0].1;
        assert!(last >= reached, "{report}");
        reached = last;
        cli.json(&["compact", "--force"]).unwrap();
    }
    let digests = load.join().unwrap();
    let report = backup(&cli, &dir);
    let last = ranges(&report)[0].1;
    assert!(ranges(&report) == [(1, last)] && last > reached, "{report}");
    assert_eq!(backup(&cli, &dir)["added"], 0);
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let records = wal::read_all(&mut connection).unwrap();
    let known: Vec<u64> = digests.keys().copied().collect();
    let known: Vec<u64> = (0..30).map(|_| *rng.pick(&known)).collect();
    for offset in offsets(&mut rng, (1, last), OFFSETS, &known) {
        check_offset(&dir, offset, 1, &records, &digests);
    }
    times_are_those_of_the_facts(&dir, &records, &mut rng);
    what_is_not_there_is_refused(&dir, last);
    damage_is_refused(&dir, &mut rng, &cli);
}

fn times_are_those_of_the_facts(dir: &Path, records: &[ReadRecord], rng: &mut Rng) {
    let times = times(records);
    for _ in 0..10 {
        let (_, time) = *rng.pick(&times);
        for wanted in [time, time + 1] {
            let last = times.iter().rfind(|(_, time)| *time <= wanted).unwrap().0;
            let scratch = tempfile::tempdir().unwrap();
            let restored = restore_to(dir, &scratch.path().join("d"), at_time(wanted)).unwrap();
            // Entries without a time that follow change nothing.
            assert!(
                restored.offset >= last && restored.time_ms <= wanted,
                "{restored}"
            );
            let next = times.iter().find(|(offset, _)| *offset > last);
            assert!(
                next.is_none_or(|(offset, _)| restored.offset < *offset),
                "{restored}"
            );
        }
    }
    let first = times[0].1;
    let early = refusal(dir, at_time(first - 1));
    assert!(
        early.contains("begins later") && early.contains("offsets 1 to"),
        "{early}"
    );
}

fn what_is_not_there_is_refused(dir: &Path, last: u64) {
    let whole = format!("restorable: offsets 1 to {last} (from ");
    for (target, why) in [
        (RestoreTarget::Offset(last + 1), "ends before"),
        (RestoreTarget::Offset(0), "begins later"),
        (at_time(4_000_000_000_000), "ends before"),
    ] {
        let refused = refusal(dir, target);
        assert!(
            refused.contains(why) && refused.contains(&whole),
            "{refused}"
        );
    }
    let nothing = refusal(&dir.join("absent"), RestoreTarget::End);
    assert!(nothing.contains("holds no backup"), "{nothing}");
    let used = tempfile::tempdir().unwrap();
    std::fs::write(used.path().join("mine"), "x").unwrap();
    let refused = restore_to(dir, used.path(), RestoreTarget::End)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("not empty (it holds mine)"), "{refused}");
}

/// Ways to damage a file, each with a name.
fn damages(rng: &mut Rng, content: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut damages = vec![
        ("missing".to_owned(), None),
        ("empty".to_owned(), Some(Vec::new())),
        ("longer".to_owned(), Some([content, b"x"].concat())),
    ];
    let last = content.len() - 1;
    for at in [0, last, rng.index(content.len()), rng.index(content.len())] {
        let mut flipped = content.to_vec();
        flipped[at] ^= 1 << rng.below(8);
        damages.push((format!("flipped at {at}"), Some(flipped)));
    }
    let cut = rng.index(content.len());
    damages.push((format!("cut at {cut}"), Some(content[..cut].to_vec())));
    damages
}

fn damage_is_refused(dir: &Path, rng: &mut Rng, cli: &Cli) {
    let names: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "lock")
        .collect();
    assert!(names.len() >= 2, "{names:?}");
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let content = std::fs::read(&path).unwrap();
        for (what, damaged) in damages(rng, &content) {
            match damaged {
                None => std::fs::remove_file(&path).unwrap(),
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            }
            let refused = refusal(dir, RestoreTarget::End);
            assert!(refused.contains(name), "{name} {what}: {refused}");
        }
        // The last file is too short, which a backup notices without reading the file.
        for args in [&["backup"][..], &["backup", "--verify"][..]] {
            let done = cli.run(&[args, &[dir.to_str().unwrap()]].concat()).unwrap();
            assert_eq!(done.code, Some(1), "{done:?}");
            assert!(done.err.contains(name), "{done:?}");
        }
        std::fs::write(&path, content).unwrap();
    }
    let intact = cli
        .json(&["backup", "--verify", dir.to_str().unwrap()])
        .unwrap();
    assert_eq!(ranges(&intact).len(), 1);
    restore_to(
        dir,
        &tempfile::tempdir().unwrap().path().join("d"),
        RestoreTarget::End,
    )
    .unwrap();
}

/// A cluster of three that keeps little of its log, a backup through a follower, and the offsets that
/// its log no longer holds.
struct Forgetful {
    cluster: Cluster,
    follower: u64,
    mixed: Mixed,
    digests: BTreeMap<u64, String>,
    records: Vec<ReadRecord>,
    scratch: TempDir,
}

impl Forgetful {
    fn start(rng: &mut Rng) -> Self {
        let config = NodeConfig::for_tests()
            .with("compaction.retain_events", "1")
            // Whole segments are dropped, so they have to fill.
            .with("storage.compression", "none")
            .with("compaction.enabled", "false");
        let cluster = Cluster::start(3, &config).unwrap();
        let leader = cluster.leader().unwrap();
        let follower = cluster.followers().unwrap()[0];
        let mixed = Mixed::start(cluster.addr(leader).unwrap(), "f", rng.fork()).unwrap();
        Self {
            cluster,
            follower,
            mixed,
            digests: BTreeMap::new(),
            records: Vec::new(),
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    fn cli(&self) -> Cli {
        self.cluster.cli(self.follower).unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("backup")
    }

    fn work(&mut self, steps: usize) {
        for _ in 0..steps / 50 {
            self.mixed.run(50).unwrap();
            let seen = self.mixed.digest().unwrap();
            self.digests.extend([seen]);
        }
    }

    /// Keeps what the log says, before it forgets.
    fn remember(&mut self) {
        let leader = self.cluster.leader().unwrap();
        let mut connection = self.cluster.connect(leader).unwrap();
        let from = self.records.last().map_or(1, |record| record.offset + 1);
        let records = &mut self.records;
        wal::visit(&mut connection, from, wal::PAGE_RECORDS, |record| {
            records.push(record);
        })
        .unwrap();
    }

    /// Makes the follower drop the log up to an offset. Returns where its log begins then.
    fn forget(&mut self, offset: u64) -> u64 {
        self.mixed.fill(14_000).unwrap();
        self.remember();
        let (applied, _) = self.mixed.digest().unwrap();
        let mut connection = self.cluster.connect(self.follower).unwrap();
        let wait = json!({"limit": 1, "min_wal_offset": applied, "consistency": "local"});
        connection.call("LIST_INSTANCES", &wait).unwrap();
        // The node drops what Raft has purged once the purge is durable, which takes a later write.
        within(SETTLE_TIMEOUT, || {
            self.mixed.run(1).unwrap();
            let compact = json!({"force_snapshot": true});
            connection.call("COMPACT", &compact).unwrap();
            let earliest = wal::earliest(&mut connection).unwrap();
            let dropped = (earliest > offset).then_some(earliest);
            dropped.ok_or_else(|| format!("the log begins at {earliest}"))
        })
        .unwrap()
    }
}

#[test]
fn a_follower_with_a_short_log_gives_snapshots_and_tells_of_gaps() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("backup_short_log"));
    let mut forgetful = Forgetful::start(&mut rng);
    let (cli, dir) = (forgetful.cli(), forgetful.dir());
    forgetful.work(500);
    let begins = forgetful.forget(500);
    forgetful.work(500);
    let first = backup(&cli, &dir);
    forgetful.work(500);
    let second = backup(&cli, &dir);
    let (from, to) = ranges(&second)[0];
    assert!(from > begins && from == ranges(&first)[0].0 && to > ranges(&first)[0].1);
    forgetful.forget(to + 1);
    forgetful.work(500);
    let third = cli
        .run(&["--json", "backup", dir.to_str().unwrap()])
        .unwrap();
    assert!(third.err.contains("a gap before it"), "{third:?}");
    let third: Value = serde_json::from_str(&third.out).unwrap();
    forgetful.work(200);
    let last = backup(&cli, &dir);
    forgetful.remember();
    let runs = ranges(&last);
    assert_eq!(
        (runs.len(), runs[0], runs[1].0),
        (2, (from, to), ranges(&third)[1].0)
    );

    let Forgetful {
        digests, records, ..
    } = &forgetful;
    let manifest = Manifest::read(&dir).unwrap().unwrap();
    let known: Vec<u64> = digests.keys().copied().collect();
    for (run, range) in manifest.runs.iter().zip(&runs) {
        for offset in offsets(&mut rng, *range, 12, &known[..0]) {
            check_offset(&dir, offset, run.first_offset, records, digests);
        }
        let seen = known.iter().rfind(|at| (range.0..=range.1).contains(*at));
        check_offset(&dir, *seen.unwrap(), run.first_offset, records, digests);
    }
    for inside in [to + 1, runs[1].0 - 1] {
        let refused = refusal(&dir, RestoreTarget::Offset(inside));
        let says = format!("offsets {from} to {to} (");
        assert!(
            refused.contains("in a gap") && refused.contains(&says),
            "{refused}"
        );
    }
    another_cluster_is_refused(&dir);
}

fn another_cluster_is_refused(dir: &Path) {
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let before = std::fs::read(dir.join("manifest.json")).unwrap();
    let cli = Cli::new(node.addr());
    let refused = cli.run(&["backup", dir.to_str().unwrap()]).unwrap();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.err.contains("is a backup of cluster tests"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(dir.join("manifest.json")).unwrap(), before);
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "dear").unwrap();
    let refused = cli
        .run(&["backup", foreign.path().to_str().unwrap()])
        .unwrap();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("letter.txt"), "{refused:?}");
}
