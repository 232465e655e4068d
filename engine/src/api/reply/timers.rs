//! What is answered about timers.

use std::sync::Arc;

/// An armed timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerView {
    /// Its name.
    pub name: Arc<str>,
    /// The event that it applies; `None` if it deletes the instance.
    pub event: Option<Arc<str>>,
    /// When it fires, Unix milliseconds.
    pub due_ms: u64,
    /// How often it has fired and was refused.
    pub refusals: u32,
}

/// A timer in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerListed {
    /// The instance's id.
    pub instance_id: Arc<str>,
    /// Its machine's name.
    pub machine: Arc<str>,
    /// Its machine's version.
    pub version: u32,
    /// Its current state.
    pub state: Arc<str>,
    /// The timer.
    pub timer: TimerView,
}

/// A place in the order in which timers are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerPlace {
    /// When the timer is due, Unix milliseconds.
    pub due_ms: u64,
    /// The instance's id.
    pub instance_id: String,
    /// The timer's name.
    pub name: String,
}

/// What happened to a timer that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// Its event was applied, or its instance deleted.
    Done,
    /// It was spent: its event was refused, or came too late.
    Spent,
    /// No timer is armed with this entry, name and due time any more.
    Void,
    /// It is not due yet, automation is paused, or the instance is suspended.
    Waits,
    /// This node does not understand the machine.
    NotUnderstood,
}
