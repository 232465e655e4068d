//! A statechart as other systems write it: states within states, with actions at entry and exit.
//!
//! Format 2 has one level of states. A chart of nested states becomes one by making each innermost state a state, and by
//! giving it the transitions of the states around it. Parallel regions and history have no equal.

mod compress;
mod flatten;
mod timers;

pub(crate) use flatten::mentions;

use std::collections::HashMap;

use rstmdb_engine::limits::{STATES_MAX, TRANSITIONS_MAX};
use rstmdb_rcp::json::Json;

use crate::base::problem::TranslationFindings;
use crate::model::{Act, MachineModel};

/// The outermost node, which is the machine itself.
pub(crate) const ROOT: usize = 0;

/// A statechart.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) nodes: Vec<ChartNode>,
    arrows: usize,
}

/// A state, or the machine itself.
#[derive(Debug, Default)]
pub(crate) struct ChartNode {
    pub(crate) name: String,
    pub(crate) parent: Option<usize>,
    pub(crate) children: Vec<usize>,
    /// The first child of each name that it was added with.
    by_name: HashMap<String, usize>,
    pub(crate) is_final: bool,
    /// The child that an instance enters together with this state, or a state further inside.
    pub(crate) initial: Option<usize>,
    pub(crate) entry: Act,
    pub(crate) exit: Act,
    /// In the order in which they are tried.
    pub(crate) on: Vec<ChartArrow>,
    pub(crate) always: Vec<ChartArrow>,
    /// Taken when a final child is entered.
    pub(crate) done: Vec<ChartArrow>,
    /// Its timers as format 2 writes them, with their places in the file. Only an innermost state has some: those of a
    /// state around others would go on while the inner states change.
    pub(crate) timers: Vec<(String, Json)>,
    /// Its description, tags and the like, for people.
    pub(crate) about: Vec<(String, Json)>,
    /// Where it is in the file.
    pub(crate) place: String,
}

/// A transition of a state and of all states inside it.
#[derive(Clone, Debug)]
pub(crate) struct ChartArrow {
    /// Empty where it needs no event.
    pub(crate) event: String,
    /// None: it stays, and neither leaves nor enters anything.
    pub(crate) target: Option<usize>,
    pub(crate) act: Act,
    /// Whether a transition to its own state, or into it, leaves that state and enters it again.
    pub(crate) external: bool,
    pub(crate) place: String,
}

/// A transition from one innermost state.
#[derive(Clone, Debug, PartialEq)]
struct InnerTransition {
    event: String,
    to: String,
    act: Act,
}

impl Chart {
    pub(crate) fn new(place: &str) -> Self {
        let root = ChartNode {
            place: place.to_owned(),
            ..ChartNode::default()
        };
        Self {
            nodes: vec![root],
            arrows: 0,
        }
    }

    /// Adds a state; none when there are too many.
    pub(crate) fn add(&mut self, parent: usize, name: &str, place: &str) -> Option<usize> {
        if self.nodes.len() > STATES_MAX {
            return None;
        }
        let new = self.nodes.len();
        let around = &mut self.nodes[parent];
        around.children.push(new);
        around.by_name.entry(name.to_owned()).or_insert(new);
        self.nodes.push(ChartNode {
            name: name.to_owned(),
            parent: Some(parent),
            place: place.to_owned(),
            ..ChartNode::default()
        });
        Some(new)
    }

    /// Counts a transition. Returns whether the limit still allows it.
    pub(crate) fn count_arrow(&mut self) -> bool {
        self.arrows += 1;
        self.arrows <= TRANSITIONS_MAX
    }

    /// The child that was added with this name.
    pub(crate) fn child(&self, of: usize, name: &str) -> Option<usize> {
        self.nodes[of].by_name.get(name).copied()
    }

    /// The state, the state around it, and so on up to the root.
    pub(crate) fn ancestry(&self, of: usize) -> Vec<usize> {
        let mut all = vec![of];
        let mut at = of;
        while let Some(parent) = self.nodes[at].parent {
            all.push(parent);
            at = parent;
        }
        all
    }

    /// The machine that does the same with one level of states.
    pub(crate) fn flatten(mut self, findings: &mut TranslationFindings) -> MachineModel {
        timers::settle(&mut self, findings);
        flatten::machine(&self, findings)
    }
}
