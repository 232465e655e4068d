//! Runs many seeds on several threads, and adds up their results.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::trace;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::Args;
use super::plan::SimPlan;
use super::run::{self, RunOutput, SeedVerdict};

/// The results of many seeds.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many there were.
    pub seeds: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// How often each thing happened.
    pub counts: BTreeMap<&'static str, u64>,
    offsets: u64,
    stale: u64,
    virtual_time: Duration,
    /// The seeds in which an invariant did not hold.
    pub failed: Vec<(u64, SeedVerdict)>,
}

/// The faults, and what else, that must have happened for many seeds to count as a test.
const REQUIRED: [&str; 20] = [
    "kill",
    "power cut",
    "partition",
    "long partition",
    "slow links",
    "connection reset",
    "freeze",
    "clock jump",
    "full disk",
    "transfer",
    "members change",
    "removed",
    "moved",
    "snapshot received",
    "restart",
    "timers fired",
    "timers spent",
    "timers moved",
    "automation paused",
    "level raised",
];
/// With this many seeds, each of these faults must have happened.
const REQUIRED_FROM_SEEDS: u64 = 100;

impl Sum {
    fn add(&mut self, seed: u64, verdict: SeedVerdict) {
        self.seeds += 1;
        self.acknowledged += verdict.acknowledged;
        self.offsets += verdict.offsets;
        self.stale += verdict.stale;
        self.virtual_time += verdict.took;
        for (what, count) in &verdict.record.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if verdict.record.violation.is_some() {
            self.failed.push((seed, verdict));
        }
    }

    /// The reason why these runs prove nothing although they have no violation, if there is one.
    #[must_use]
    pub fn hollow(&self) -> Option<String> {
        if self.acknowledged == 0 {
            return Some("nothing was acknowledged".to_owned());
        }
        let missing = |what: &&str| !self.counts.contains_key(*what);
        let missing: Vec<_> = REQUIRED.into_iter().filter(missing).collect();
        (self.seeds >= REQUIRED_FROM_SEEDS && !missing.is_empty())
            .then(|| format!("these faults did not happen: {missing:?}"))
    }
}

/// Runs one seed, saying all that happens.
pub fn one(args: &Args, seed: u64) -> ExitCode {
    let plan = SimPlan::draw(seed, args.nodes);
    let watched = RunOutput {
        spoken: !args.trace_hash,
        hashed: args.trace_hash,
    };
    if args.trace_hash {
        let verdict = run::run(plan, watched);
        println!("{:016x}", fingerprint(&verdict));
        return match verdict.record.violation {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::FAILURE,
        };
    }
    log();
    println!("{plan:#?}");
    let began = Instant::now();
    let verdict = run::run(plan, watched);
    let mut sum = Sum::default();
    sum.add(seed, verdict);
    report(args, &sum, began.elapsed())
}

/// Shows what the nodes log, as `RUST_LOG` has it, with virtual time and the node.
fn log() {
    struct Virtual;
    impl FormatTime for Virtual {
        fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
            let ms = trace::now().as_secs_f64() * 1e3;
            write!(to, "{ms:>13.3} ms   n{}", tasks::current())
        }
    }
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_timer(Virtual)
        .with_ansi(std::io::stdout().is_terminal())
        .init();
}

/// A hash that differs between different runs.
#[must_use]
pub fn fingerprint(verdict: &SeedVerdict) -> u64 {
    verdict.record.hash ^ verdict.trace_hash.unwrap_or_default().rotate_left(1)
}

/// Runs many seeds.
pub fn many(args: &Args) -> ExitCode {
    let began = Instant::now();
    let sum = run_all(args);
    report(args, &sum, began.elapsed())
}

/// Runs the requested seeds on the requested number of threads.
#[must_use]
pub fn run_all(args: &Args) -> Sum {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs_of(args) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let in_time = args.time.is_none_or(|time| began.elapsed() < time);
                    if number >= args.seeds || !in_time {
                        return;
                    }
                    let seed = args.from + number;
                    let verdict = run::run(SimPlan::draw(seed, args.nodes), RunOutput::default());
                    if verdict.record.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    sum.lock().add(seed, verdict);
                }
            });
        }
    });
    sum.into_inner()
}

fn report(args: &Args, sum: &Sum, took: Duration) -> ExitCode {
    let seeds = sum.seeds.max(1);
    println!(
        "{} seeds from {} on in {took:.1?}: {:.1} a second, {:.1} ms of each thread a seed; {:.1} virtual s a seed",
        sum.seeds,
        args.seed.unwrap_or(args.from),
        sum.seeds as f64 / took.as_secs_f64().max(1e-9),
        took.as_secs_f64() * 1e3 * jobs_of(args) as f64 / seeds as f64,
        sum.virtual_time.as_secs_f64() / seeds as f64,
    );
    println!(
        "writes acknowledged {}, offsets {}, of which stale {}",
        sum.acknowledged, sum.offsets, sum.stale
    );
    let counts = sum
        .counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"));
    println!("{}", counts.collect::<Vec<_>>().join(", "));
    for (seed, verdict) in &sum.failed {
        let Some(violation) = &verdict.record.violation else {
            continue;
        };
        println!(
            "\nSEED {seed}: violated at {:?}: {}",
            violation.at, violation.invariant
        );
        println!("  {}", violation.seen);
        for line in verdict.record.tail.iter().rev().take(40).rev() {
            println!("  {line}");
        }
        let nodes = args
            .nodes
            .map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
        println!("repeat: rstmdb-jepsen sim --seed {seed}{nodes}");
    }
    match (sum.failed.is_empty(), sum.hollow()) {
        (false, _) => ExitCode::FAILURE,
        (true, Some(why)) => {
            println!("INCONCLUSIVE: {why}");
            ExitCode::FAILURE
        }
        (true, None) => {
            println!("no invariant was violated");
            ExitCode::SUCCESS
        }
    }
}

fn jobs_of(args: &Args) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    args.jobs.map_or_else(cores, usize::from)
}
