//! Begins and ends faults when they are due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fault::{self, BegunFault, EndFault, FaultFindings, Scene};
use super::history::Recorder;
use super::interrupt;
use super::nodes::Nodes;
use super::schedule::{FaultKind, Planned};
use crate::Error;
use crate::harness::rng::Rng;
use crate::process::node::last_lines;

/// Interval between checks for due faults.
const TICK: Duration = Duration::from_millis(20);
/// Interval between attempts to end a fault.
const RETRY: Duration = Duration::from_millis(250);
/// While this many faults wait, no new one begins.
const WAITING_MAX: usize = 2;
/// How long after the end of a run a waiting fault may still begin.
const GRACE: Duration = Duration::from_secs(20);
/// A fault that begins late lasts at least this long, if its plan is that long.
const LASTS_MIN: Duration = Duration::from_secs(2);
/// Interval between checks whether every node still runs.
const LOOK: Duration = Duration::from_millis(500);
/// Lines of a log that go with a finding.
pub const TAIL_LINES: usize = 5;

/// A fault that began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NemesisSpan {
    /// When it began, in microseconds since the run began.
    pub begun: u64,
    /// When it had ended.
    pub ended: u64,
    /// Its kind.
    pub kind: FaultKind,
    /// What it was.
    pub what: String,
}

/// The outcome of a schedule.
#[derive(Debug)]
pub struct Came {
    /// The faults that began.
    pub spans: Vec<NemesisSpan>,
    /// How many faults could not begin in time, because they could affect no node.
    pub missed: usize,
    /// What nodes did that no fault explains.
    pub findings: Vec<String>,
}

struct ActiveFault {
    span: usize,
    kind: FaultKind,
    begun: Instant,
    until: Instant,
    holds: BTreeSet<u64>,
    healing: EndFault,
}

/// The faults of one run.
pub struct ChaosNemesis<'a> {
    recorder: &'a Recorder,
    active: Vec<ActiveFault>,
    spans: Vec<NemesisSpan>,
    /// How many faults could not begin in time.
    missed: usize,
    /// What nodes did that no fault explains.
    findings: FaultFindings,
    looked: Instant,
    is_loud: bool,
}

impl<'a> ChaosNemesis<'a> {
    /// A nemesis without any fault yet.
    pub fn new(recorder: &'a Recorder, is_loud: bool) -> Self {
        Self {
            recorder,
            active: Vec::new(),
            spans: Vec::new(),
            missed: 0,
            findings: FaultFindings::default(),
            looked: Instant::now(),
            is_loud,
        }
    }

    /// Goes through the schedule; `look` is called again and again meanwhile, with the nodes as they are.
    ///
    /// # Errors
    /// When a fault cannot be begun or ended: this says nothing about the nodes.
    pub fn run(
        &mut self,
        nodes: &mut dyn Nodes,
        schedule: &[Planned],
        length: Duration,
        mut look: impl FnMut(&dyn Nodes),
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let mut schedule = schedule.iter().peekable();
        // Faults that can affect no node now wait until they can.
        let mut waiting: Vec<&Planned> = Vec::new();
        let mut tried = Instant::now();
        while begun.elapsed() < length || !waiting.is_empty() && begun.elapsed() < length + GRACE {
            // New faults would only hold the nodes that the waiting ones need.
            while waiting.len() < WAITING_MAX
                && let Some(planned) =
                    schedule.next_if(|next| begun.elapsed() >= Duration::from_millis(next.at_ms))
            {
                waiting.push(planned);
            }
            if tried.elapsed() >= RETRY && !waiting.is_empty() {
                tried = Instant::now();
                let mut left = Vec::new();
                for planned in waiting {
                    if !self.begin(nodes, planned)? {
                        left.push(planned);
                    }
                }
                waiting = left;
            }
            self.end_what_is_due(nodes)?;
            self.look_for_the_dead(nodes)?;
            look(nodes);
            if interrupt::is_requested() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(TICK);
        }
        self.missed = waiting.len() + schedule.count();
        Ok(())
    }

    /// Ends all active faults.
    ///
    /// # Errors
    /// As [`Self::run`], and when something cannot be ended in time.
    pub fn heal(
        &mut self,
        nodes: &mut dyn Nodes,
        timeout: Duration,
        mut look: impl FnMut(&dyn Nodes),
    ) -> Result<(), Error> {
        let begun = Instant::now();
        for active in &mut self.active {
            active.until = active.until.min(begun.max(active.begun + LASTS_MIN));
        }
        while !self.active.is_empty() {
            if begun.elapsed() > timeout {
                let left = self
                    .active
                    .iter()
                    .map(|active| &self.spans[active.span].what);
                let reason = format!("still under way: {:?}", left.collect::<Vec<_>>());
                return Err(Error::NotInTime { reason, timeout });
            }
            self.end_what_is_due(nodes)?;
            look(nodes);
            std::thread::sleep(TICK);
        }
        if let Some(links) = nodes.links() {
            links.heal();
        }
        self.look_for_the_dead(nodes)
    }

    /// The faults that began and those that did not, and what nodes did that no fault explains.
    pub fn finish(self) -> Came {
        Came {
            spans: self.spans,
            missed: self.missed,
            findings: std::mem::take(&mut *self.findings.lock()),
        }
    }

    /// Begins a fault; says whether it could.
    fn begin(&mut self, nodes: &mut dyn Nodes, planned: &Planned) -> Result<bool, Error> {
        let mut held = BTreeSet::new();
        for active in &self.active {
            held.extend(&active.holds);
        }
        let is_losing = self
            .active
            .iter()
            .any(|active| fault::loses_a_node(active.kind));
        let mut scene = Scene {
            nodes,
            held: &held,
            is_losing,
            number: self.spans.len() as u64,
            findings: self.findings.clone(),
            rng: Rng::new(planned.seed),
        };
        let begun = self.recorder.now();
        let Some(fault) = fault::begin(planned.kind, &mut scene)? else {
            return Ok(false);
        };
        let BegunFault {
            what,
            holds,
            healing,
        } = fault;
        if self.is_loud {
            println!(
                "  {:7.2} s  {}: {what}",
                Duration::from_micros(begun).as_secs_f64(),
                planned.kind.name(),
            );
        }
        self.active.push(ActiveFault {
            span: self.spans.len(),
            kind: planned.kind,
            begun: Instant::now(),
            until: Instant::now() + Duration::from_millis(planned.lasts_ms),
            holds,
            healing,
        });
        self.spans.push(NemesisSpan {
            begun,
            ended: self.recorder.now(),
            kind: planned.kind,
            what,
        });
        Ok(true)
    }

    fn end_what_is_due(&mut self, nodes: &mut dyn Nodes) -> Result<(), Error> {
        let now = Instant::now();
        let mut left = Vec::new();
        for mut active in std::mem::take(&mut self.active) {
            if active.until > now {
                left.push(active);
            } else if (active.healing)(nodes)? {
                self.spans[active.span].ended = self.recorder.now();
            } else {
                active.until = Instant::now() + RETRY;
                left.push(active);
            }
        }
        self.active = left;
        Ok(())
    }

    /// A node that exits while no fault holds it is a finding. The nemesis restarts it, so that the run goes on.
    fn look_for_the_dead(&mut self, nodes: &mut dyn Nodes) -> Result<(), Error> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        for id in nodes.ids() {
            let is_held = self.active.iter().any(|active| active.holds.contains(&id));
            if is_held || !nodes.has_ended(id)? {
                continue;
            }
            let log = nodes.log(id)?;
            let tail = last_lines(&log, TAIL_LINES);
            let at = Duration::from_micros(self.recorder.now());
            self.findings.lock().push(format!(
                "node {id} ended without a fault, {at:.1?} into the run:\n{tail}"
            ));
            nodes.kill(id)?;
            nodes.start(id)?;
        }
        Ok(())
    }
}
