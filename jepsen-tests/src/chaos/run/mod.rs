//! One run: a cluster, its load, its faults, and its results.
//!
//! | module | subject |
//! |---|---|
//! | [`swarm`] | the configuration of the nodes, by seed |
//! | [`finish`] | the end: whether the nodes heal and agree |
//! | `stand` | how far they have come, compared with the log |

pub mod finish;
mod stand;
pub mod swarm;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::swarm::Swarm;
use super::check::CheckerResult;
use super::clients::client::{ClientsShared, NodeDirectory};
use super::clients::watchers::ChaosWatchers;
use super::clients::workload::{self, ChaosLoad};
use super::fault::upgrade;
use super::history::{HistoryEntry, Recorder};
use super::nemesis::{ChaosNemesis, NemesisSpan};
use super::nodes::Nodes;
use super::nodes::containers::Containers;
use super::nodes::processes::{Own, Processes};
use super::schedule::{self, FaultKind, Planned};
use crate::Error;
use crate::harness::rng::Rng;

/// How long the last faults may take to end: some need a leader for that.
const HEAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the load goes on after the last fault.
const QUIET_LOAD: Duration = Duration::from_secs(2);

/// What the nodes run in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
pub enum HowNodesRun {
    /// Processes of this machine.
    Processes,
    /// The containers of docker-compose.yml.
    Containers,
}

/// The plan of a run. The same plan makes the same configuration, the same schedule and the same choices of
/// each client; the timing of threads and packets depends on the machine.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ChaosPlan {
    /// The seed of all choices.
    pub seed: u64,
    /// How many nodes at first.
    pub nodes: u64,
    /// What they run in.
    pub runner: HowNodesRun,
    /// For how long there are faults.
    pub length: Duration,
    /// Requests a second.
    pub rate: u64,
    /// The faults, and when they begin.
    pub schedule: Vec<Planned>,
}

/// The outcome of a run.
#[derive(Debug)]
pub struct DoneRun {
    /// The requests and their answers.
    pub entries: Vec<HistoryEntry>,
    /// The faults that began.
    pub spans: Vec<NemesisSpan>,
    /// What the checkers say.
    pub results: Vec<CheckerResult>,
    /// The nodes' logs, by file name.
    pub logs: Vec<(String, String)>,
}

impl ChaosPlan {
    /// A plan with a schedule of its own.
    pub fn draw(
        seed: u64,
        nodes: u64,
        runner: HowNodesRun,
        length: Duration,
        rate: u64,
        kinds: &BTreeSet<FaultKind>,
    ) -> Self {
        Self {
            seed,
            nodes,
            runner,
            length,
            rate,
            schedule: schedule::draw(kinds, length, &mut Rng::new(seed)),
        }
    }

    /// Kinds of faults that it has.
    pub fn kinds(&self) -> BTreeSet<FaultKind> {
        self.schedule.iter().map(|planned| planned.kind).collect()
    }
}

/// Carries out a plan. `scratch` is a folder for temporary files.
///
/// # Errors
/// When the run itself fails: this says nothing about the nodes.
pub fn carry_out(plan: &ChaosPlan, scratch: &Path, is_loud: bool) -> Result<DoneRun, Error> {
    // The schedule was drawn from the seed itself.
    let mut rng = Rng::new(!plan.seed);
    let mut swarm = swarm::draw(&mut rng);
    if plan.runner == HowNodesRun::Containers {
        // Containers are configured as users start them.
        swarm.keys.clear();
    }
    let mut nodes = start(plan, &swarm)?;
    let directory = NodeDirectory::default();
    look_up(nodes.as_ref(), &directory);
    let shared = ClientsShared {
        directory: Arc::clone(&directory),
        recorder: Arc::new(Recorder::default()),
        stop: Arc::default(),
        tokens: nodes.tokens().unwrap_or_default(),
    };
    workload::prepare(nodes.as_ref(), &shared, &mut rng)?;
    let mut watchers = ChaosWatchers::default();
    watchers.add_plain("a watcher", &directory);
    watchers.add_including("a watcher of lives", &directory);
    watchers.add_filtered("a watcher of some", &directory);
    watchers.add_library("a watcher of the library", &directory);
    let load = ChaosLoad::start(&shared, plan.rate, &mut rng)?;

    let recorder = Arc::clone(&shared.recorder);
    let mut nemesis = ChaosNemesis::new(&recorder, is_loud);
    let look = |nodes: &dyn Nodes| look_up(nodes, &directory);
    let faults = trouble(plan, nodes.as_mut(), &mut nemesis, look);
    if faults.is_ok() {
        std::thread::sleep(QUIET_LOAD);
    }
    shared.stop.store(true, Ordering::Relaxed);
    let panicked = load.finish();
    let came = nemesis.finish();
    let ended = finish::EndedRun {
        plan,
        came: &came,
        panicked,
        keys: &swarm.keys,
    };
    let (entries, results) = match faults {
        Err(error) => ended.broken_off(nodes.as_ref(), &shared, &error),
        Ok(()) => {
            shared.stop.store(false, Ordering::Relaxed);
            ended.judge(nodes.as_mut(), &shared, watchers, &mut rng, scratch)
        }
    };
    Ok(DoneRun {
        entries,
        spans: came.spans,
        results,
        logs: finish::logs(nodes.as_ref()),
    })
}

/// Lets the faults begin and end, and ends an upgrade that has begun.
fn trouble(
    plan: &ChaosPlan,
    nodes: &mut dyn Nodes,
    nemesis: &mut ChaosNemesis<'_>,
    look: impl Fn(&dyn Nodes) + Copy,
) -> Result<(), Error> {
    nemesis.run(nodes, &plan.schedule, plan.length, look)?;
    nemesis.heal(nodes, HEAL_TIMEOUT, look)?;
    match plan.kinds().contains(&FaultKind::Upgrade) {
        true => upgrade::complete(nodes, HEAL_TIMEOUT, look),
        false => Ok(()),
    }
}

fn start(plan: &ChaosPlan, swarm: &Swarm) -> Result<Box<dyn Nodes>, Error> {
    let kinds = plan.kinds();
    let own = Own {
        disks: kinds.contains(&FaultKind::PowerCut) || kinds.contains(&FaultKind::FullDisk),
        clocks: kinds.contains(&FaultKind::ClockJump),
        few_files: kinds.contains(&FaultKind::Strangers),
        understands: kinds
            .contains(&FaultKind::Upgrade)
            .then_some(upgrade::BEFORE),
    };
    match plan.runner {
        HowNodesRun::Processes => {
            let processes = Processes::start(plan.nodes, &swarm.config, own)?;
            Ok(Box::new(processes))
        }
        HowNodesRun::Containers => Ok(Box::new(Containers::start(plan.nodes)?)),
    }
}

/// Tells clients where the nodes are.
fn look_up(nodes: &dyn Nodes, directory: &NodeDirectory) {
    let ids = nodes.ids().into_iter();
    let found: Vec<_> = ids
        .filter_map(|id| Some((id, nodes.addr(id).ok()?)))
        .collect();
    if *directory.read() != found {
        *directory.write() = found;
    }
}

/// The folders of the members, for the checkers that read logs.
///
/// # Errors
/// When a folder cannot be read or copied.
pub fn folders(nodes: &dyn Nodes, scratch: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let ids = nodes.ids().into_iter();
    ids.map(|id| Ok((id, nodes.data(id, scratch)?))).collect()
}
