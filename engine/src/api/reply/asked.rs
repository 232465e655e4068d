//! What the events of an instance's state would do.

use std::sync::Arc;

use crate::api::refusal::Refusal;
use crate::machine::guard::Tried;

/// What the events of an instance's state would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEvents {
    /// The instance's state.
    pub state: Arc<str>,
    /// The offset of its last fact. An event that expects this offset is refused if the instance has changed since.
    pub last_wal_offset: u64,
    /// In the order in which the definition's transitions from this state name them.
    pub events: Vec<AllowedEvent>,
    /// Whether the state has more events, which were not looked at.
    pub has_more: bool,
}

/// What one event would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEvent {
    /// The event.
    pub event: String,
    /// Where it would lead; `None` if it would be refused.
    pub to_state: Option<Arc<str>>,
    /// The guards that were tried, in order. The last one holds if it is what allows the event.
    pub guards: Vec<Tried>,
    /// Guards that were tried and are not shown.
    pub guards_left_out: usize,
    /// Why it would be refused, where that is not for its guards.
    pub refusal: Option<Refusal>,
    /// The states on its way that have transitions without an event, in order.
    pub always: Vec<AlwaysTried>,
    /// The timers that it would arm.
    pub armed: Vec<String>,
    /// The timers that it would disarm.
    pub disarmed: Vec<String>,
}

/// A state with transitions without an event, and what was tried there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlwaysTried {
    /// The state.
    pub state: String,
    /// The guards that were tried, in order. The last one holds if it is what leads on.
    pub guards: Vec<Tried>,
}

impl AllowedEvent {
    /// An event of which nothing is known yet.
    pub(crate) fn new(event: &str) -> Self {
        Self {
            event: event.to_owned(),
            to_state: None,
            guards: Vec::new(),
            guards_left_out: 0,
            refusal: None,
            always: Vec::new(),
            armed: Vec::new(),
            disarmed: Vec::new(),
        }
    }

    /// Adds a guard that was tried; `None`: there was no room to show it.
    pub(crate) fn show(&mut self, tried: Option<Tried>) {
        match tried {
            Some(tried) => self.guards.push(tried),
            None => self.guards_left_out += 1,
        }
    }
}
