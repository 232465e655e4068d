//! One run: load and trouble, then healing, then the checks.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use turmoil::{Builder, Sim};

use super::check;
use super::node::{self, NODES, Shared, name};
use super::trouble::{LATENCY, Trouble};

/// How long there is trouble, in virtual time.
const TROUBLE: Duration = Duration::from_secs(20);
/// How long all may take to agree afterwards.
const SETTLE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);
/// If this variable is set, the run prints its progress.
const TRACE: &str = "RSTMDB_TRACE";
/// Steps between two looks at the nodes.
const STEPS: u64 = 50;
/// The folder is in memory if the machine has such a file system: these tests cut no power.
const MEMORY: &str = "/dev/shm";

/// Runs a seed. Panics if something is wrong, and otherwise returns what happened.
pub fn run(seed: u64) -> String {
    let memory = Path::new(MEMORY);
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let folder = tempfile::tempdir_in(parent).unwrap();
    let shared = Shared::new(folder.path().to_owned());
    let mut sim = Builder::new()
        .rng_seed(seed)
        .simulation_duration((TROUBLE + SETTLE) * 2)
        .tick_duration(TICK)
        .min_message_latency(LATENCY / 2)
        .max_message_latency(LATENCY * 4)
        .tcp_capacity(65_536)
        .build();
    for id in 1..=NODES {
        let shared = shared.clone();
        sim.host(name(id), move || node::run(id, shared.clone()));
    }
    let mut trouble = Trouble::new(seed, shared.clone());
    while sim.elapsed() < TROUBLE {
        let now = sim.elapsed();
        trouble.step(&mut sim, now);
        steps(&mut sim);
    }
    trouble.end(&mut sim);
    shared.load.stopped.store(true, Ordering::Relaxed);
    settle(seed, &mut sim, &shared);
    check(seed, &shared);
    summary(&sim, &shared, &trouble)
}

fn steps(sim: &mut Sim<'_>) {
    for _ in 0..STEPS {
        sim.step().unwrap();
    }
    if std::env::var_os(TRACE).is_some() {
        eprintln!("{:?}", sim.elapsed());
    }
}

/// How many files of history the nodes have fetched: what lies before a snapshot that they were sent.
fn fetched(shared: &Shared) -> usize {
    let folder = |id| shared.folder.join(name(id)).join("history");
    let count = |id| std::fs::read_dir(folder(id)).map_or(0, Iterator::count);
    (1..=NODES).map(count).sum()
}

fn settle(seed: u64, sim: &mut Sim<'_>, shared: &Shared) {
    let end = sim.elapsed() + SETTLE;
    // What was asked before the end is answered first.
    let quiet = sim.elapsed() + Duration::from_secs(5);
    loop {
        steps(sim);
        let nodes = shared.running.lock();
        if sim.elapsed() > quiet && check::converged(&nodes, NODES) {
            return;
        }
        if sim.elapsed() > end {
            let reports: Vec<_> = nodes.values().map(|node| node.report()).collect();
            panic!("seed {seed}: no convergence within {SETTLE:?}: {reports:#?}");
        }
    }
}

fn check(seed: u64, shared: &Shared) {
    let mut wrong = std::mem::take(&mut *shared.load.violations.lock());
    let values = check::differences(&shared.running.lock(), &mut wrong);
    for (instance, told) in shared.load.told.lock().iter() {
        let values = values.get(instance).map_or(&[][..], Vec::as_slice);
        check::told(instance, told, values, &mut wrong);
    }
    assert_eq!(wrong, [""; 0], "seed {seed}");
}

fn summary(sim: &Sim<'_>, shared: &Shared, trouble: &Trouble) -> String {
    let told = shared.load.told.lock();
    let acknowledged: usize = told.values().map(|told| told.done.len()).sum();
    let running = shared.running.lock();
    let taken = running
        .values()
        .map(|node| node.counters().snapshots_taken.load());
    let taken: u64 = taken.sum();
    let reads = shared.load.reads.load(Ordering::Relaxed);
    assert!(
        acknowledged > 500 && reads > 50,
        "{acknowledged} writes, {reads} reads"
    );
    let troubles: u64 = trouble.counts.values().sum();
    assert!(troubles >= 3, "{:?}", trouble.counts);
    let mut text = format!(
        "{acknowledged} writes acknowledged, {reads} reads, {} snapshots taken, {} history files fetched, {:.0?} virtual",
        taken,
        fetched(shared),
        sim.elapsed()
    );
    for (what, count) in &trouble.counts {
        let _ = write!(text, ", {count} x {what}");
    }
    text
}
