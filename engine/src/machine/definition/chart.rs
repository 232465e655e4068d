//! What a definition of format 2 has beyond one of format 1.

use std::sync::Arc;

use super::timer::TimerDefinition;
use crate::limits::ALWAYS_STEPS_MAX;
use crate::machine::expression::Expression;
use crate::machine::guard::Guard;
use crate::machine::schema::Schema;

/// What is common to a whole definition of format 2.
#[derive(Clone, Debug, Default)]
pub struct ChartSettings {
    /// By the state's number.
    pub states: Vec<StateParts>,
    /// By the event's number: what its payload must be.
    pub events: Vec<Option<Schema>>,
    /// What every context must be.
    pub schema: Option<Schema>,
    /// The context that a new instance's own is merged into: a JSON object.
    pub default: Option<Box<str>>,
    /// How a payload is merged where the transition does not say.
    pub merge: Merge,
    /// How an evaluation can grow with the documents, for estimates.
    pub(crate) growth: CostGrowth,
    /// Transitions from every state.
    pub(crate) everywhere: Vec<Everywhere>,
}

impl ChartSettings {
    /// A timer of a state, by its name.
    pub(crate) fn timer(&self, state: u16, name: &str) -> Option<&TimerDefinition> {
        let timers = &self.states.get(usize::from(state))?.timers;
        timers.iter().find(|timer| *timer.name == *name)
    }
}

/// What a state of format 2 has beside its name.
#[derive(Clone, Debug, Default)]
pub struct StateParts {
    /// Nothing leaves it.
    pub is_final: bool,
    /// The names that entering it emits.
    pub emit: Box<[Arc<str>]>,
    /// The transitions without an event, in the order they are tried.
    pub always: Box<[Always]>,
    /// What is armed when it is entered.
    pub timers: Box<[TimerDefinition]>,
}

/// A transition without an event.
#[derive(Clone, Debug)]
pub struct Always {
    /// The state it enters.
    pub to: u16,
    /// The condition, where there is one.
    pub guard: Option<Box<Expression>>,
    /// What it does.
    pub actions: Actions,
}

/// What a transition does to the context, and what it emits.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    /// How the payload is merged; `None`: as the definition says.
    pub merge: Option<Merge>,
    /// The values to set, in the order written.
    pub set: Box<[Assignment]>,
    /// The paths to remove.
    pub unset: Box<[Box<str>]>,
    /// The names to emit.
    pub emit: Box<[Arc<str>]>,
}

/// A value to set.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Names joined by dots.
    pub path: Box<str>,
    /// What gives the value.
    pub value: Expression,
}

/// How a payload becomes part of the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// Its fields replace those of the context.
    #[default]
    Fields,
    /// Not at all.
    Nothing,
    /// As a merge patch (RFC 7396).
    Deep,
}

/// A condition of a transition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Of format 1.
    Guard(Box<Guard>),
    /// Of format 2.
    Expression(Box<Expression>),
}

impl Condition {
    /// The text as written.
    pub fn text(&self) -> &str {
        match self {
            Self::Guard(guard) => guard.text(),
            Self::Expression(expression) => expression.text(),
        }
    }
}

/// A transition from every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Everywhere {
    pub(crate) event: u32,
    /// The transition's position.
    pub(crate) transition: u32,
}

/// The costliest kind of loops and patterns in a definition's expressions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CostGrowth {
    /// How many macros are inside of each other.
    pub(crate) loops: usize,
    /// How many parts the largest loop evaluates at each turn.
    pub(crate) turn: usize,
    /// Steps that expressions may take whatever the documents are, all of them together: loops over literals.
    pub(crate) fixed: u64,
    /// How many parts of a pattern a byte of a text may visit at most; 0 where there is no pattern.
    pub(crate) pattern: usize,
    /// Whether any `always` changes the context.
    pub(crate) rewrites: bool,
    /// Whether a payload is merged at every depth.
    pub(crate) deep: bool,
    /// How many branches the largest schema has for one value.
    pub(crate) branches: usize,
    /// Whether the time of the decision is read.
    pub(crate) reads_now: bool,
    /// Bytes of all expressions.
    pub(crate) text_bytes: usize,
    /// Whether payloads or contexts are compared with schemas.
    pub(crate) schemas: bool,
    /// The most `always` transitions that one decision takes. Each may read and write the whole context.
    pub(crate) always: usize,
}

impl CostGrowth {
    /// The most that all steps of one decision are worth, in bytes read.
    const BYTES_MAX: usize = 16 << 20;
    /// The parts of a pattern in a schema, about.
    pub(crate) const SCHEMA_PATTERN: usize = 8;
    /// What one step is worth, in bytes read.
    const STEP_BYTES: usize = 64;

    /// About how many bytes the expressions of one decision may read, on documents of this many bytes.
    pub(crate) fn bytes(self, documents: usize) -> usize {
        let fixed = usize::try_from(self.fixed).unwrap_or(usize::MAX);
        let mut bytes = fixed.saturating_mul(Self::STEP_BYTES);
        bytes = bytes.saturating_add(documents.saturating_mul(self.always));
        if self.loops > 0 || self.schemas {
            bytes = bytes.saturating_add(documents.saturating_mul(4));
        }
        // Each of them writes the context anew; each level of a merge reads what is below it.
        let rewritten = match self.rewrites {
            true => self.always * 8,
            false => 0,
        };
        let deep = if self.deep { 32 } else { 0 };
        bytes = bytes.saturating_add(documents.saturating_mul(rewritten + deep));
        let branches = (documents / 8).saturating_mul(self.branches);
        bytes = bytes.saturating_add(branches.saturating_mul(Self::STEP_BYTES));
        // An item that is shorter than eight bytes is a number, of which lists are seldom long.
        let items = documents / 8;
        let turns = (0..self.loops).fold(1_usize, |turns, _| turns.saturating_mul(items));
        if self.loops > 0 {
            let steps = turns.saturating_mul(self.turn);
            bytes = bytes.saturating_add(steps.saturating_mul(Self::STEP_BYTES));
        }
        // A text is seldom more than a part of its document.
        let steps = (documents / 4).saturating_mul(self.pattern);
        let steps = steps.saturating_mul(turns.max(1));
        bytes = bytes.saturating_add(steps.saturating_mul(Self::STEP_BYTES));
        bytes.min(Self::BYTES_MAX)
    }
}

/// The most `always` transitions that one decision takes: the longest way along them, or the bound where there is a circle.
pub(crate) fn always_max(states: &[StateParts]) -> usize {
    let mut reached = vec![true; states.len()];
    for taken in 0..ALWAYS_STEPS_MAX {
        let mut next = vec![false; states.len()];
        let on = states.iter().zip(&reached).filter(|(_, reached)| **reached);
        let targets = on.flat_map(|(state, _)| &state.always);
        targets.for_each(|always| next[usize::from(always.to)] = true);
        if !next.contains(&true) {
            return taken;
        }
        reached = next;
    }
    ALWAYS_STEPS_MAX
}
