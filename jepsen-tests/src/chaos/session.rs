//! `rstmdb-jepsen chaos`: runs, one after the other, until the time is over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::fault::{raise_limit, upgrade};
use super::nemesis::NemesisSpan;
use super::nodes::processes::can_be_older;
use super::report::{self, Overall};
use super::run::{self, ChaosPlan, DoneRun, HowNodesRun};
use super::schedule::FaultKind;
use super::{check, interrupt};
use crate::Error;
use crate::faults::faketime::Library;
use crate::faults::{disk, strace};
use crate::harness::arguments;
use crate::harness::rng::{self, Rng};

/// One seed in so many begins with the program before, and is upgraded.
const UPGRADES_EVERY: u64 = 3;

/// The schedule of a run, in its folder.
const SCHEDULE: &str = "schedule.json";

/// The arguments of `rstmdb-jepsen chaos`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For how long new runs begin, as `90s`, `6m` or `8h`; one run when absent.
    #[arg(long, value_parser = arguments::time, allow_hyphen_values = true)]
    time: Option<Duration>,
    /// How long one run has faults, from 10s to 24h.
    #[arg(long, value_parser = arguments::run_time, allow_hyphen_values = true, default_value = "3m")]
    run_time: Duration,
    /// The seed of the first run; drawn when absent. Each run prints its own.
    #[arg(long, allow_negative_numbers = true, value_parser = arguments::seed)]
    seed: Option<u64>,
    /// How many nodes: 3 or 5, in turn when absent.
    #[arg(long, value_parser = arguments::nodes)]
    nodes: Option<u64>,
    /// What the nodes run in.
    #[arg(long, value_enum, default_value = "processes")]
    runner: HowNodesRun,
    /// Only these kinds of faults; all that this machine allows when absent.
    #[arg(long, value_delimiter = ',')]
    faults: Option<Vec<FaultKind>>,
    /// A schedule of an earlier run, instead of one by seed. Its seed is still needed for what clients do.
    #[arg(long, requires = "seed", conflicts_with = "faults")]
    schedule: Option<PathBuf>,
    /// How many runs may be inconclusive because the suite itself failed.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    unjudged: usize,
    /// Requests a second, from 1 to 100,000.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Where the results go: a folder for each run.
    #[arg(long, default_value = "store")]
    store: PathBuf,
    /// Print each fault when it begins.
    #[arg(long, short)]
    verbose: bool,
}

/// Runs until the time is over; fails when a run does not pass.
pub fn main(args: &Args) -> ExitCode {
    if let Err(error) = interrupt::listen() {
        eprintln!("chaos: {error}");
        return ExitCode::FAILURE;
    }
    let begun = Instant::now();
    let mut seeds = Rng::new(args.seed.unwrap_or_else(rng::drawn));
    let kinds = kinds(args);
    let (mut passed, mut unjudged, mut violated) = (0, 0, 0);
    loop {
        let runs = passed + unjudged + violated;
        let seed = match (args.seed, runs) {
            (Some(seed), 0) => seed,
            _ => seeds.number() >> 16,
        };
        let nodes = args.nodes.unwrap_or([3, 5][runs % 2]);
        let mut kinds = kinds.clone();
        if args.faults.is_none() && !seed.is_multiple_of(UPGRADES_EVERY) {
            kinds.remove(&FaultKind::Upgrade);
        }
        let mut plan = ChaosPlan::draw(seed, nodes, args.runner, args.run_time, args.rate, &kinds);
        if let Some(path) = &args.schedule {
            match read_schedule(path) {
                Ok(schedule) => plan.schedule = schedule,
                Err(error) => {
                    eprintln!("chaos: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        match one(args, &plan) {
            Ok(Overall::Pass) => passed += 1,
            Ok(Overall::Violation) => violated += 1,
            Ok(Overall::Unknown | Overall::Failed) => unjudged += 1,
            Err(error) => {
                // Any other run would fail in the same way.
                println!("chaos: cannot make the run, or cannot keep its results: {error}");
                return ExitCode::FAILURE;
            }
        }
        let is_over = |time| begun.elapsed() + args.run_time > time;
        if args.time.is_none_or(is_over) || interrupt::is_requested() {
            break;
        }
    }
    println!(
        "chaos: runs: {passed} passed, {violated} violated, {unjudged} without a verdict; {:.0?}",
        begun.elapsed()
    );
    if violated == 0 && unjudged <= args.unjudged && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl From<NemesisSpan> for report::FaultSpan {
    fn from(span: NemesisSpan) -> Self {
        Self {
            begun_us: span.begun,
            ended_us: span.ended,
            kind: span.kind.name(),
            name: span.what,
        }
    }
}

/// The kinds to draw from: the requested ones, or all that this machine allows.
fn kinds(args: &Args) -> BTreeSet<FaultKind> {
    let descriptors = raise_limit();
    if let Some(asked) = &args.faults {
        return asked.iter().copied().collect();
    }
    let mut kinds = BTreeSet::from(FaultKind::ALL);
    let mut leave_out = |some: &[FaultKind], why: &str| {
        let names: Vec<_> = some.iter().map(|kind| kind.name()).collect();
        println!("chaos: without {}: {why}", names.join(", "));
        kinds.retain(|kind| !some.contains(kind));
    };
    if let Err(why) = descriptors {
        leave_out(&[FaultKind::Strangers], &why);
    }
    if args.runner == HowNodesRun::Containers {
        let only_processes = [
            FaultKind::Halves,
            FaultKind::LeaderAlone,
            FaultKind::Tethered,
            FaultKind::MajorityRing,
            FaultKind::OneWay,
            FaultKind::Bridge,
            FaultKind::AnyWays,
            FaultKind::Slow,
            FaultKind::Flapping,
            FaultKind::Resets,
            FaultKind::Narrow,
            FaultKind::LargeLost,
            FaultKind::ClockJump,
            FaultKind::ClockDrift,
            FaultKind::Members,
            FaultKind::Emptied,
            FaultKind::Moved,
            FaultKind::Upgrade,
            FaultKind::Reload,
            FaultKind::PowerCut,
            FaultKind::FailingCall,
            FaultKind::LyingWrites,
            FaultKind::FullDisk,
            // Containers are configured as users start them, so their limits are above what the suite sends.
            FaultKind::Hoarders,
        ];
        leave_out(&only_processes, "nodes in containers");
        return kinds;
    }
    if let Err(why) = can_be_older(upgrade::BEFORE) {
        leave_out(&[FaultKind::Upgrade], &why);
    }
    if let Err(error) = disk::Disk::mount_new() {
        let why = error.to_string();
        leave_out(&[FaultKind::PowerCut, FaultKind::FullDisk], &why);
    }
    if let Err(why) = strace::can_trace() {
        leave_out(&[FaultKind::FailingCall, FaultKind::LyingWrites], &why);
    }
    if let Err(why) = Library::find() {
        leave_out(&[FaultKind::ClockJump, FaultKind::ClockDrift], &why);
    }
    kinds
}

fn read_schedule(path: &Path) -> Result<Vec<super::schedule::Planned>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
    let schedule: Vec<_> = serde_json::from_str(&text).map_err(Error::content(path))?;
    if schedule.is_empty() {
        let why = format!("--schedule {}: it has no fault", path.display());
        return Err(Error::Command(why));
    }
    Ok(schedule)
}

/// Carries out one run and leaves its report.
fn one(args: &Args, plan: &ChaosPlan) -> Result<Overall, Error> {
    let now = jiff::Zoned::now();
    let name = format!("{}-{}", now.strftime("%Y%m%dT%H%M%S"), plan.seed);
    let dir = args.store.join(&name);
    let file = |name: &str| Error::io(dir.join(name).display().to_string());
    std::fs::create_dir_all(&dir).map_err(file(""))?;
    let (seed, faults) = (plan.seed, plan.schedule.len());
    println!(
        "chaos: seed {seed}, {} nodes, {faults} faults, {}",
        plan.nodes,
        dir.display()
    );
    let schedule = serde_json::to_string_pretty(&plan.schedule);
    let schedule = schedule.map_err(Error::content(Path::new(SCHEDULE)))?;
    std::fs::write(dir.join(SCHEDULE), schedule).map_err(file(SCHEDULE))?;
    let begun = Instant::now();
    // An error of the suite says nothing about the nodes; it counts as inconclusive, which fails the run.
    let done = run::carry_out(plan, &dir, args.verbose).unwrap_or_else(|error| DoneRun {
        entries: Vec::new(),
        spans: Vec::new(),
        results: vec![check::failed("the run", &error.to_string())],
        logs: Vec::new(),
    });
    for (name, text) in &done.logs {
        std::fs::write(dir.join(name), text).map_err(file(name))?;
    }
    let report = report::ReportedRun {
        name,
        seed,
        runner: runner_name(plan.runner),
        nodes: usize::try_from(plan.nodes).unwrap_or_default(),
        begun: now.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        duration: begun.elapsed(),
        command: command(plan, &dir),
        faults: done
            .spans
            .into_iter()
            .map(report::FaultSpan::from)
            .collect(),
        entries: done.entries,
        results: done.results,
        logs: done.logs.into_iter().map(|(name, _)| name).collect(),
        notes: Vec::new(),
    };
    let written = report::write(&dir, &report);
    let overall = report.overall();
    for result in &report.results {
        if !result.is_valid() || args.verbose {
            println!("  {result}");
        }
    }
    println!(
        "chaos: seed {seed}: {}, {} requests, {:.0?}",
        overall.label(),
        report.entries.len(),
        report.duration
    );
    written?;
    Ok(overall)
}

fn runner_name(runner: HowNodesRun) -> String {
    let name = runner.to_possible_value();
    name.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The command that repeats this plan.
fn command(plan: &ChaosPlan, dir: &Path) -> String {
    // The schedule depends on what this machine allows as well: where that differs, the file is the same.
    format!(
        "cargo run --release -p rstmdb-jepsen -- chaos --seed {} --nodes {} --runner {} --run-time {}s --rate {} \
         --schedule {}",
        plan.seed,
        plan.nodes,
        runner_name(plan.runner),
        plan.length.as_secs(),
        plan.rate,
        dir.join(SCHEDULE).display(),
    )
}
