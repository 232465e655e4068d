//! The parts of a fact that the filters of watches compare.

use rstmdb_engine::fact::{ApplyEvent, Body, CreateInstance, DeleteInstance, Fact, TimerSpent};

/// A fact that a watch may deliver.
#[derive(Debug, Clone, Copy)]
pub enum WatchFact<'a> {
    /// An event, the only kind that every watch delivers.
    Event(&'a ApplyEvent),
    /// A creation.
    Created(&'a CreateInstance),
    /// A deletion.
    Deleted(&'a DeleteInstance),
    /// A timer whose event was refused or came too late.
    Spent(&'a TimerSpent),
    /// The end of all machines and instances.
    Flushed,
}

impl<'a> WatchFact<'a> {
    /// The fact, if a watch can deliver it.
    pub(crate) fn of(fact: &'a Fact) -> Option<Self> {
        match fact.body.as_ref()? {
            Body::ApplyEvent(event) => Some(Self::Event(event)),
            Body::CreateInstance(create) => Some(Self::Created(create)),
            Body::DeleteInstance(delete) => Some(Self::Deleted(delete)),
            Body::TimerSpent(spent) => Some(Self::Spent(spent)),
            Body::FlushAll(_) => Some(Self::Flushed),
            Body::PutMachine(_)
            | Body::DeleteMachine(_)
            | Body::SetLevel(_)
            | Body::SetAutomation(_)
            | Body::SetTimers(_)
            | Body::LockChanged(_) => None,
        }
    }

    /// What it is called in RCP.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Created(_) => "created",
            Self::Deleted(_) => "deleted",
            Self::Spent(_) => "timer_spent",
            Self::Flushed => "flushed",
        }
    }

    /// Whether it is an event.
    #[must_use]
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event(_))
    }

    /// Bytes of its documents.
    pub(crate) fn document_bytes(&self) -> usize {
        match self {
            Self::Event(event) => {
                event.ctx.len() + event.payload.as_ref().map_or(0, |payload| payload.len())
            }
            Self::Created(create) => create.ctx.len(),
            Self::Deleted(_) | Self::Spent(_) | Self::Flushed => 0,
        }
    }

    pub(crate) fn keys(&self) -> EventKeys<'a> {
        match *self {
            Self::Event(event) => EventKeys {
                instance_id: FilterKey::Is(&event.instance_id),
                machine: FilterKey::Is(&event.machine),
                from_state: FilterKey::Is(&event.from_state),
                to_state: FilterKey::Is(&event.to_state),
                event: FilterKey::Is(&event.event),
                emits: Some(&event.emits),
            },
            Self::Created(create) => EventKeys {
                instance_id: FilterKey::Is(&create.instance_id),
                machine: FilterKey::Is(&create.machine),
                from_state: FilterKey::Nothing,
                to_state: FilterKey::Is(&create.state),
                event: FilterKey::Any,
                emits: Some(&create.emits),
            },
            Self::Deleted(delete) => EventKeys {
                instance_id: FilterKey::Is(&delete.instance_id),
                machine: known(&delete.machine),
                from_state: known(&delete.from_state),
                to_state: FilterKey::Nothing,
                event: FilterKey::Any,
                emits: Some(&[]),
            },
            Self::Spent(spent) => EventKeys {
                instance_id: FilterKey::Is(&spent.instance_id),
                machine: FilterKey::Is(&spent.machine),
                from_state: FilterKey::Is(&spent.state),
                to_state: FilterKey::Is(&spent.state),
                event: FilterKey::Any,
                emits: Some(&[]),
            },
            Self::Flushed => EventKeys {
                instance_id: FilterKey::Any,
                machine: FilterKey::Any,
                from_state: FilterKey::Any,
                to_state: FilterKey::Any,
                event: FilterKey::Any,
                emits: None,
            },
        }
    }
}

/// Earlier versions wrote no machine and no state into a deletion. Filters by machine and state do
/// not hold back such a deletion: a copy of the instances can ignore a deletion too many, but it cannot do without one.
fn known(name: &str) -> FilterKey<'_> {
    match name {
        "" => FilterKey::Any,
        name => FilterKey::Is(name),
    }
}

/// What a filter compares with its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterKey<'a> {
    /// This name.
    Is(&'a str),
    /// There is none: no list of names matches.
    Nothing,
    /// Unknown: every filter matches.
    Any,
}

/// The parts of a fact that a filter looks at.
pub(crate) struct EventKeys<'a> {
    pub instance_id: FilterKey<'a>,
    pub machine: FilterKey<'a>,
    pub from_state: FilterKey<'a>,
    pub to_state: FilterKey<'a>,
    pub event: FilterKey<'a>,
    /// The names that it emits; `None` where any name is possible.
    pub emits: Option<&'a [String]>,
}
