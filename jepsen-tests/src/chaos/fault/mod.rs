//! The faults, kind by kind. Each begins, and is healed when its time is over.

mod burden;
mod clock;
mod cluster;
mod heavy;
mod hoarders;
mod links;
mod processes;
mod reload;
mod snapshots;
mod storage;
mod strangers;

pub use cluster::moves::misplaced;
pub use cluster::upgrade;
pub use strangers::raise_limit;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use self::cluster::{members, moves};
use super::nodes::Nodes;
use super::schedule::FaultKind;
use crate::Error;
use crate::harness::rng::Rng;

/// The faults' findings about the nodes.
pub type FaultFindings = Arc<Mutex<Vec<String>>>;

/// Ends a fault; `false` when the nemesis must try again.
pub type EndFault = Box<dyn FnMut(&mut dyn Nodes) -> Result<bool, Error>>;

/// A fault under way.
pub struct BegunFault {
    /// Its description, with the nodes that it affects.
    pub what: String,
    /// The nodes that other faults must not stop or start meanwhile.
    pub holds: BTreeSet<u64>,
    /// Ends it.
    pub healing: EndFault,
}

/// The state that a fault finds when it begins.
pub struct Scene<'a> {
    /// The cluster.
    pub nodes: &'a mut dyn Nodes,
    /// The nodes that other faults hold.
    pub held: &'a BTreeSet<u64>,
    /// Whether another fault is destroying a node's disk content.
    pub is_losing: bool,
    /// The fault's number.
    pub number: u64,
    /// Collects findings when the fault is over.
    pub findings: FaultFindings,
    /// Its choices.
    pub rng: Rng,
}

impl Scene<'_> {
    /// The members that no other fault holds.
    fn free(&self) -> Vec<u64> {
        let ids = self.nodes.ids().into_iter();
        ids.filter(|id| !self.held.contains(id)).collect()
    }

    /// One free member; in about half of the cases the leader.
    fn one(&mut self) -> Option<u64> {
        let free = self.free();
        if self.rng.percent(50)
            && let Some(leader) = self.nodes.leader().filter(|leader| free.contains(leader))
        {
            return Some(leader);
        }
        (!free.is_empty()).then(|| *self.rng.pick(&free))
    }

    /// One free member, or a minority of all members, or all free members.
    fn some(&mut self) -> Vec<u64> {
        let all = self.free();
        match self.rng.below(5) {
            0 => all,
            1 => self.minority(),
            _ => self.one().into_iter().collect(),
        }
    }

    /// As many nodes as a cluster can lose, counting those that other faults hold.
    fn minority(&mut self) -> Vec<u64> {
        let spare = (self.nodes.ids().len().saturating_sub(1) / 2).saturating_sub(self.held.len());
        let Some(first) = self.one() else {
            return Vec::new();
        };
        let mut chosen = vec![first];
        let mut others = shuffled(self.free(), &mut self.rng);
        others.retain(|id| *id != first);
        chosen.extend(others);
        chosen.truncate(spare);
        chosen
    }
}

/// In a random order.
pub fn shuffled(mut ids: Vec<u64>, rng: &mut Rng) -> Vec<u64> {
    for last in (1..ids.len()).rev() {
        ids.swap(last, rng.index(last + 1));
    }
    ids
}

/// Begins a fault; `None` when it can affect no node now.
///
/// # Errors
/// When it could not be done.
pub fn begin(kind: FaultKind, scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    match kind {
        FaultKind::KillOne | FaultKind::KillMinority | FaultKind::KillAll => {
            processes::kill(kind, scene)
        }
        FaultKind::Pause => processes::pause(scene),
        FaultKind::Rolling => processes::rolling(scene),
        FaultKind::Halves
        | FaultKind::LeaderAlone
        | FaultKind::Tethered
        | FaultKind::MajorityRing
        | FaultKind::OneWay
        | FaultKind::Bridge
        | FaultKind::AnyWays => links::partition(kind, scene),
        FaultKind::Isolated => links::isolate(scene),
        FaultKind::Slow
        | FaultKind::Flapping
        | FaultKind::Resets
        | FaultKind::Narrow
        | FaultKind::LargeLost => links::disturb(kind, scene),
        FaultKind::ClockJump => clock::jump(scene),
        FaultKind::ClockDrift => clock::drift(scene),
        FaultKind::Transfer => members::transfer(scene),
        FaultKind::Members => members::change(scene),
        FaultKind::Emptied => members::empty(scene),
        FaultKind::Moved => moves::relocate(scene),
        FaultKind::Upgrade => upgrade::step(scene),
        FaultKind::Reload => reload::change(scene),
        FaultKind::PowerCut => storage::cut_power(scene),
        FaultKind::FailingCall => storage::fail_a_call(scene),
        FaultKind::LyingWrites => storage::lie(scene),
        FaultKind::FullDisk => storage::fill(scene),
        FaultKind::Snapshots => snapshots::storm(scene),
        FaultKind::Strangers => strangers::crowd(scene),
        FaultKind::Hoarders => hoarders::hoard(scene),
        FaultKind::Heavy => heavy::load(scene),
    }
}

/// Kinds that destroy a node's disk content. Only one at a time, because a cluster does not survive more.
pub fn loses_a_node(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Emptied | FaultKind::LyingWrites)
}
