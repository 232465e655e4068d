//! SIGKILL at random moments under load: nothing acknowledged is lost, nothing takes effect twice, and
//! watchers that resume by offset have seen every event exactly once, in order.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rstmdb_jepsen::checker::{Checker, Verdict};
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::{self, Plan};
use rstmdb_jepsen::model::{Instance, Machine};
use rstmdb_jepsen::observer::{self, Seen};
use rstmdb_jepsen::process::Node;
use rstmdb_jepsen::raw::{Connection, Message};
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::wal;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::watch::WatchAll;
use serde_json::{Value, json};

const KILLS: usize = 52;
const CONNECTIONS: usize = 4;
const WINDOW: usize = 16;
const SHARED_INSTANCES: usize = 20;

#[test]
fn fifty_kills_under_load_lose_nothing_repeat_nothing_and_reorder_nothing() {
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("kill9"));
    let mut node = Node::start(&config()).unwrap();
    let (preparation, plan) = prepare(&node);
    let load = start_load(&plan, &mut rng);
    let watchers = Watchers::start(&node);
    let restarts = kill_repeatedly(&mut node, &mut rng);
    let mut ledgers = load.finish();
    ledgers.push(preparation);

    let verdict = read_log(&node, &ledgers);
    let last = verdict.events.last().unwrap().offset;
    assert_eq!(verdict.violations, [""; 0], "the log and the ledgers");
    assert_eq!(
        watchers.finish(last, &verdict.events),
        [""; 0],
        "the watchers"
    );
    check_instances(&node, &verdict);
    report(&node, &ledgers, &verdict, &restarts, begun.elapsed());
}

/// Segments of 1 MiB and a snapshot at every opportunity, so that kills hit rolls, snapshots and purges.
fn config() -> Config {
    Config::for_tests()
        .with("compaction.events_threshold", "300")
        .with("compaction.min_interval_secs", "0")
}

/// Puts the machines and creates the instances that all connections share.
fn prepare(node: &Node) -> (Ledger, Plan) {
    use rstmdb_jepsen::ledger::{Action, Effect, Op, Outcome};
    let mut connection = Connection::connect(node.addr()).unwrap();
    for machine in Machine::ALL {
        let definition = machine.definition();
        let put = json!({"machine": machine.name(), "version": 1, "definition": definition});
        connection.call("PUT_MACHINE", &put).unwrap();
    }
    let mut ledger = Ledger::default();
    let mut create = |machine: Machine, n: usize| {
        let id = format!("{}-{n}", machine.name());
        let effect = Effect {
            tag: id.clone(),
            instance: Some(id.clone()),
            action: Action::Create {
                machine,
                ctx: json!({"op": id, "total_cents": 50}),
            },
        };
        let mut op = Op {
            attempts: 1,
            ..Op::new(vec![effect], true)
        };
        let (name, params) = load::request(&op);
        let offset = connection.call(name, &params).unwrap()["wal_offset"]
            .as_u64()
            .unwrap();
        op.outcome = Outcome::Acknowledged { offset };
        ledger.ops.push(op);
        id
    };
    let counters = (0..SHARED_INSTANCES)
        .map(|n| create(Machine::Counter, n))
        .collect();
    let orders = (0..SHARED_INSTANCES)
        .map(|n| create(Machine::Order, n))
        .collect();
    let addr = node.addr();
    (
        ledger,
        Plan {
            addr,
            connection: 0,
            window: WINDOW,
            counters,
            orders,
        },
    )
}

struct RunningLoad {
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Ledger>>,
}

fn start_load(plan: &Plan, rng: &mut Rng) -> RunningLoad {
    let stop = Arc::new(AtomicBool::new(false));
    let connections = (0..CONNECTIONS)
        .map(|connection| {
            let (plan, rng) = (
                Plan {
                    connection,
                    ..plan.clone()
                },
                rng.fork(),
            );
            let stop = Arc::clone(&stop);
            thread::spawn(move || load::run(&plan, rng, &stop))
        })
        .collect();
    RunningLoad { stop, connections }
}

impl RunningLoad {
    /// Lets every connection settle what it has in flight.
    fn finish(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        self.connections
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    }
}

/// Kills and restarts; gives the time of every restart that was let finish.
fn kill_repeatedly(node: &mut Node, rng: &mut Rng) -> Vec<Duration> {
    let mut restarts = Vec::new();
    for kill in 1..=KILLS {
        let moment = Duration::from_micros(rng.between(20_000, 900_000));
        let compact_at = rng.percent(50).then(|| moment.mul_f64(0.9));
        let begun = Instant::now();
        if let Some(at) = compact_at {
            thread::sleep(at);
            compact_in_background(node);
        }
        thread::sleep(moment.saturating_sub(begun.elapsed()));
        node.kill().unwrap();
        if rng.percent(20) {
            // Killed again while it recovers.
            node.launch().unwrap();
            thread::sleep(Duration::from_micros(rng.between(100, 60_000)));
            node.kill().unwrap();
        }
        match node.restart() {
            Ok(took) => restarts.push(took),
            Err(error) => panic!("after kill {kill}: {error}"),
        }
    }
    restarts
}

/// Asks for a snapshot without waiting for it: the kill is to come in between.
fn compact_in_background(node: &Node) {
    let Ok(mut connection) = Connection::connect(node.addr()) else {
        return;
    };
    thread::spawn(move || {
        let answer = connection.call("COMPACT", &json!({"force_snapshot": true}));
        // Killed before it answered, or done: both are fine.
        drop(answer);
    });
}

/// Two watchers over the whole run: one that resumes by hand, one of the client library.
struct Watchers {
    last: Arc<AtomicU64>,
    plain: JoinHandle<Vec<Seen>>,
    library: JoinHandle<Vec<Seen>>,
}

impl Watchers {
    fn start(node: &Node) -> Self {
        let addr = node.addr();
        let last = Arc::new(AtomicU64::new(u64::MAX));
        let until = Arc::clone(&last);
        let plain = thread::spawn(move || observer::watch_until(addr, &until).unwrap().seen);
        let until = Arc::clone(&last);
        let options = ClientOptions {
            addrs: vec![addr.to_string()],
            ..ClientOptions::default()
        };
        let library = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(watch_with_the_library(options, &until))
        });
        Self {
            last,
            plain,
            library,
        }
    }

    /// Lets both reach the log's last event and compares what they saw.
    fn finish(self, last: u64, events: &[Seen]) -> Vec<String> {
        self.last.store(last, Ordering::Release);
        let watchers = [("plain", self.plain), ("library", self.library)];
        let wrong = watchers.into_iter().filter_map(|(name, watcher)| {
            let seen = watcher.join().unwrap();
            let difference = observer::difference(events, &seen)?;
            Some(format!("{name}: {difference}"))
        });
        wrong.collect()
    }
}

async fn watch_with_the_library(options: ClientOptions, last: &AtomicU64) -> Vec<Seen> {
    let everything = WatchAll {
        from_offset: Some(0),
        ..WatchAll::default()
    };
    let mut watch = loop {
        // The node may be down just now, and a watch resumes only once it has begun.
        let Ok(client) = Client::connect(options.clone()).await else {
            continue;
        };
        if let Ok(watch) = client.watch_all(&everything).await {
            break watch;
        }
    };
    let mut seen: Vec<Seen> = Vec::new();
    while seen.last().map_or(0, |seen| seen.offset) < last.load(Ordering::Acquire) {
        let next = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
        if let Ok(event) = next {
            let event = event.unwrap().unwrap();
            let offset = event.wal_offset;
            seen.push(Seen::new(offset, &serde_json::to_value(&event).unwrap()));
        }
    }
    seen
}

fn read_log(node: &Node, ledgers: &[Ledger]) -> Verdict {
    let mut connection = Connection::connect(node.addr()).unwrap();
    let mut checker = Checker::new(ledgers);
    let from = wal::earliest(&mut connection).unwrap();
    wal::visit(&mut connection, from, wal::PAGE_RECORDS, |record| {
        checker.record(&record)
    })
    .unwrap();
    checker.finish()
}

/// GET shows every instance exactly as the log leaves it, and there is no other.
fn check_instances(node: &Node, verdict: &Verdict) {
    let mut connection = Connection::connect(node.addr()).unwrap();
    let total = connection
        .call("LIST_INSTANCES", &json!({"limit": 1}))
        .unwrap()["total"]
        .as_u64();
    assert_eq!(total, Some(verdict.instances.len() as u64));
    let instances: Vec<(&String, &Instance)> = verdict.instances.iter().collect();
    for some in instances.chunks(256) {
        let asked: Vec<String> = some
            .iter()
            .map(|(id, _)| connection.queue("GET_INSTANCE", &json!({"instance_id": id})))
            .collect();
        connection.flush().unwrap();
        for _ in some {
            let Message::Response { id, outcome } = connection.receive().unwrap() else {
                panic!("an event without a watch");
            };
            let at = asked.iter().position(|asked| *asked == id).unwrap();
            let (name, expected) = some[at];
            let found = outcome.unwrap();
            assert_eq!(found["state"], expected.state, "{name}");
            assert_eq!(found["ctx"], Value::Object(expected.ctx.clone()), "{name}");
            assert_eq!(found["last_wal_offset"], expected.last_offset, "{name}");
        }
    }
}

fn report(
    node: &Node,
    ledgers: &[Ledger],
    verdict: &Verdict,
    restarts: &[Duration],
    took: Duration,
) {
    let mut connection = Connection::connect(node.addr()).unwrap();
    let stats = connection.call("WAL_STATS", &json!({})).unwrap();
    let compacted = connection.call("COMPACT", &json!({})).unwrap();
    let segments = stats["segment_count"].as_u64().unwrap();
    assert!(segments > 3, "the log never rolled: {stats}");
    assert!(
        compacted["total_snapshots"].as_u64().unwrap() > 0,
        "there was no snapshot"
    );
    let mut restarts = restarts.to_vec();
    restarts.sort_unstable();
    println!(
        "kill9: {KILLS} kills, {} acknowledged and {} unanswered writes, {} events, {} instances, \
         {segments} segments, restart median {:?} max {:?}, {took:.1?} in total",
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        verdict.events.len(),
        verdict.instances.len(),
        restarts[restarts.len() / 2],
        restarts[restarts.len() - 1],
    );
}
