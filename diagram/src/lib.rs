//! Where the parts of a machine's diagram stand: once, for the pictures of the command line and of the console.
//!
//! Not a crate such as `layout-rs`: it draws boxes with a name, and puts labels on edges, where they cover each other.
//! Here a box lists the transitions that leave its state, and each edge begins at its row.
//!
//! | module | subject |
//! |---|---|
//! | [`picture`] | boxes, rows and edges with their coordinates |
//! | [`layers`] | states in layers by their distance from the initial state, few crossings |

pub mod layers;
pub mod picture;

pub use layers::Layers;
pub use picture::Picture;

/// Machines with more are not drawn for the console: nobody could read the picture.
pub const STATES_MAX: usize = 300;
/// The same for transitions, each counted once for every state that it leaves.
pub const ARROWS_MAX: usize = 1500;
/// The same for the places in all layers, which decide how long a layout takes.
const PLACES_MAX: usize = 20_000;

/// A machine as it is drawn.
#[derive(Debug, Clone, Default)]
pub struct Chart<'a> {
    /// The states' names.
    pub states: Vec<&'a str>,
    /// The state of a new instance.
    pub initial: usize,
    /// The transitions that leave each state, in the order in which they are tried.
    pub leaving: Vec<Vec<Arrow<'a>>>,
}

/// One transition from one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrow<'a> {
    /// `always` if it needs none.
    pub event: &'a str,
    /// The condition as written.
    pub guard: Option<&'a str>,
    /// The state that it leads to.
    pub to: usize,
}

impl Arrow<'_> {
    /// What stands at it.
    #[must_use]
    pub fn label(&self) -> String {
        match self.guard {
            Some(guard) => format!("{} [{guard}]", self.event),
            None => self.event.to_owned(),
        }
    }
}

impl Chart<'_> {
    /// Whether nothing leaves the state.
    #[must_use]
    pub fn is_final(&self, state: usize) -> bool {
        self.leaving.get(state).is_none_or(Vec::is_empty)
    }

    /// The layout, or `None` if the machine is too large for a picture.
    #[must_use]
    pub fn picture(&self) -> Option<Picture<'_>> {
        let arrows: usize = self.leaving.iter().map(Vec::len).sum();
        if self.states.len() > STATES_MAX || arrows > ARROWS_MAX {
            return None;
        }
        let layers = Layers::unordered(self);
        if layers.places() > PLACES_MAX {
            return None;
        }
        Some(Picture::with(self, layers.ordered()))
    }

    /// The distinct pairs of different states that a transition joins, in the order met.
    fn edges(&self) -> Vec<layers::Edge> {
        let mut seen = std::collections::HashSet::new();
        let mut edges = Vec::new();
        for (from, arrows) in self.leaving.iter().enumerate() {
            for arrow in arrows {
                if arrow.to != from && seen.insert((from, arrow.to)) {
                    edges.push(layers::Edge { from, to: arrow.to });
                }
            }
        }
        edges
    }
}

#[cfg(test)]
mod tests;
