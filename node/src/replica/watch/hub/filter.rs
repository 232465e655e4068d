//! What a watch wants.

use std::sync::Arc;

use rstmdb_engine::{Reach, Refusal, Reply};

use super::event::{EventKeys, FilterKey, WatchFact};

/// What a watch wants: OR inside a list, AND between them, an empty list wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only this instance.
    pub instance: Option<String>,
    /// Only instances of these machines.
    pub machines: FilterNames,
    /// Only events that leave one of these states.
    pub from_states: FilterNames,
    /// Only events that lead to one of these states.
    pub to_states: FilterNames,
    /// Only events of these names; what else is included has no such name.
    pub events: FilterNames,
    /// Only what emits one of these names.
    pub emits: FilterNames,
    /// What else is wanted besides events.
    pub include: Include,
    /// The machines of the client, if it is limited to some.
    pub reach: Option<Arc<Reach>>,
}

/// What a watch may deliver besides events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Include {
    /// Creations.
    pub created: bool,
    /// Deletions.
    pub deleted: bool,
    /// Timers whose event was refused or came too late.
    pub timer_spent: bool,
}

impl Include {
    /// Whether there is anything.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.created || self.deleted || self.timer_spent
    }

    fn wants(self, told: &WatchFact<'_>) -> bool {
        match told {
            WatchFact::Event(_) => true,
            WatchFact::Created(_) => self.created,
            WatchFact::Deleted(_) | WatchFact::Flushed => self.deleted,
            WatchFact::Spent(_) => self.timer_spent,
        }
    }
}

impl WatchFilter {
    /// Whether the filter wants this.
    pub(crate) fn matches(&self, told: &WatchFact<'_>, keys: &EventKeys<'_>) -> bool {
        let is_instance = |id: &str| match keys.instance_id {
            FilterKey::Is(of) => id == of,
            FilterKey::Nothing => false,
            FilterKey::Any => true,
        };
        self.include.wants(told)
            && self.may_see(told, keys.machine)
            && self.instance.as_deref().is_none_or(is_instance)
            && self.machines.want(keys.machine)
            && self.from_states.want(keys.from_state)
            && self.to_states.want(keys.to_state)
            && self.events.want(keys.event)
            && self.emits.want_any(keys.emits)
    }

    /// Refuses the watch of an instance that the client may not see.
    pub(crate) fn check(&self, instance_id: &str, found: Reply) -> Result<Reply, Refusal> {
        if let (Some(reach), Reply::Instance(instance)) = (&self.reach, &found) {
            reach.check(&reach.watch, "watch", &instance.machine, instance_id)?;
        }
        Ok(found)
    }

    /// Whether the client may see this. A fact of an unknown machine is none of its.
    fn may_see(&self, told: &WatchFact<'_>, machine: FilterKey<'_>) -> bool {
        match (&self.reach, machine) {
            (None, _) => true,
            (Some(reach), FilterKey::Is(machine)) => reach.watch.cover(machine),
            (Some(_), FilterKey::Any | FilterKey::Nothing) => matches!(told, WatchFact::Flushed),
        }
    }

    /// All names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.machines,
            &self.from_states,
            &self.to_states,
            &self.events,
            &self.emits,
        ];
        let listed = lists.into_iter().flat_map(FilterNames::iter);
        self.instance.as_deref().into_iter().chain(listed)
    }
}

/// A set of names, each once and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterNames(Box<[Box<str>]>);

impl FilterNames {
    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether there is none, so that every name is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn want(&self, key: FilterKey<'_>) -> bool {
        self.is_empty()
            || match key {
                FilterKey::Is(name) => self.has(name),
                FilterKey::Nothing => false,
                FilterKey::Any => true,
            }
    }

    /// `None`: anything may have been emitted.
    fn want_any(&self, emitted: Option<&[String]>) -> bool {
        self.is_empty() || emitted.is_none_or(|names| names.iter().any(|name| self.has(name)))
    }

    fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|item| (**item).cmp(name)).is_ok()
    }
}

impl<S: AsRef<str>> FromIterator<S> for FilterNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        // Sorted before they are copied: a thousand times the same name is one name.
        let mut given: Vec<S> = names.into_iter().collect();
        given.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        given.dedup_by(|a, b| a.as_ref() == b.as_ref());
        Self(given.iter().map(|name| name.as_ref().into()).collect())
    }
}
