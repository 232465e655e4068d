//! What the watches look at in an event.

use rstmdb_engine::fact::{ApplyEvent, Body, Fact};

/// The parts of an event that a filter looks at.
pub(crate) struct EventKeys<'a> {
    pub instance_id: &'a str,
    pub machine: &'a str,
    pub from_state: &'a str,
    pub to_state: &'a str,
    pub event: &'a str,
    pub emits: &'a [String],
}

/// The apply_event in `fact`, the only kind that watches deliver.
pub(crate) fn event_of(fact: &Fact) -> Option<&ApplyEvent> {
    match &fact.body {
        Some(Body::ApplyEvent(event)) => Some(event),
        _ => None,
    }
}

pub(crate) trait Keys {
    fn keys(&self) -> EventKeys<'_>;
}

impl Keys for ApplyEvent {
    fn keys(&self) -> EventKeys<'_> {
        EventKeys {
            instance_id: &self.instance_id,
            machine: &self.machine,
            from_state: &self.from_state,
            to_state: &self.to_state,
            event: &self.event,
            emits: &self.emits,
        }
    }
}
