//! What a watch wants.

use super::event::{EventKeys, Key, Told};

/// What a watch wants: OR inside a list, AND between them, an empty list wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only this instance.
    pub instance: Option<String>,
    /// Only instances of these machines.
    pub machines: Names,
    /// Only events that leave one of these states.
    pub from_states: Names,
    /// Only events that lead to one of these states.
    pub to_states: Names,
    /// Only events of these names; what else is included has no such name.
    pub events: Names,
    /// Only what emits one of these names.
    pub emits: Names,
    /// What else is wanted besides events.
    pub include: Include,
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

    fn wants(self, told: &Told<'_>) -> bool {
        match told {
            Told::Event(_) => true,
            Told::Created(_) => self.created,
            Told::Deleted(_) | Told::Flushed => self.deleted,
            Told::Spent(_) => self.timer_spent,
        }
    }
}

impl WatchFilter {
    /// Whether the filter wants this.
    pub(crate) fn matches(&self, told: &Told<'_>, keys: &EventKeys<'_>) -> bool {
        let is_instance = |id: &str| match keys.instance_id {
            Key::Is(of) => id == of,
            Key::Nothing => false,
            Key::Any => true,
        };
        self.include.wants(told)
            && self.instance.as_deref().is_none_or(is_instance)
            && self.machines.want(keys.machine)
            && self.from_states.want(keys.from_state)
            && self.to_states.want(keys.to_state)
            && self.events.want(keys.event)
            && self.emits.want_any(keys.emits)
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
        let listed = lists.into_iter().flat_map(Names::iter);
        self.instance.as_deref().into_iter().chain(listed)
    }
}

/// A set of names, each once and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Box<[Box<str>]>);

impl Names {
    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether there is none, so that every name is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn want(&self, key: Key<'_>) -> bool {
        self.is_empty()
            || match key {
                Key::Is(name) => self.has(name),
                Key::Nothing => false,
                Key::Any => true,
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

impl<S: AsRef<str>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        // Sorted before they are copied: a thousand times the same name is one name.
        let mut given: Vec<S> = names.into_iter().collect();
        given.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        given.dedup_by(|a, b| a.as_ref() == b.as_ref());
        Self(given.iter().map(|name| name.as_ref().into()).collect())
    }
}
