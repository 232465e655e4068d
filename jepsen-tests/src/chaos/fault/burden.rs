//! Faults that consist of clients: each part is a thread, which ends with the fault and closes its connections.
//!
//! A fault whose parts did too little counts as not begun. When it is over, each affected node must answer
//! within some time, even under other faults.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{BegunFault, FaultFindings, Scene};
use crate::Error;
use crate::chaos::nodes::Nodes;

/// How long the parts may take until they have done enough.
const FELT_WITHIN: Duration = Duration::from_secs(4);
/// Interval between these checks.
const POLL: Duration = Duration::from_millis(20);
/// How long a node may take to answer again. Other faults last a few seconds each.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// One node, or all nodes that no other fault holds.
pub(super) fn victims(scene: &mut Scene<'_>) -> Vec<u64> {
    match scene.rng.percent(50) {
        true => scene.one().into_iter().collect(),
        false => scene.free(),
    }
}

/// The parts of one fault. Dropping it tells them to end.
pub(super) struct Burden {
    stop: Arc<AtomicBool>,
    parts: Vec<BurdenPart>,
    /// The nodes that have not answered since the fault was over.
    unheard: Vec<u64>,
    felt_within: Duration,
    answers_within: Duration,
    ended: Option<Instant>,
}

struct BurdenPart {
    name: String,
    made: Arc<AtomicU64>,
    enough: u64,
    thread: JoinHandle<()>,
}

/// A part's handle of its fault.
pub(super) struct Hand {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
}

impl Hand {
    /// Whether the fault is over.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Adds to what the part has done.
    pub(super) fn add(&self, count: u64) {
        self.made.fetch_add(count, Ordering::Relaxed);
    }

    /// Tries until it succeeds, this many times, or until the fault is over.
    pub(super) fn attempt(&self, times: u32, mut attempt: impl FnMut() -> Result<(), Error>) {
        const PAUSE: Duration = Duration::from_millis(100);
        for _ in 0..times {
            if self.is_over() || attempt().is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Burden {
    /// Of these nodes, without a part yet.
    pub(super) fn on(nodes: Vec<u64>) -> Self {
        Self {
            stop: Arc::default(),
            parts: Vec::new(),
            unheard: nodes,
            felt_within: FELT_WITHIN,
            answers_within: ANSWERS_WITHIN,
            ended: None,
        }
    }

    /// Starts a part, which has to end soon after [`Hand::is_over`]. It has done something from `enough` on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        enough: u64,
        part: impl FnOnce(&Hand) + Send + 'static,
    ) -> Result<(), Error> {
        let made = Arc::<AtomicU64>::default();
        let hand = Hand {
            stop: Arc::clone(&self.stop),
            made: Arc::clone(&made),
        };
        let thread = std::thread::Builder::new().spawn(move || part(&hand));
        self.parts.push(BurdenPart {
            name: name.into(),
            made,
            enough,
            thread: thread.map_err(Error::io("a thread"))?,
        });
        Ok(())
    }

    /// Waits until every part has done enough; `None` when one of them does not in time.
    pub(super) fn begin(mut self, what: &str, findings: &FaultFindings) -> Option<BegunFault> {
        let begun = Instant::now();
        while !self.is_felt() && begun.elapsed() < self.felt_within {
            std::thread::sleep(POLL);
        }
        if !self.is_felt() {
            self.stop.store(true, Ordering::Relaxed);
            self.join(findings);
            return None;
        }
        let mut what = what.to_owned();
        for part in &self.parts {
            let made = part.made.load(Ordering::Relaxed);
            // Writing to a string cannot fail.
            let _ = write!(what, "; {}: {made}", part.name);
        }
        let findings = findings.clone();
        Some(BegunFault {
            what,
            holds: BTreeSet::new(),
            healing: Box::new(move |nodes| Ok(self.end(nodes, &findings))),
        })
    }

    fn is_felt(&self) -> bool {
        let did_enough = |part: &BurdenPart| part.made.load(Ordering::Relaxed) >= part.enough;
        !self.parts.is_empty() && self.parts.iter().all(did_enough)
    }

    fn join(&mut self, findings: &FaultFindings) {
        for part in self.parts.drain(..) {
            if part.thread.join().is_err() {
                let what = format!("the suite's own part of a fault panicked: {}", part.name);
                findings.lock().push(what);
            }
        }
    }

    /// Whether all parts are over and every node has answered since, or its time is over.
    fn end(&mut self, nodes: &dyn Nodes, findings: &FaultFindings) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        if self.parts.iter().any(|part| !part.thread.is_finished()) {
            return false;
        }
        self.join(findings);
        let ended = *self.ended.get_or_insert_with(Instant::now);
        let members = nodes.ids();
        self.unheard
            .retain(|id| members.contains(id) && nodes.info(*id).is_err());
        if self.unheard.is_empty() {
            return true;
        }
        if ended.elapsed() < self.answers_within {
            return false;
        }
        let (unheard, within) = (&self.unheard, self.answers_within);
        let what = format!("nodes {unheard:?} did not answer within {within:?} after a fault");
        findings.lock().push(what);
        true
    }
}

impl Drop for Burden {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "burden_tests.rs"]
mod tests;
