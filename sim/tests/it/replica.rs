//! `replica/` with the real store on a simulated disk, in one thread of virtual time.
//!
//! The same code that the product runs, by seed: the machine loses its power at a moment drawn
//! from the seed, comes back, and everything acknowledged must be there; the same seed must
//! give the same run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{Consistency, LogItem, Replica, Replied, WatchEnd, WatchFilter};
use rstmdb_engine::fact::Body;
use rstmdb_engine::{ApplyEvent, Command, CreateInstance, Query, Refusal, Reply};
use rstmdb_raft_store::{FileSystem, Retention};
use rstmdb_sim::Sim;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::settings::{DATA_DIR, Settings};

use crate::cluster::{Cluster, define, in_simulation, machine, submit};

fn settings(seed: u64) -> Settings {
    Settings {
        leader_wait: Duration::from_secs(5),
        segment_bytes: 16 * 1024,
        snapshot_entries: 40,
        kept: 10_000,
        reserve_bytes: 0,
        ..Settings::calm(seed, 1)
    }
}

async fn boot(seed: u64) -> Cluster {
    Cluster::alone(settings(seed)).await
}

fn create(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "counter".into(),
        version: 1,
        initial_ctx: Some(Bytes::from_static(br#"{"n":0}"#)),
        idempotency_key: None,
        import: None,
    })
}

fn set(id: &str, n: u64) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.into(),
        event: "SET".into(),
        payload: Some(Bytes::from(format!(r#"{{"n":{n}}}"#))),
        event_id: Some(format!("{id}-{n}")),
        idempotency_key: Some(format!("set-{n}")),
        ..ApplyEvent::default()
    })
}

async fn prepare(replica: &Replica<Sim>) {
    submit(replica, machine()).await.unwrap();
    submit(replica, create("a")).await.unwrap();
}

fn context_of(replica: &Replica<Sim>, id: &str) -> Bytes {
    let query = Query::GetInstance {
        instance_id: id.into(),
    };
    match replica.query(&query, None).unwrap() {
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
        let cluster = boot(1).await;
        let replica = cluster.node(1);
        prepare(replica).await;
        let waiting: Vec<_> = (1..=500)
            .map(|n| replica.submit(set("a", n), "test".into()))
            .collect();
        let mut last = 0;
        for outcome in waiting {
            let offset = outcome.await.unwrap().offset.unwrap();
            assert!(offset > last, "offsets rise");
            last = offset;
        }
        assert_eq!(context_of(replica, "a"), r#"{"n":500}"#);
        let contexts: Vec<_> = events_in_log(replica).into_iter().map(|e| e.1).collect();
        let expected: Vec<_> = (1..=500).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        assert_eq!(contexts, expected);
    });
}

#[test]
fn a_retry_is_told_that_it_took_effect_when_the_log_has_let_go_of_it() {
    in_simulation(11, async {
        let cluster = Cluster::alone(Settings {
            kept: 0,
            retention: Retention {
                events: Some(1),
                ..Retention::default()
            },
            ..settings(11)
        });
        let cluster = cluster.await;
        let replica = cluster.node(1);
        prepare(replica).await;
        let first = submit(replica, set("a", 1)).await.unwrap();
        let offset = first.offset.unwrap();
        let retry = async || {
            let mut done = submit(replica, set("a", 1)).await.unwrap();
            replica.complete(&mut done.reply, &mut 1000).await;
            assert_eq!(done.offset, Some(offset));
            done.reply
        };
        let told = |replied: &Replied| match replied.here() {
            Some(Reply::Applied { ctx, applied, .. }) => Some((ctx.clone(), *applied)),
            Some(Reply::Replayed { wal_offset, .. }) if *wal_offset == offset => None,
            other => panic!("{other:?}"),
        };
        let context = Bytes::from_static(br#"{"n":1}"#);
        assert_eq!(told(&first.reply), Some((context.clone(), true)));
        // From the state, then from the log.
        assert_eq!(told(&retry().await), Some((context.clone(), false)));
        submit(replica, set("a", 2)).await.unwrap();
        assert_eq!(told(&retry().await), Some((context, false)));
        for n in 3..=600 {
            submit(replica, set("a", n)).await.unwrap();
        }
        // A segment goes once Raft's purge of what the snapshot covers is durable.
        for n in 601..=620 {
            replica.compact(true).await.unwrap();
            if replica.status().earliest_offset > offset {
                break;
            }
            submit(replica, set("a", n)).await.unwrap();
        }
        assert!(replica.status().earliest_offset > offset);
        let before = context_of(replica, "a");
        assert_eq!(told(&retry().await), None);
        assert_eq!(context_of(replica, "a"), before);
    });
}

#[test]
fn a_refusal_waits_for_the_facts_it_was_based_on() {
    in_simulation(2, async {
        let cluster = boot(2).await;
        let replica = cluster.node(1);
        submit(replica, define(TestMachine::Order)).await.unwrap();
        let order = CreateInstance {
            instance_id: "o".into(),
            id_given: true,
            machine: TestMachine::Order.name().into(),
            version: 1,
            initial_ctx: Some(Bytes::from_static(br#"{"total_cents":100}"#)),
            idempotency_key: None,
            import: None,
        };
        submit(replica, Command::CreateInstance(order))
            .await
            .unwrap();
        let event = |event: &str, payload: &'static str| {
            let apply = ApplyEvent {
                instance_id: "o".into(),
                event: event.into(),
                payload: Some(Bytes::from(payload)),
                event_id: Some(event.into()),
                ..ApplyEvent::default()
            };
            replica.submit(Command::ApplyEvent(apply), "test".into())
        };
        // Too little is paid, so its guard refuses to ship. Without the payment it would be no transition.
        let paid = event("PAY", r#"{"paid_cents":99}"#);
        let refused = event("SHIP", "{}");
        let refusal = refused.await.unwrap_err();
        assert!(
            matches!(
                refusal,
                rstmdb::replica::Error::Refused(Refusal::GuardFailed { .. })
            ),
            "{refusal}"
        );
        // The refusal came after the node had applied the write that it depends on.
        assert_eq!(
            context_of(replica, "o"),
            r#"{"total_cents":100,"paid_cents":99}"#
        );
        paid.await.unwrap();
    });
}

#[test]
fn a_watch_replays_then_follows_without_gap_or_repeat() {
    in_simulation(3, async {
        let cluster = boot(3).await;
        let replica = cluster.node(1);
        prepare(replica).await;
        for n in 1..=50 {
            submit(replica, set("a", n)).await.unwrap();
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
                seen.push((event.offset, event.event().unwrap().ctx.clone()));
            }
        }
        assert_eq!(seen, events_in_log(replica));
    });
}

#[test]
fn an_idle_watch_is_woken_only_by_what_it_wants() {
    in_simulation(4, async {
        let cluster = boot(4).await;
        let replica = cluster.node(1);
        prepare(replica).await;
        submit(replica, create("b")).await.unwrap();
        let (mut watch, _) = replica
            .watch_instance("b", WatchFilter::default(), None)
            .unwrap();
        for n in 1..=2000 {
            submit(replica, set("a", n)).await.unwrap();
        }
        let done = submit(replica, set("b", 7)).await.unwrap();
        let events = watch.next(1).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(Some(events[0].offset), done.offset);
        assert_eq!(events[0].event().unwrap().instance_id, "b");
    });
}

#[test]
fn a_watch_ends_with_the_replica_that_it_outlives() {
    in_simulation(5, async {
        let cluster = boot(5).await;
        let replica = cluster.node(1);
        prepare(replica).await;
        let mut watch = replica.watch(WatchFilter::default(), None).unwrap();
        let waits = Sim::timeout(Duration::from_secs(1), watch.next(1)).await;
        assert!(waits.is_err(), "nothing has happened");
        replica.shutdown().await.unwrap();
        let end = Sim::timeout(Duration::from_secs(1), watch.next(1)).await;
        let end = end.expect("a watch does not outlast its replica");
        assert!(matches!(
            end,
            Err(WatchEnd::Failed(rstmdb::replica::Error::ShuttingDown))
        ));
    });
}

/// Writes until the power goes at a moment of the seed's choice; returns what was acknowledged,
/// and the digest and history after the restart.
fn power_cut(seed: u64) -> (u64, u128, Vec<(u64, Bytes)>) {
    in_simulation(seed, async move {
        let mut cluster = boot(seed).await;
        prepare(cluster.node(1)).await;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (writer, told) = (cluster.node(1).clone(), acknowledged.clone());
        drop(tasks::spawn(1, async move {
            for n in 1.. {
                let burst: Vec<_> = (0..4)
                    .map(|k| writer.submit(set("a", n * 4 + k), "test".into()))
                    .collect();
                for (k, outcome) in burst.into_iter().enumerate() {
                    if outcome.await.is_ok() {
                        told.store(n * 4 + k as u64, Ordering::Relaxed);
                    }
                }
                Sim::sleep(Duration::from_millis(20)).await;
            }
        }));
        Sim::sleep(Duration::from_millis(1 + seed * 137 % 6000)).await;
        cluster.world.kill(1, true);
        let acknowledged = acknowledged.load(Ordering::Relaxed);
        cluster.start(1).await;
        let replica = cluster.node(1);
        replica
            .barrier(Consistency::Linearizable, None)
            .await
            .unwrap();
        let (digest, recomputed) =
            replica.with_state(|state| (state.digest(), state.recompute_digest()));
        assert_eq!(digest, recomputed, "seed {seed}");
        (acknowledged, digest, events_in_log(replica))
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
        let mut cluster = Cluster::alone(Settings {
            // All of the test goes into one segment, which is reserved at the start.
            segment_bytes: 1 << 20,
            ..settings(9)
        })
        .await;
        let (replica, fs) = (cluster.node(1), &cluster.disks[&1]);
        prepare(replica).await;
        let used = u64::MAX - fs.free_bytes(Path::new(DATA_DIR)).unwrap();
        fs.set_capacity_bytes(used + 64);
        for n in 0..200 {
            submit(replica, set("a", n)).await.unwrap();
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
        submit(replica, set("a", 1000)).await.unwrap();
        cluster.world.stops(1, true);
        replica.shutdown().await.unwrap();
        Sim::sleep(Duration::from_millis(100)).await;
        cluster.world.kill(1, false);
        cluster.world.stops(1, false);
        cluster.start(1).await;
        assert_eq!(
            context_of(cluster.node(1), "a"),
            Bytes::from_static(br#"{"n":1000}"#)
        );
    });
}

#[test]
fn a_clock_that_jumps_by_days_forgets_no_key_and_is_reported() {
    const DAY_MS: i64 = 86_400_000;
    in_simulation(10, async {
        let cluster = Cluster::alone(Settings {
            // It follows each of the jumps for as long as a leader follows its own clock.
            log_ahead_max: Duration::from_secs(31),
            ..settings(10)
        });
        let cluster = cluster.await;
        let replica = cluster.node(1);
        prepare(replica).await;
        let first = submit(replica, set("a", 1)).await.unwrap().offset;
        let began_ms = replica.with_state(|state| state.last_time_ms());
        for day in 1..=3 {
            cluster.clocks[&1].fetch_add(DAY_MS, Ordering::Relaxed);
            Sim::sleep(Duration::from_secs(100)).await;
            submit(replica, set("a", 1 + day)).await.unwrap();
            let again = submit(replica, set("a", 1)).await.unwrap();
            assert_eq!(again.offset, first, "the key was forgotten on day {day}");
        }
        let passed_ms = replica.with_state(|state| state.last_time_ms()) - began_ms;
        assert!((300_000..=331_000).contains(&passed_ms), "{passed_ms} ms");
        assert!(replica.counters().clock_steps.load() >= 3);
    });
}
