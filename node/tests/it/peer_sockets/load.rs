//! Clients of every node: writers that pipeline, and readers that must see every acknowledged write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use rstmdb::replica::{Consistency, Done, Error};
use rstmdb::server::product::Replica;
use rstmdb_engine::{ApplyEvent, Command, CreateInstance, PutMachine, Query, Reply};

use super::random::Random;

/// Commands submitted without waiting.
const BURST: u64 = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// Instances that no client changes: they make a snapshot of several messages.
const BALLAST: usize = 96;
const BALLAST_BYTES: usize = 30_000;

/// The requests of all clients, and their answers.
#[derive(Default)]
pub struct Load {
    pub told: Mutex<BTreeMap<String, Told>>,
    /// Answers that no client may get.
    pub violations: Mutex<Vec<String>>,
    pub reads: AtomicU64,
    pub stopped: AtomicBool,
    ready: AtomicBool,
    starts: AtomicU64,
}

/// What a writer was told of each value.
#[derive(Default)]
pub struct Told {
    pub done: Vec<u64>,
    pub nothing_changed: Vec<u64>,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn violation(&self, what: String) {
        self.violations.lock().push(what);
    }
}

/// Starts the clients of a node that has started; every start has instances of its own, because what was
/// under way when its predecessor crashed may still take effect.
pub fn start(id: u64, replica: &Replica, load: &Arc<Load>) {
    let start = load.starts.fetch_add(1, Ordering::Relaxed);
    if id == 1 && !load.ready.load(Ordering::Relaxed) {
        tokio::spawn(prepare(replica.clone(), load.clone()));
    }
    for keyed in [true, false] {
        let instance = format!("{id}-{start}-{keyed}");
        tokio::spawn(write(replica.clone(), load.clone(), instance, keyed));
    }
    tokio::spawn(read(replica.clone(), load.clone(), Random::new(start)));
}

async fn prepare(replica: Replica, load: Arc<Load>) {
    insist(&replica, machine()).await;
    let mut random = Random::new(7);
    for n in 0..BALLAST {
        let ctx = format!(r#"{{"n":0,"b":"{}"}}"#, random.text(BALLAST_BYTES));
        insist(&replica, create(&format!("ballast-{n}"), ctx)).await;
    }
    load.ready.store(true, Ordering::Relaxed);
}

/// Repeats what may be repeated until it is done.
async fn insist(replica: &Replica, command: Command) {
    while submit(replica, command.clone()).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn submit(replica: &Replica, command: Command) -> Result<Done, Error> {
    replica.submit(command, "test".into()).await
}

/// Sets one instance to rising values, in bursts. Within a burst the client does not wait.
async fn write(replica: Replica, load: Arc<Load>, instance: String, keyed: bool) {
    while !load.ready.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
    }
    insist(&replica, create(&instance, r#"{"n":0}"#.to_owned())).await;
    load.told.lock().insert(instance.clone(), Told::default());
    let mut n = 0;
    while load.goes_on() {
        let burst: Vec<u64> = (n + 1..=n + BURST).collect();
        n += BURST;
        let outcomes: Vec<_> = burst
            .iter()
            .map(|n| replica.submit(set(&instance, *n, keyed), "test".into()))
            .collect();
        for (n, outcome) in burst.into_iter().zip(join_all(outcomes).await) {
            let mut told = load.told.lock();
            let told = told.entry(instance.clone()).or_default();
            match outcome {
                Ok(_) => told.done.push(n),
                Err(Error::OutcomeUnknown) => {}
                Err(Error::NoLeader | Error::NotLeader) => told.nothing_changed.push(n),
                Err(other) => load.violation(format!("{instance}={n}: {other}")),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads what other clients write. No write that was acknowledged before the read may be missing.
async fn read(replica: Replica, load: Arc<Load>, mut random: Random) {
    while load.goes_on() {
        tokio::time::sleep(random.millis(5, 60)).await;
        let Some((instance, floor)) = pick(&load, &mut random) else {
            continue;
        };
        let barrier = replica.barrier(Consistency::Linearizable, None).await;
        if barrier.is_err() {
            continue;
        }
        let query = Query::GetInstance {
            instance_id: instance.clone(),
        };
        match replica.query(&query, None) {
            Ok(Reply::Instance(found)) if value(&found.ctx) >= floor => {
                load.reads.fetch_add(1, Ordering::Relaxed);
            }
            found => load.violation(format!(
                "{instance}={floor} was acknowledged; read {found:?}"
            )),
        }
    }
}

fn pick(load: &Load, random: &mut Random) -> Option<(String, u64)> {
    let told = load.told.lock();
    let at = usize::try_from(random.below(told.len().max(1) as u64)).unwrap();
    let (instance, told) = told.iter().nth(at)?;
    Some((instance.clone(), told.done.last().copied().unwrap_or(0)))
}

/// What an instance was set to.
pub fn value(ctx: &[u8]) -> u64 {
    let ctx: serde_json::Value = serde_json::from_slice(ctx).unwrap();
    ctx["n"].as_u64().unwrap()
}

fn machine() -> Command {
    Command::PutMachine(PutMachine {
        machine: "counter".into(),
        version: 1,
        definition: Bytes::from_static(
            br#"{"states":["ON"],"initial":"ON","transitions":[
                {"from":"ON","event":"SET","to":"ON"}]}"#,
        ),
        checksum: None,
    })
}

fn create(id: &str, ctx: String) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "counter".into(),
        version: 1,
        initial_ctx: Some(ctx.into()),
        idempotency_key: Some(format!("create-{id}")),
        import: None,
    })
}

fn set(id: &str, n: u64, keyed: bool) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.into(),
        event: "SET".into(),
        payload: Some(Bytes::from(format!(r#"{{"n":{n}}}"#))),
        idempotency_key: keyed.then(|| format!("set-{n}")),
        ..ApplyEvent::default()
    })
}
