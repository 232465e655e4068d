//! Drawing a machine.
//!
//! | module | subject |
//! |---|---|
//! | `layout` | states in layers by their distance from the initial state, few crossings |
//! | `text` | for the terminal: a box for each state, its transitions below it |
//! | `svg` | a picture: a box for each state that lists its transitions, an edge from each |
//! | `markup` | Mermaid and Graphviz |

mod layout;
mod markup;
mod svg;
mod text;

use serde::Deserialize;

use crate::args::DiagramFormat;
use crate::render::output::Paint;

/// A machine's definition, as far as it is drawn.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    /// All states.
    pub states: Vec<String>,
    /// The state instances begin in.
    pub initial: String,
    /// In the order they are tried.
    pub transitions: Vec<Transition>,
}

/// A transition, as written.
#[derive(Debug, Clone, Deserialize)]
pub struct Transition {
    from: OneOrMany,
    event: String,
    to: String,
    guard: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What is drawn: the machine with its title and, where an instance is shown, its state.
#[derive(Debug)]
pub struct Drawing<'a> {
    title: String,
    states: &'a [String],
    initial: usize,
    current: Option<usize>,
    /// The transitions leaving each state, in the order they are tried.
    leaving: Vec<Vec<Arrow<'a>>>,
}

/// One transition from one state.
#[derive(Debug, Clone)]
struct Arrow<'a> {
    event: &'a str,
    guard: Option<&'a str>,
    to: usize,
}

impl Arrow<'_> {
    fn label(&self) -> String {
        match self.guard {
            Some(guard) => format!("{} [{guard}]", self.event),
            None => self.event.to_owned(),
        }
    }
}

impl<'a> Drawing<'a> {
    /// Names of states that are not in `machine.states` can't come from a server, which refuses
    /// such definitions; here they are left out.
    pub fn new(name: &str, version: u32, machine: &'a Machine, current: Option<&str>) -> Self {
        let index = |name: &str| machine.states.iter().position(|state| state == name);
        let mut leaving = vec![Vec::new(); machine.states.len()];
        for transition in &machine.transitions {
            let from = match &transition.from {
                OneOrMany::One(name) => std::slice::from_ref(name),
                OneOrMany::Many(names) => names,
            };
            let Some(to) = index(&transition.to) else {
                continue;
            };
            for from in from.iter().filter_map(|name| index(name)) {
                leaving[from].push(Arrow {
                    event: &transition.event,
                    guard: transition.guard.as_deref(),
                    to,
                });
            }
        }
        Drawing {
            title: format!("{name} v{version}"),
            states: &machine.states,
            initial: index(&machine.initial).unwrap_or(0),
            current: current.and_then(index),
            leaving,
        }
    }

    /// The drawing in `format`. Only text is painted.
    pub fn render(&self, format: DiagramFormat, paint: Paint) -> String {
        match format {
            DiagramFormat::Text => text::render(self, paint),
            DiagramFormat::Svg => svg::render(self),
            DiagramFormat::Mermaid => markup::mermaid(self),
            DiagramFormat::Dot => markup::dot(self),
        }
    }

    fn is_final(&self, state: usize) -> bool {
        self.leaving[state].is_empty()
    }

    /// Distinct (from, to) pairs of different states.
    fn edges(&self) -> Vec<(usize, usize)> {
        let mut edges: Vec<(usize, usize)> = Vec::new();
        for (from, arrows) in self.leaving.iter().enumerate() {
            for arrow in arrows {
                if arrow.to != from && !edges.contains(&(from, arrow.to)) {
                    edges.push((from, arrow.to));
                }
            }
        }
        edges
    }
}

#[cfg(test)]
mod tests;
