//! One run of a seed, from its first virtual millisecond to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::trace::{self, RunTrace};
use rstmdb_sim::world::World;

use super::clients::SimClient;
use super::clients::fuses::{self, Keeper};
use super::clients::lockers::Locker;
use super::clients::readers::ReadingClient;
use super::clients::watchers::SimWatcher;
use super::nemesis::SimNemesis;
use super::plan::SimPlan;
use super::{prepare, raising, settle};

/// Interval between checks of the invariants.
const LOOK: Duration = Duration::from_millis(4);
/// How many watchers there are.
const WATCHERS: u64 = 2;

/// The result of one seed.
#[derive(Debug, Clone, Default)]
pub struct SeedVerdict {
    /// What happened.
    pub record: RunTrace,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Entries that took no effect because their premises no longer held.
    pub stale: u64,
    /// Offsets of the log.
    pub offsets: u64,
    /// The virtual time it took.
    pub took: Duration,
    /// A hash of every step of the scheduler, which tells runs apart; only if the caller asked for it.
    pub trace_hash: Option<u64>,
}

/// What a run prints or hashes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOutput {
    /// Print what happens.
    pub spoken: bool,
    /// Hash every step of the scheduler.
    pub hashed: bool,
}

/// Runs a seed.
#[must_use]
pub fn run(plan: SimPlan, watched: RunOutput) -> SeedVerdict {
    trace::begin(watched.spoken);
    tasks::begin();
    let mut runtime = SimRuntime::with_seed(plan.settings.seed);
    runtime.record_trace(watched.hashed);
    let world = World::new(plan.settings.clone());
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(play(world.clone(), Arc::new(plan)))
    }));
    let took = played.unwrap_or_else(|_| {
        trace::violated("the run goes on", tasks::panicked());
        Duration::ZERO
    });
    let trace_hash = watched.hashed.then(|| hash(&runtime.take_trace()));
    let (acknowledged, chain) = (world.answers.lock().acknowledged, world.chain.lock());
    let (stale, offsets) = (chain.stale(), chain.end());
    drop(chain);
    drop(world);
    drop(runtime);
    tasks::begin();
    SeedVerdict {
        record: trace::end(),
        acknowledged,
        stale,
        offsets,
        took,
        trace_hash,
    }
}

fn hash(trace: &[String]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    // Without a random seed, so that processes can be compared.
    let mut hasher = DefaultHasher::new();
    trace.hash(&mut hasher);
    hasher.finish()
}

async fn play(world: Arc<World>, plan: Arc<SimPlan>) -> Duration {
    world.place_first();
    for id in 1..=world.settings.nodes {
        world.boot(id);
    }
    let script = SimRuntime::spawn(script(world.clone(), plan));
    let mut script = std::pin::pin!(script);
    loop {
        let pause = SimRuntime::timeout(LOOK, script.as_mut()).await;
        world.reap();
        world.observe_all();
        match pause {
            Err(_) if !trace::is_violated() => {}
            Err(_) => break,
            Ok(ended) => {
                if let Err(error) = ended {
                    trace::violated("the script comes to its end", error.to_string());
                }
                break;
            }
        }
    }
    let took = trace::now();
    world.dissolve();
    took
}

async fn script(world: Arc<World>, plan: Arc<SimPlan>) {
    if !is_prepared(&world, &plan).await {
        return;
    }
    let until = trace::now() + plan.trouble;
    let clients = 0..plan.clients;
    let clients = clients.map(|n| SimRuntime::spawn(SimClient::new(&world, &plan, n).run(until)));
    let clients: Vec<_> = clients.collect();
    let raising = plan
        .raises
        .then(|| SimRuntime::spawn(raising::upgrade(world.clone(), plan.clone(), until)));
    let keepers = (0..plan.keepers).filter(|_| plan.fuses > 0 && !plan.raises);
    let keepers = keepers.map(|n| SimRuntime::spawn(Keeper::new(&world, &plan, n).run(until)));
    let keepers: Vec<_> = keepers.collect();
    let switch = plan
        .pauses
        .then(|| SimRuntime::spawn(fuses::switch(world.clone(), until)));
    let watchers = 0..WATCHERS;
    let watchers = watchers.map(|n| SimRuntime::spawn(SimWatcher::new(&world, n).run(until)));
    let watchers: Vec<_> = watchers.collect();
    let lockers = 0..Locker::count(world.settings.seed);
    let lockers = lockers.map(|n| SimRuntime::spawn(Locker::new(&world, n).run(until)));
    let lockers: Vec<_> = lockers.collect();
    let reader = SimRuntime::spawn(ReadingClient::new(&world).run(until));
    SimNemesis::new(&world, &plan).run().await;
    settle::calm(&world);
    if let Some(archive) = &plan.archive {
        archive.fail(0);
    }
    join_all(clients).await;
    join_all(keepers).await;
    join_all(switch).await;
    join_all(raising).await;
    join_all(watchers).await;
    join_all(lockers).await;
    drop(reader.await);
    if plan.fuses > 0 && !settle::fired(&world).await {
        return;
    }
    settle::settle(&world).await;
}

/// Creates the machines and instances that all clients use, as far as the cluster understands them.
async fn is_prepared(world: &Arc<World>, plan: &SimPlan) -> bool {
    let understood = prepare::of_format_2(plan).filter(|_| !plan.raises);
    for command in prepare::of_format_1(plan).chain(understood) {
        if !settle::written(world, 1, &command).await {
            return false;
        }
    }
    true
}
