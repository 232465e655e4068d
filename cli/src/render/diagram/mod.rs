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

use rstmdb_definitions::model::MachineModel;

use crate::args::DiagramFormat;
use crate::render::output::Paint;

/// What is drawn: the machine with its title and, where an instance is shown, its state.
#[derive(Debug)]
pub struct Drawing<'a> {
    title: String,
    states: Vec<&'a str>,
    initial: usize,
    current: Option<usize>,
    /// The transitions leaving each state, in the order they are tried.
    leaving: Vec<Vec<DiagramArrow<'a>>>,
}

/// One transition from one state.
#[derive(Debug, Clone)]
struct DiagramArrow<'a> {
    /// `always` where it needs none.
    event: &'a str,
    guard: Option<&'a str>,
    to: usize,
}

impl DiagramArrow<'_> {
    fn label(&self) -> String {
        match self.guard {
            Some(guard) => format!("{} [{guard}]", self.event),
            None => self.event.to_owned(),
        }
    }
}

impl<'a> Drawing<'a> {
    /// A machine as the server has it.
    pub fn new(name: &str, version: u32, machine: &'a MachineModel, current: Option<&str>) -> Self {
        Self::titled(&format!("{name} v{version}"), machine, current)
    }

    /// A machine of any origin. Transitions to states that it does not have are left out; no server takes such a
    /// definition.
    pub fn titled(title: &str, machine: &'a MachineModel, current: Option<&str>) -> Self {
        let states: Vec<&str> = machine
            .states
            .iter()
            .map(|state| state.name.as_str())
            .collect();
        let index = |name: &str| states.iter().position(|state| *state == name);
        let mut leaving = vec![Vec::new(); states.len()];
        for (from, state) in machine.states.iter().enumerate() {
            let always = state.always.iter().map(|it| ("always", &it.act, &it.to));
            let events = machine.leaving(state).map(|it| {
                let transition = &machine.transitions[it];
                (transition.event.as_str(), &transition.act, &transition.to)
            });
            leaving[from] = always
                .chain(events)
                .filter_map(|(event, act, to)| {
                    Some(DiagramArrow {
                        event,
                        guard: act.guard.as_deref(),
                        to: index(to)?,
                    })
                })
                .collect();
        }
        Drawing {
            title: title.to_owned(),
            initial: index(&machine.initial).unwrap_or(0),
            current: current.and_then(index),
            leaving,
            states,
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
