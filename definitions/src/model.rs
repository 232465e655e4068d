//! A definition as a tree that tools work with: both formats in one shape.
//!
//! It is more lenient than the engine: what the engine refuses may still be here, so that tools can say more about it.

pub mod graph;
mod read;
mod write;

use std::collections::HashSet;

use rstmdb_rcp::json::Json;

/// A definition of format 1 or 2.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineModel {
    /// 1 or 2.
    pub format: u8,
    /// The state of a new instance.
    pub initial: String,
    /// In the order written.
    pub states: Vec<ModelState>,
    /// In the order in which they are tried.
    pub transitions: Vec<ModelTransition>,
    /// All other keys of the definition: `context`, `events`, `merge`, `meta`, and what format 1 ignores.
    pub other: Vec<(String, Json)>,
}

/// A state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelState {
    /// Its name.
    pub name: String,
    /// Whether it says that nothing leads out of it.
    pub is_final: bool,
    /// What is emitted when it is entered.
    pub emit: Vec<String>,
    /// The state's choices, in the order in which they are tried.
    pub always: Vec<Choice>,
    /// All other keys.
    pub other: Vec<(String, Json)>,
}

/// A transition that needs no event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The state it leads to.
    pub to: String,
    /// Its condition and its effects.
    pub act: Act,
}

/// A transition.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTransition {
    /// The states it leads out of.
    pub from: From,
    /// The event it answers to.
    pub event: String,
    /// The state it leads to.
    pub to: String,
    /// Its condition and its effects.
    pub act: Act,
}

/// The condition of a transition, and what it does beside changing the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Act {
    /// The condition.
    pub guard: Option<String>,
    /// Paths of the context and the expressions that give their new values.
    pub set: Vec<(String, String)>,
    /// Paths that are removed from the context.
    pub unset: Vec<String>,
    /// What is emitted.
    pub emit: Vec<String>,
    /// All other keys: `merge`, and what format 1 ignores.
    pub other: Vec<(String, Json)>,
}

/// The states that a transition leads out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// These.
    States(Vec<String>),
    /// All that are not final, but for these.
    Any {
        /// The states left out.
        except: Vec<String>,
    },
}

/// How the payload of an event is merged into the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Its top-level fields replace those of the context.
    Shallow,
    /// Objects are merged at every depth.
    Deep,
    /// It is not.
    Not,
}

impl MachineModel {
    /// The state of this name.
    pub fn state(&self, name: &str) -> Option<&ModelState> {
        self.states.iter().find(|state| state.name == name)
    }

    /// A key of the definition that is neither states nor transitions; null if it is absent.
    pub fn other(&self, key: &str) -> &Json {
        let found = self.other.iter().find(|(name, _)| name == key);
        found.map_or(&Json::Null, |(_, value)| value)
    }

    /// How a transition merges its payload.
    pub fn merge(&self, act: &Act) -> Merge {
        let own = act.other("merge");
        let said = if own.is_null() {
            self.other("merge")
        } else {
            own
        };
        match said {
            Json::Bool(false) => Merge::Not,
            Json::Text(deep) if deep == "deep" => Merge::Deep,
            _ => Merge::Shallow,
        }
    }

    /// The positions of the transitions out of a state, in the order in which they are tried. For many states there is
    /// a [`graph::Graph`].
    pub fn leaving<'a>(&'a self, state: &'a ModelState) -> impl Iterator<Item = usize> + 'a {
        let all = self.transitions.iter().enumerate();
        all.filter(|(_, transition)| transition.leaves(state))
            .map(|(position, _)| position)
    }

    /// Whether nothing leads out of a state.
    pub fn is_end(&self, state: &ModelState) -> bool {
        state.always.is_empty() && self.leaving(state).next().is_none()
    }

    /// The names of all events, in the order met.
    pub fn events(&self) -> Vec<&str> {
        let mut seen: HashSet<&str> = HashSet::new();
        let events = self.transitions.iter().map(|it| it.event.as_str());
        events.filter(|event| seen.insert(event)).collect()
    }

    /// Reads a definition of either format.
    ///
    /// # Errors
    /// All places at which it does not have the form of a definition.
    pub fn read(json: &Json) -> Result<Self, Vec<crate::Problem>> {
        read::machine(json)
    }

    /// The definition as JSON.
    pub fn to_json(&self) -> Json {
        write::machine(self)
    }
}

impl ModelState {
    /// Its timers; one alone need not stand in a list.
    pub fn timers(&self) -> &[Json] {
        match self.other.iter().find(|(key, _)| key == "timers") {
            Some((_, Json::List(timers))) => timers,
            Some((_, one)) => std::slice::from_ref(one),
            None => &[],
        }
    }

    /// Whether an instance never stays in this state, because one of its choices has no condition.
    pub fn is_choice(&self) -> bool {
        self.always.iter().any(|choice| choice.act.guard.is_none())
    }
}

impl ModelTransition {
    /// Whether it leads out of a state.
    pub fn leaves(&self, state: &ModelState) -> bool {
        match &self.from {
            From::States(names) => names.contains(&state.name),
            From::Any { except } => !state.is_final && !except.contains(&state.name),
        }
    }
}

impl Act {
    /// A key that has no field of its own here; null if it is absent.
    pub fn other(&self, key: &str) -> &Json {
        let found = self.other.iter().find(|(name, _)| name == key);
        found.map_or(&Json::Null, |(_, value)| value)
    }

    /// Whether a transition to the same state leaves it and enters it again.
    pub fn reenters(&self) -> bool {
        *self.other("reenter") == Json::Bool(true)
    }

    /// Whether it has neither a condition nor an effect.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
