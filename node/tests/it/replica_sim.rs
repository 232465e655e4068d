//! `replica/` with the real store on a simulated disk, in one thread of virtual time.
//!
//! The same code that the product runs, by seed: the machine loses its power at a moment drawn
//! from the seed, comes back, and everything acknowledged must be there; the same seed must
//! give the same run.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::NoPeers;
use rstmdb::replica::{
    CompactionOptions, Consistency, Done, Formation, Host, LogItem, Options, Replica, Types,
    WatchEnd, WatchFilter,
};
use rstmdb_engine::fact::Body;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, Limits, Outcome, PutMachine, Query, Refusal, Reply,
};
use rstmdb_raft_store::{self as raft_store, Data, FileSystem, MemFs, NodeInfo, Retention, Store};

openraft::declare_raft_types!(
    /// The openraft types of the simulation.
    pub Sim:
        D = Data,
        R = Outcome,
        Node = NodeInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = SimRuntime,
);

impl Types for Sim {
    type Fs = MemFs;
}

/// A wall clock that moves one millisecond each time it is asked, and may be set.
#[derive(Default)]
struct SimHost(AtomicU64);

impl Host for SimHost {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn block(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

fn options() -> Options {
    Options {
        node_id: 1,
        node: NodeInfo {
            peer_addr: String::new(),
            rcp_addr: "sim:7401".into(),
        },
        formation: Formation::Alone,
        cluster_id: "sim".into(),
        cluster_name: "sim".into(),
        heartbeat: Duration::from_millis(100),
        election_timeout: (Duration::from_millis(500), Duration::from_millis(1000)),
        leader_wait: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(3),
        limits: Limits::default(),
        compaction: CompactionOptions {
            enabled: true,
            events_threshold: 40,
            size_threshold_bytes: u64::MAX,
            min_interval: Duration::ZERO,
            kept_behind_snapshot: 10_000,
            retention: Retention::default(),
        },
        clock_skew_max: Duration::from_secs(10),
        free_bytes_min: 0,
        costly_bytes: Options::COSTLY_BYTES,
    }
}

async fn boot(fs: &MemFs) -> Replica<Sim> {
    let mut store_options = raft_store::Options::new("/data");
    store_options.catalog = false;
    store_options.segment_bytes = 16 * 1024;
    boot_with(fs, store_options).await
}

async fn boot_with(fs: &MemFs, store_options: raft_store::Options) -> Replica<Sim> {
    boot_by(fs, store_options, options()).await
}

async fn boot_by(fs: &MemFs, store_options: raft_store::Options, options: Options) -> Replica<Sim> {
    let (store, writer) = Store::open(fs.clone(), store_options).unwrap();
    drop(Sim::spawn(writer.drive()));
    boot_on(store, options, Arc::new(SimHost::default())).await
}

async fn boot_on(store: Store<MemFs>, options: Options, host: Arc<SimHost>) -> Replica<Sim> {
    let peers = Arc::new(NoPeers::<Sim>::default());
    Replica::start(store, options, host, NoPeers::default(), peers)
        .await
        .unwrap()
}

fn in_simulation<R>(seed: u64, run: impl Future<Output = R>) -> R {
    SimRuntime::with_seed(seed).block_on(run)
}

fn machine() -> Command {
    Command::PutMachine(PutMachine {
        machine: "counter".into(),
        version: 1,
        definition: Bytes::from_static(
            br#"{"states":["ON"],"initial":"ON","transitions":[
                {"from":"ON","event":"SET","to":"ON","guard":"ctx.n < 1000000"}]}"#,
        ),
        checksum: None,
    })
}

fn create(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "counter".into(),
        version: 1,
        initial_ctx: Some(Bytes::from_static(br#"{"n":0}"#)),
        idempotency_key: None,
    })
}

fn set(id: &str, n: u64) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.into(),
        event: "SET".into(),
        payload: Some(Bytes::from(format!(r#"{{"n":{n}}}"#))),
        idempotency_key: Some(format!("set-{n}")),
        ..ApplyEvent::default()
    })
}

async fn submit(replica: &Replica<Sim>, command: Command) -> Result<Done, rstmdb::replica::Error> {
    replica.submit(command, Arc::from("test")).await
}

async fn prepare(replica: &Replica<Sim>) {
    submit(replica, machine()).await.unwrap();
    submit(replica, create("a")).await.unwrap();
}

fn context_of(replica: &Replica<Sim>, id: &str) -> Bytes {
    let query = Query::GetInstance {
        instance_id: id.into(),
    };
    match replica.query(&query).unwrap() {
        Reply::Instance(view) => view.ctx,
        other => panic!("not an instance: {other:?}"),
    }
}

/// Every apply_event of the log as (offset, context), read page by page.
fn events_in_log(replica: &Replica<Sim>) -> Vec<(u64, Bytes)> {
    let mut events = Vec::new();
    let mut from = 0;
    loop {
        let page = replica.log_read(from, 7).unwrap();
        for (offset, item) in &page.items {
            if let LogItem::Facts(entry) = item {
                for fact in &entry.facts {
                    if let Some(Body::ApplyEvent(event)) = &fact.body {
                        events.push((*offset, event.ctx.clone()));
                    }
                }
            }
        }
        if page.items.is_empty() {
            return events;
        }
        from = page.next_offset;
    }
}

#[test]
fn pipelined_events_of_one_instance_take_effect_in_the_order_of_submission() {
    in_simulation(1, async {
        let replica = boot(&MemFs::new(1)).await;
        prepare(&replica).await;
        let waiting: Vec<_> = (1..=500)
            .map(|n| replica.submit(set("a", n), Arc::from("test")))
            .collect();
        let mut last = 0;
        for outcome in waiting {
            let offset = outcome.await.unwrap().offset.unwrap();
            assert!(offset > last, "offsets rise");
            last = offset;
        }
        assert_eq!(context_of(&replica, "a"), r#"{"n":500}"#);
        let contexts: Vec<_> = events_in_log(&replica).into_iter().map(|e| e.1).collect();
        let expected: Vec<_> = (1..=500).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        assert_eq!(contexts, expected);
    });
}

#[test]
fn a_retry_is_told_that_it_took_effect_when_the_log_has_let_go_of_it() {
    in_simulation(11, async {
        let mut store_options = raft_store::Options::new("/data");
        store_options.catalog = false;
        store_options.segment_bytes = 16 * 1024;
        let mut options = options();
        options.compaction.kept_behind_snapshot = 0;
        options.compaction.retention.events = Some(1);
        let replica = boot_by(&MemFs::new(11), store_options, options).await;
        prepare(&replica).await;
        let first = submit(&replica, set("a", 1)).await.unwrap();
        let offset = first.offset.unwrap();
        let retry = async || {
            let mut done = submit(&replica, set("a", 1)).await.unwrap();
            replica.complete(&mut done.reply, &mut 1000).await;
            assert_eq!(done.offset, Some(offset));
            done.reply
        };
        let told = |reply: &Reply| match reply {
            Reply::Applied { ctx, applied, .. } => Some((ctx.clone(), *applied)),
            Reply::Replayed { wal_offset, .. } if *wal_offset == offset => None,
            other => panic!("{other:?}"),
        };
        let context = Bytes::from_static(br#"{"n":1}"#);
        assert_eq!(told(&first.reply), Some((context.clone(), true)));
        // From the state, then from the log.
        assert_eq!(told(&retry().await), Some((context.clone(), false)));
        submit(&replica, set("a", 2)).await.unwrap();
        assert_eq!(told(&retry().await), Some((context, false)));
        for n in 3..=600 {
            submit(&replica, set("a", n)).await.unwrap();
        }
        // A segment goes once Raft's purge of what the snapshot covers is durable.
        for n in 601..=620 {
            replica.compact(true).await.unwrap();
            if replica.status().earliest_offset > offset {
                break;
            }
            submit(&replica, set("a", n)).await.unwrap();
        }
        assert!(replica.status().earliest_offset > offset);
        let before = context_of(&replica, "a");
        assert_eq!(told(&retry().await), None);
        assert_eq!(context_of(&replica, "a"), before);
    });
}

#[test]
fn a_refusal_waits_for_the_facts_it_was_based_on() {
    in_simulation(2, async {
        let replica = boot(&MemFs::new(2)).await;
        prepare(&replica).await;
        let closing = replica.submit(set("a", 1_000_000), Arc::from("test"));
        let refused = replica.submit(set("a", 5), Arc::from("test"));
        let refusal = refused.await.unwrap_err();
        assert!(
            matches!(
                refusal,
                rstmdb::replica::Error::Refused(Refusal::GuardFailed { .. })
            ),
            "{refusal}"
        );
        // The refusal came after the write it depends on was applied.
        assert_eq!(context_of(&replica, "a"), r#"{"n":1000000}"#);
        closing.await.unwrap();
    });
}

#[test]
fn a_watch_replays_then_follows_without_gap_or_repeat() {
    in_simulation(3, async {
        let replica = boot(&MemFs::new(3)).await;
        prepare(&replica).await;
        for n in 1..=50 {
            submit(&replica, set("a", n)).await.unwrap();
        }
        let mut watch = replica.watch(WatchFilter::default(), Some(0)).unwrap();
        let writer = replica.clone();
        drop(Sim::spawn(async move {
            for n in 51..=120 {
                submit(&writer, set("a", n)).await.unwrap();
            }
        }));
        let mut seen = Vec::new();
        while seen.len() < 120 {
            for event in watch.next(64).await.unwrap() {
                seen.push((event.offset, event.fact().ctx.clone()));
            }
        }
        assert_eq!(seen, events_in_log(&replica));
    });
}

#[test]
fn an_idle_watch_is_woken_only_by_what_it_wants() {
    in_simulation(4, async {
        let replica = boot(&MemFs::new(4)).await;
        prepare(&replica).await;
        submit(&replica, create("b")).await.unwrap();
        let (mut watch, _) = replica.watch_instance("b", None).unwrap();
        for n in 1..=2000 {
            submit(&replica, set("a", n)).await.unwrap();
        }
        let done = submit(&replica, set("b", 7)).await.unwrap();
        let events = watch.next(1).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(Some(events[0].offset), done.offset);
        assert_eq!(events[0].fact().instance_id, "b");
    });
}

#[test]
fn a_watch_ends_with_the_replica_that_it_outlives() {
    for shut_down in [true, false] {
        in_simulation(5, async {
            let replica = boot(&MemFs::new(5)).await;
            prepare(&replica).await;
            let mut watch = replica.watch(WatchFilter::default(), None).unwrap();
            let waits = Sim::timeout(Duration::from_secs(1), watch.next(1)).await;
            assert!(waits.is_err(), "nothing has happened");
            if shut_down {
                replica.shutdown().await.unwrap();
            } else {
                drop(replica);
            }
            let end = Sim::timeout(Duration::from_secs(1), watch.next(1)).await;
            let end = end.expect("a watch does not outlast its replica");
            assert!(matches!(
                end,
                Err(WatchEnd::Failed(rstmdb::replica::Error::ShuttingDown))
            ));
        });
    }
}

/// Writes until the power goes at a moment of the seed's choice; returns what was acknowledged,
/// and the digest and history after the restart.
fn power_cut(seed: u64) -> (u64, u128, Vec<(u64, Bytes)>) {
    let fs = MemFs::new(seed);
    let acknowledged = Arc::new(AtomicU64::new(0));
    in_simulation(seed, {
        let fs = fs.clone();
        let acknowledged = acknowledged.clone();
        async move {
            let replica = boot(&fs).await;
            prepare(&replica).await;
            let writer = replica.clone();
            drop(Sim::spawn(async move {
                for n in 1.. {
                    let burst: Vec<_> = (0..4)
                        .map(|k| writer.submit(set("a", n * 4 + k), Arc::from("test")))
                        .collect();
                    for (k, outcome) in burst.into_iter().enumerate() {
                        if outcome.await.is_ok() {
                            acknowledged.store(n * 4 + k as u64, Ordering::Relaxed);
                        }
                    }
                    Sim::sleep(Duration::from_millis(20)).await;
                }
            }));
            Sim::sleep(Duration::from_millis(1 + seed * 137 % 6000)).await;
        }
    });
    fs.crash();
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    in_simulation(seed, async move {
        let replica = boot(&fs).await;
        replica
            .barrier(Consistency::Linearizable, None)
            .await
            .unwrap();
        let (digest, recomputed) =
            replica.with_state(|state| (state.digest(), state.recompute_digest()));
        assert_eq!(digest, recomputed, "seed {seed}");
        let history = events_in_log(&replica);
        (acknowledged, digest, history)
    })
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    for seed in 0..40 {
        let (acknowledged, _, history) = power_cut(seed);
        let values: Vec<u64> = history
            .iter()
            .map(|(_, ctx)| serde_json::from_slice::<serde_json::Value>(ctx).unwrap())
            .map(|ctx| ctx["n"].as_u64().unwrap())
            .collect();
        let expected: Vec<u64> = (4..).take(values.len()).collect();
        assert_eq!(values, expected, "seed {seed}: a gap or a repeat");
        let last = values.last().copied().unwrap_or(0);
        assert!(
            last >= acknowledged,
            "seed {seed}: {acknowledged} was acknowledged, {last} is the last one there"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(power_cut(17), power_cut(17));
}

#[test]
fn a_snapshot_that_does_not_fit_is_counted_and_tried_again_and_ends_nothing() {
    in_simulation(9, async {
        let fs = MemFs::new(9);
        let mut store_options = raft_store::Options::new("/data");
        store_options.catalog = false;
        // All of the test goes into one segment, which is reserved at the start.
        store_options.segment_bytes = 1 << 20;
        let replica = boot_with(&fs, store_options).await;
        prepare(&replica).await;
        let used = u64::MAX - fs.free_bytes(Path::new("/data")).unwrap();
        fs.set_capacity_bytes(used + 64);
        for n in 0..200 {
            submit(&replica, set("a", n)).await.unwrap();
            Sim::sleep(Duration::from_millis(100)).await;
        }
        let failed = replica.counters().snapshots_failed.load();
        assert!((1..=3).contains(&failed), "{failed} failed in 20 s");
        assert_eq!(replica.counters().snapshots_taken.load(), 0);
        let refused = replica.compact(true).await.unwrap_err();
        assert!(refused.to_string().contains("snapshot failed"), "{refused}");
        fs.set_capacity_bytes(u64::MAX);
        while replica.status().snapshot_offset == 0 {
            Sim::sleep(Duration::from_millis(100)).await;
        }
        submit(&replica, set("a", 1000)).await.unwrap();
        replica.shutdown().await.unwrap();
        drop(replica);
        Sim::sleep(Duration::from_millis(100)).await;
        fs.kill();
        let replica = boot(&fs).await;
        assert_eq!(
            context_of(&replica, "a"),
            Bytes::from_static(br#"{"n":1000}"#)
        );
    });
}

#[test]
fn a_clock_that_jumps_by_days_forgets_no_key_and_is_reported() {
    const DAY_MS: u64 = 86_400_000;
    in_simulation(10, async {
        let mut store_options = raft_store::Options::new("/data");
        store_options.catalog = false;
        let (store, writer) = Store::open(MemFs::new(10), store_options).unwrap();
        drop(Sim::spawn(writer.drive()));
        let host = Arc::new(SimHost::default());
        let replica = boot_on(store, options(), host.clone()).await;
        prepare(&replica).await;
        let first = submit(&replica, set("a", 1)).await.unwrap().offset;
        let began_ms = replica.with_state(|state| state.last_time_ms());
        for day in 1..=3 {
            host.0.fetch_add(DAY_MS, Ordering::Relaxed);
            Sim::sleep(Duration::from_secs(100)).await;
            submit(&replica, set("a", 1 + day)).await.unwrap();
            let again = submit(&replica, set("a", 1)).await.unwrap();
            assert_eq!(again.offset, first, "the key was forgotten on day {day}");
        }
        let passed_ms = replica.with_state(|state| state.last_time_ms()) - began_ms;
        assert!((300_000..=331_000).contains(&passed_ms), "{passed_ms} ms");
        assert!(replica.counters().clock_steps.load() >= 3);
    });
}
