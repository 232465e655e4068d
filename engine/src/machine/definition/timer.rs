//! The timers of a state.

use std::sync::Arc;

use bytes::Bytes;

use crate::machine::expression::Expression;

/// The name of the timer that deletes an instance in a final state.
pub const DELETE_AFTER: &str = "delete_after";

/// A timer of a state: armed when the state is entered, disarmed when it is left.
#[derive(Clone, Debug)]
pub struct TimerDefinition {
    /// Unique in its state.
    pub name: Arc<str>,
    /// The event that it applies; `None`: it deletes the instance.
    pub event: Option<Arc<str>>,
    /// When it fires.
    pub when: TimerWhen,
    /// The payload of the event, a JSON object.
    pub payload: Option<Bytes>,
    /// When it is armed, a drawn time of at most this many milliseconds is added.
    pub jitter_ms: u64,
    /// If it would fire later than this after its due time, it is spent without effect.
    pub late_max_ms: Option<u64>,
    /// Whether it fires again if its event is refused.
    pub retry: Option<Retry>,
    /// If its expression gives no usable time, it is not armed. Otherwise the event that enters the state is refused.
    pub optional: bool,
}

/// When a timer fires.
#[derive(Clone, Debug)]
pub enum TimerWhen {
    /// So many milliseconds after it was armed.
    After(u64),
    /// The same, as an expression gives it.
    AfterValue(Box<Expression>),
    /// At this Unix time in milliseconds.
    At(u64),
    /// The same, as an expression gives it.
    AtValue(Box<Expression>),
}

/// A refused timer is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// So many milliseconds later.
    pub after_ms: u64,
    /// So often at most.
    pub times: u32,
}

impl TimerWhen {
    /// The key under which it is written.
    pub fn key(&self) -> &'static str {
        match self {
            Self::After(_) | Self::AfterValue(_) => "after",
            Self::At(_) | Self::AtValue(_) => "at",
        }
    }
}
