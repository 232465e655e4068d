//! Drawing a machine.
//!
//! | module | subject |
//! |---|---|
//! | `text` | for the terminal: a box for each state, its transitions below it |
//! | `svg` | a picture, laid out by the crate `rstmdb-diagram` as it is for the console |
//! | `markup` | Mermaid and Graphviz |

mod markup;
mod svg;
mod text;

use rstmdb_definitions::model::MachineModel;
use rstmdb_diagram::{Arrow, Chart};

use crate::args::DiagramFormat;
use crate::render::output::Paint;

/// What is drawn: the machine with its title and, where an instance is shown, its state.
#[derive(Debug)]
pub struct Drawing<'a> {
    title: String,
    chart: Chart<'a>,
    current: Option<usize>,
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
                    Some(Arrow {
                        event,
                        guard: act.guard.as_deref(),
                        to: index(to)?,
                    })
                })
                .collect();
        }
        Drawing {
            title: title.to_owned(),
            current: current.and_then(index),
            chart: Chart {
                initial: index(&machine.initial).unwrap_or(0),
                leaving,
                states,
            },
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
}

#[cfg(test)]
mod tests;
