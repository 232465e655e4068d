//! History that retention drops is in the archive, and WAL_READ and watches show it as if it were on the node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{Archive, ArchiveOptions, Error, FolderArchive, Replica, WatchFilter};
use rstmdb_engine::fact::Body;
use rstmdb_raft_store::{FileSystem, MemFs, Retention};
use rstmdb_sim::Sim;
use rstmdb_sim::archive::SimArchive;
use rstmdb_sim::settings::Settings;

use crate::cluster::{Cluster, create, in_simulation, machine, set, submit};

const LAST: u64 = 1_500;

fn settings(seed: u64, nodes: u64, archive: Arc<dyn Archive>, timeout: Duration) -> Settings {
    Settings {
        leader_wait: Duration::from_secs(5),
        segment_bytes: 8 * 1024,
        cache_bytes: 0,
        snapshot_entries: 40,
        kept: 10,
        retention: Retention {
            events: Some(50),
            ..Retention::default()
        },
        archive: Some(ArchiveOptions {
            archive,
            cache_bytes: 20 * 1024,
            timeout,
        }),
        ..Settings::calm(seed, nodes)
    }
}

async fn write(node: &Replica<Sim>, from: u64, to: u64) {
    for portion in (from..=to).collect::<Vec<_>>().chunks(100) {
        let burst = portion.iter().map(|n| submit(node, set("a", *n, true)));
        for outcome in join_all(burst).await {
            outcome.unwrap();
        }
        Sim::sleep(Duration::from_millis(200)).await;
    }
}

/// Every value that "a" was set to, as WAL_READ shows them.
async fn read_all(node: &Replica<Sim>) -> Result<Vec<u64>, Error> {
    let (mut values, mut from) = (Vec::new(), 0);
    loop {
        let held = node.hold_history(from).await?;
        let page = node.log_read(from, 70)?;
        drop(held);
        for (_, item) in &page.items {
            let rstmdb::replica::LogItem::Facts(entry) = item else {
                continue;
            };
            for fact in &entry.facts {
                if let Some(Body::ApplyEvent(event)) = &fact.body {
                    values.push(value(&event.ctx));
                }
            }
        }
        if page.next_offset == from {
            return Ok(values);
        }
        from = page.next_offset;
    }
}

/// One node that has written everything, with its history in the archive.
async fn archived(settings: Settings) -> Cluster {
    let cluster = Cluster::alone(settings).await;
    let node = cluster.node(1);
    submit(node, machine()).await.unwrap();
    submit(node, create("a")).await.unwrap();
    write(node, 1, LAST).await;
    until("history leaves the node", || {
        node.report().earliest_offset > LAST / 2 && node.counters().archive_pending.load() == 0
    })
    .await;
    cluster
}

fn value(ctx: &[u8]) -> u64 {
    let ctx: serde_json::Value = serde_json::from_slice(ctx).unwrap();
    ctx["n"].as_u64().unwrap()
}

/// Repeats what fails while the archive does.
async fn read_patiently(node: &Replica<Sim>) -> Vec<u64> {
    for _ in 0..10_000 {
        match read_all(node).await {
            Ok(values) => return values,
            Err(Error::ArchiveUnavailable { .. }) => Sim::sleep(Duration::from_millis(500)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the archive never answers");
}

/// As a client does that resumes its watch.
async fn watch_patiently(node: &Replica<Sim>) -> Vec<u64> {
    let (mut values, mut next) = (Vec::new(), 1);
    while values.last() != Some(&LAST) {
        let mut watch = match node.watch(WatchFilter::default(), Some(next)) {
            Ok(watch) => watch,
            Err(Error::OffsetCompacted { .. } | Error::ArchiveUnavailable { .. }) => {
                node.wait_for_archive(next).await.ok();
                Sim::sleep(Duration::from_millis(500)).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        while let Ok(events) = watch.next(1 << 20).await {
            for event in &events {
                values.push(value(&event.event().unwrap().ctx));
                next = event.offset + 1;
            }
            if values.last() == Some(&LAST) {
                break;
            }
        }
        Sim::sleep(Duration::from_millis(500)).await;
    }
    values
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        Sim::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within 600 s: {what}");
}

fn expected() -> Vec<u64> {
    (1..=LAST).collect()
}

#[test]
fn with_a_slow_and_failing_archive_every_node_shows_the_whole_log_in_the_end() {
    for seed in 1..=2 {
        in_simulation(seed, async move {
            let archive = Arc::new(SimArchive::new(seed, Duration::from_millis(2_200), 10));
            let timeout = Duration::from_secs(2);
            let settings = settings(seed, 3, archive.clone(), timeout);
            let mut cluster = Cluster::form_with(settings).await;
            let leader = cluster.leader().await;
            submit(cluster.node(leader), machine()).await.unwrap();
            submit(cluster.node(leader), create("a")).await.unwrap();
            write(cluster.node(leader), 1, LAST / 2).await;
            // A process that ends in the middle of a call leaves nothing that counts.
            let away = 1 + leader % 3;
            cluster.world.kill(away, false);
            Sim::sleep(Duration::from_secs(1)).await;
            cluster.start(away).await;
            write(cluster.node(leader), LAST / 2 + 1, LAST).await;
            for id in 1..=3 {
                let node = cluster.node(id);
                let counters = node.counters();
                until("history leaves the node", || {
                    node.report().earliest_offset > LAST / 2 && counters.archive_pending.load() == 0
                })
                .await;
                assert_eq!(read_patiently(node).await, expected(), "node {id}");
                assert_eq!(watch_patiently(node).await, expected(), "node {id}");
                assert_eq!(node.status().earliest_offset, 1, "node {id}");
            }
            cluster.converge().await;
        });
    }
}

/// The other nodes hold what retention still keeps in whole segments, and the archive has the rest. A node that a
/// snapshot has brought up to date keeps fewer entries than they hold, and yet shows all of them.
#[test]
fn a_node_that_got_a_snapshot_fetches_what_the_archive_lacks_though_retention_would_drop_it() {
    for (seed, segment_bytes) in [(1, 8 * 1024), (2, 32 * 1024), (3, 1 << 20)] {
        in_simulation(seed, async move {
            let archive = Arc::new(SimArchive::new(seed, Duration::from_millis(200), 0));
            let mut settings = settings(seed, 3, archive, Duration::from_secs(2));
            settings.segment_bytes = segment_bytes;
            settings.retention.events = Some(5);
            let mut cluster = Cluster::form_with(settings).await;
            let leader = cluster.leader().await;
            submit(cluster.node(leader), machine()).await.unwrap();
            submit(cluster.node(leader), create("a")).await.unwrap();
            let away = 1 + leader % 3;
            write(cluster.node(leader), 1, LAST / 3).await;
            cluster.world.kill(away, false);
            write(cluster.node(leader), LAST / 3 + 1, LAST).await;
            cluster.start(away).await;
            cluster.converge().await;
            let back = cluster.node(away);
            assert_eq!(read_patiently(back).await, expected(), "{segment_bytes}");
        });
    }
}

#[test]
fn while_the_archive_takes_nothing_the_log_stays_and_writes_go_on() {
    in_simulation(7, async {
        let archive = Arc::new(SimArchive::new(7, Duration::from_millis(50), 100));
        let settings = settings(7, 1, archive.clone(), Duration::from_secs(2));
        let cluster = Cluster::alone(settings).await;
        let node = cluster.node(1);
        submit(node, machine()).await.unwrap();
        submit(node, create("a")).await.unwrap();
        write(node, 1, LAST).await;
        Sim::sleep(Duration::from_secs(300)).await;
        assert_eq!(node.report().earliest_offset, 1);
        assert_eq!(read_all(node).await.unwrap(), expected());
        let counters = node.counters();
        assert!(counters.archive_failed.load() > 3);
        assert!(counters.archive_pending.load() > 3);
        // It is counted when the archive is asked, which is once a minute at last.
        assert!(counters.archive_pending_ms.load() > 230_000);
        // Pauses grow: it is not asked all the time.
        assert!(archive.calls() < 60, "{} calls", archive.calls());
        assert!(archive.objects().is_empty());
        archive.fail(0);
        until("history leaves the node", || {
            node.report().earliest_offset > LAST / 2 && counters.archive_pending.load() == 0
        })
        .await;
        assert_eq!(counters.archive_pending_ms.load(), 0);
        assert_eq!(read_patiently(node).await, expected());
    });
}

#[test]
fn an_object_that_was_changed_or_removed_is_an_error_and_never_shown() {
    in_simulation(8, async {
        let archive = Arc::new(SimArchive::new(8, Duration::from_millis(5), 0));
        let settings = settings(8, 1, archive.clone(), Duration::from_secs(2));
        let mut cluster = archived(settings).await;
        let whole = archive.objects();
        let (name, object) = whole.iter().nth(1).unwrap();
        let mut changed = object.to_vec();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let mut spoilt = whole.clone();
        spoilt.insert(name.clone(), changed.into());
        archive.set(spoilt);
        cluster.world.kill(1, true);
        cluster.start(1).await;
        let node = cluster.node(1);
        let names_it = |error: Error| match error {
            Error::ArchiveDamaged { object, what, .. } => {
                assert!(
                    object == *name && what.contains("checksum"),
                    "{object}: {what}"
                );
            }
            error => panic!("{error}"),
        };
        names_it(read_all(node).await.unwrap_err());
        let damaged = || {
            let counters = node.counters();
            (
                counters.archive_damaged.load(),
                counters.archive_damaged_now.load(),
            )
        };
        assert_eq!(damaged(), (1, 1));
        // The log is shown from where it joins, and what begins before that is told what is wrong, as often as it asks.
        let values = read_all(node).await.unwrap();
        assert_eq!(values, expected()[expected().len() - values.len()..]);
        let first: u64 = name[..20].parse().unwrap();
        for _ in 0..100 {
            names_it(node.hold_history(first).await.err().unwrap());
            names_it(node.log_read(first, 1).unwrap_err());
            names_it(
                node.watch(WatchFilter::default(), Some(first - 1))
                    .err()
                    .unwrap(),
            );
            Sim::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(
            damaged(),
            (1, 1),
            "it is one damage, however often it is seen"
        );
        // What the node has put there meanwhile stays.
        let mut mended = archive.objects();
        mended.insert(name.clone(), object.clone());
        archive.set(mended);
        // A client that goes on asking finds it in the end, without a restart.
        let mut waited = 0;
        while node.hold_history(first).await.is_err() {
            waited += 1;
            assert!(waited < 60, "not within a minute");
            Sim::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(damaged(), (1, 0));
        assert_eq!(read_patiently(node).await, expected());
    });
}

#[test]
fn an_object_that_is_not_asked_for_is_used_again_after_it_was_mended() {
    in_simulation(11, async {
        let archive = Arc::new(SimArchive::new(11, Duration::from_millis(5), 0));
        let settings = settings(11, 1, archive.clone(), Duration::from_secs(2));
        let mut cluster = archived(settings).await;
        let whole = archive.objects();
        let (name, object) = whole.iter().nth(1).unwrap();
        let mut spoilt = whole.clone();
        spoilt.insert(name.clone(), object.slice(..object.len() / 2));
        archive.set(spoilt);
        cluster.world.kill(1, true);
        cluster.start(1).await;
        let node = cluster.node(1);
        read_all(node).await.unwrap_err();
        let behind = node.status().earliest_offset;
        assert!(behind > 1);
        let mut mended = archive.objects();
        mended.insert(name.clone(), object.clone());
        archive.set(mended);
        until("the archive is listed", || {
            node.counters().archive_damaged_now.load() == 0
        })
        .await;
        assert_eq!(node.status().earliest_offset, 1);
        assert_eq!(read_patiently(node).await, expected());
    });
}

#[test]
fn a_folder_on_the_simulated_disk_is_an_archive_too() {
    in_simulation(9, async {
        let disk = MemFs::new(0);
        disk.create_dir_all(Path::new("/archive")).unwrap();
        let folder = FolderArchive::<Sim>::new(disk, Path::new("/archive"), "sim");
        let settings = settings(9, 1, Arc::new(folder), Duration::from_secs(2));
        let mut cluster = Cluster::alone(settings).await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        write(cluster.node(1), 1, LAST).await;
        until("history leaves the node", || {
            cluster.node(1).report().earliest_offset > LAST / 2
        })
        .await;
        assert_eq!(read_patiently(cluster.node(1)).await, expected());
        cluster.world.kill(1, true);
        cluster.start(1).await;
        assert_eq!(watch_patiently(cluster.node(1)).await, expected());
    });
}

#[test]
fn the_nodes_of_a_cluster_put_each_part_of_the_log_into_the_archive_about_once() {
    in_simulation(10, async {
        let archive = Arc::new(SimArchive::new(10, Duration::from_millis(5), 0));
        let settings = settings(10, 3, archive.clone(), Duration::from_secs(2));
        let cluster = Cluster::form_with(settings).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        submit(cluster.node(leader), create("a")).await.unwrap();
        write(cluster.node(leader), 1, LAST).await;
        for id in 1..=3 {
            let node = cluster.node(id);
            until("history leaves the node", || {
                node.report().earliest_offset > LAST / 2
                    && node.counters().archive_pending.load() == 0
            })
            .await;
        }
        let each = cluster.nodes.values();
        let put: u64 = each
            .map(|node| node.counters().archive_uploaded.load())
            .sum();
        let kept = archive.objects().len() as u64;
        assert!(put <= kept + 3, "{put} files put, {kept} kept");
    });
}
