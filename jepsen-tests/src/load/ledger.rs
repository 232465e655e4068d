//! What one connection sent, and what it knows about the outcome.
//!
//! Every effect of every operation carries a tag of its own, in the created context and as the event's
//! id, so that the checker recognizes it in the log of any node.

use serde_json::Value;

use super::machines::TestMachine;

/// Everything one connection has sent, in the order of the first attempts.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The operations.
    pub ops: Vec<LedgerOp>,
    /// The faults that were seen without the log.
    pub violations: Vec<String>,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct LedgerOp {
    /// More than one is an atomic batch.
    pub effects: Vec<IntendedEffect>,
    /// Whether it carries an idempotency key: the tag of each effect.
    pub keyed: bool,
    /// How often it was sent.
    pub attempts: u32,
    /// Its known outcome.
    pub outcome: LoadOutcome,
    /// The id that the server chose, if it had to choose.
    pub made_up_id: Option<String>,
}

/// What an operation is meant to change.
#[derive(Debug, Clone)]
pub struct IntendedEffect {
    /// Unique in the whole run.
    pub tag: String,
    /// `None` if the server chooses the id.
    pub instance: Option<String>,
    /// The change.
    pub action: LoadAction,
}

/// A change.
#[derive(Debug, Clone)]
pub enum LoadAction {
    /// CREATE_INSTANCE.
    Create {
        /// Of this machine.
        machine: TestMachine,
        /// With this context.
        ctx: Value,
    },
    /// APPLY_EVENT.
    Event {
        /// The event.
        event: &'static str,
        /// Its payload.
        payload: Value,
    },
}

/// The known outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Sent, but no answer tells the outcome: it may have taken effect or not.
    Unanswered,
    /// It took effect here.
    Acknowledged {
        /// The offset in the answer.
        offset: u64,
    },
    /// It certainly did not take effect.
    Refused {
        /// The error's code.
        code: String,
    },
}

impl Ledger {
    /// How many operations are acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.ops
            .iter()
            .filter(|op| op.acknowledged().is_some())
            .count()
    }

    /// How many operations had no answer, ever.
    pub fn unanswered(&self) -> usize {
        self.ops
            .iter()
            .filter(|op| op.outcome == LoadOutcome::Unanswered)
            .count()
    }
}

impl LedgerOp {
    /// An operation that is about to be sent.
    pub fn new(effects: Vec<IntendedEffect>, keyed: bool) -> Self {
        Self {
            effects,
            keyed,
            attempts: 0,
            outcome: LoadOutcome::Unanswered,
            made_up_id: None,
        }
    }

    /// Where it took effect, if it was acknowledged.
    pub fn acknowledged(&self) -> Option<u64> {
        match self.outcome {
            LoadOutcome::Acknowledged { offset } => Some(offset),
            LoadOutcome::Unanswered | LoadOutcome::Refused { .. } => None,
        }
    }
}
