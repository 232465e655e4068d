//! The transitions of a machine by the state that they leave.
//!
//! A definition may have 10,000 states and 20,000 transitions, so nothing here goes through all of one for each of the
//! other. A transition out of every state is kept once, beside the states that it leaves out.

use std::collections::{HashMap, HashSet};

use super::{From, MachineModel, ModelState};

/// The states and transitions of a machine, by number and by name.
#[derive(Debug)]
pub struct Graph<'a> {
    machine: &'a MachineModel,
    /// The first state of each name.
    numbers: HashMap<&'a str, usize>,
    /// By state: the transitions that name it, ascending.
    named: Vec<Vec<usize>>,
    /// The transitions out of every state that is not final, ascending, and the states that each leaves out.
    every: Vec<(usize, HashSet<usize>)>,
    /// By state: how many of `every` leave it out.
    left_out: Vec<usize>,
}

/// What can be reached, conditions aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// By state.
    pub states: Vec<bool>,
    /// By transition: whether a state that is reached answers to it.
    pub transitions: Vec<bool>,
    /// How often a state or a transition was looked at.
    pub looks: usize,
}

impl<'a> Graph<'a> {
    /// Of a machine, whose states and transitions keep their positions as numbers.
    pub fn new(machine: &'a MachineModel) -> Self {
        let mut graph = Self {
            machine,
            numbers: HashMap::new(),
            named: vec![Vec::new(); machine.states.len()],
            every: Vec::new(),
            left_out: vec![0; machine.states.len()],
        };
        for (number, state) in machine.states.iter().enumerate() {
            graph.numbers.entry(&state.name).or_insert(number);
        }
        for (number, transition) in machine.transitions.iter().enumerate() {
            match &transition.from {
                From::States(names) => {
                    for state in graph.all(names) {
                        let named = &mut graph.named[state];
                        if named.last() != Some(&number) {
                            named.push(number);
                        }
                    }
                }
                From::Any { except } => {
                    let except: HashSet<usize> = graph.all(except).into_iter().collect();
                    for state in &except {
                        graph.left_out[*state] += 1;
                    }
                    graph.every.push((number, except));
                }
            }
        }
        graph
    }

    fn all(&self, names: &[String]) -> Vec<usize> {
        names.iter().filter_map(|name| self.number(name)).collect()
    }

    /// The number of the state of this name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The state of this name.
    pub fn state(&self, name: &str) -> Option<&'a ModelState> {
        Some(&self.machine.states[self.number(name)?])
    }

    /// The transitions out of a state, in the order in which they are tried.
    pub fn leaving(&self, state: usize) -> Vec<usize> {
        let mut all = self.named[state].clone();
        if !self.machine.states[state].is_final {
            let every = self.every.iter();
            let every = every.filter(|(_, except)| !except.contains(&state));
            all.extend(every.map(|(number, _)| *number));
            all.sort_unstable();
        }
        all
    }

    /// Whether nothing leads out of a state.
    pub fn is_end(&self, state: usize) -> bool {
        let it = &self.machine.states[state];
        let is_in_every = !it.is_final && self.left_out[state] < self.every.len();
        it.always.is_empty() && self.named[state].is_empty() && !is_in_every
    }

    /// Where the choices of a state lead, and the transitions that name it.
    fn targets(&self, state: usize) -> impl Iterator<Item = usize> + '_ {
        let always = self.machine.states[state].always.iter();
        let named = self.named[state].iter();
        let chosen = always.filter_map(|choice| self.number(&choice.to));
        chosen.chain(named.filter_map(|number| self.target(*number)))
    }

    fn target(&self, transition: usize) -> Option<usize> {
        self.number(&self.machine.transitions[transition].to)
    }

    /// What an instance can come to.
    pub fn reach(&self) -> Reach {
        let mut reach = Reach {
            states: vec![false; self.machine.states.len()],
            transitions: vec![false; self.machine.transitions.len()],
            looks: 0,
        };
        // Those that leave no state yet which was reached.
        let mut every: Vec<&(usize, HashSet<usize>)> = self.every.iter().collect();
        let mut next: Vec<usize> = self.number(&self.machine.initial).into_iter().collect();
        while let Some(state) = next.pop() {
            reach.looks += 1;
            if std::mem::replace(&mut reach.states[state], true) {
                continue;
            }
            for number in &self.named[state] {
                reach.transitions[*number] = true;
            }
            let before = next.len();
            next.extend(self.targets(state));
            reach.looks += next.len() - before;
            if self.machine.states[state].is_final {
                continue;
            }
            reach.looks += every.len();
            every.retain(|(number, except)| {
                let stays = except.contains(&state);
                if !stays {
                    reach.transitions[*number] = true;
                    next.extend(self.target(*number));
                }
                stays
            });
        }
        reach
    }

    /// The states from which an end can be reached, by state, and how often one was looked at; none where the machine
    /// has no end.
    pub fn ending(&self) -> (Vec<bool>, usize) {
        let count = self.machine.states.len();
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut every: HashMap<usize, Vec<&HashSet<usize>>> = HashMap::new();
        for state in 0..count {
            for target in self.targets(state) {
                before[target].push(state);
            }
        }
        for (number, except) in &self.every {
            if let Some(target) = self.target(*number) {
                every.entry(target).or_default().push(except);
            }
        }
        let is_open = |state: &usize| !self.machine.states[*state].is_final;
        let mut open: Vec<usize> = (0..count).filter(is_open).collect();
        let mut next: Vec<usize> = (0..count).filter(|state| self.is_end(*state)).collect();
        let (mut found, mut looks) = (vec![false; count], 0);
        while let Some(state) = next.pop() {
            looks += 1;
            if std::mem::replace(&mut found[state], true) {
                continue;
            }
            looks += before[state].len();
            next.extend(&before[state]);
            for except in every.get(&state).into_iter().flatten() {
                looks += open.len();
                open.retain(|other| {
                    let stays = except.contains(other);
                    if !stays {
                        next.push(*other);
                    }
                    stays
                });
            }
        }
        (found, looks)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::model::{Act, ModelTransition};

    const STATES: usize = 10_000;

    /// A chain of states; three of four transitions out of every state leave some out.
    fn large(transitions: usize) -> MachineModel {
        let name = |number: usize| format!("s{}", number % STATES);
        let states = (0..STATES).map(|number| ModelState {
            name: name(number),
            ..ModelState::default()
        });
        let chain = (0..transitions).map(|number| ModelTransition {
            from: match number % 2 {
                0 => From::States(vec![name(number / 2), name(number / 2)]),
                _ => From::Any {
                    except: (0..number % 8).map(name).collect(),
                },
            },
            event: format!("E{number}"),
            to: name(number / 2 + 1),
            act: Act::default(),
        });
        MachineModel {
            format: 2,
            initial: name(0),
            states: states.collect(),
            transitions: chain.collect(),
            other: Vec::new(),
        }
    }

    #[test]
    fn ten_thousand_states_are_looked_at_a_few_times_each() {
        let machine = large(19_000);
        let graph = Graph::new(&machine);
        let size = machine.states.len() + machine.transitions.len();
        let reach = graph.reach();
        assert!(reach.states.iter().filter(|it| **it).count() > 9_000);
        assert!(reach.looks < 8 * size, "{} looks", reach.looks);
        let (_, looks) = graph.ending();
        assert!(looks < 8 * size, "{looks} looks");
    }

    /// What the graph says is what going through all transitions for each state says.
    #[test]
    fn the_graph_agrees_with_the_transitions() {
        let mut machine = large(400);
        machine.states.truncate(120);
        machine.states[7].is_final = true;
        machine.states[60].is_final = true;
        let graph = Graph::new(&machine);
        let slow = |state: &ModelState| -> Vec<usize> { machine.leaving(state).collect() };
        for (number, state) in machine.states.iter().enumerate() {
            assert_eq!(graph.leaving(number), slow(state), "{}", state.name);
            assert_eq!(graph.is_end(number), machine.is_end(state));
        }
        let step = |from: &HashSet<usize>| -> HashSet<usize> {
            let leaving = from.iter().flat_map(|it| slow(&machine.states[*it]));
            let targets = leaving.filter_map(|it| graph.number(&machine.transitions[it].to));
            targets.chain(from.iter().copied()).collect()
        };
        let closed = |state: usize| {
            let mut all = HashSet::from([state]);
            while step(&all).len() > all.len() {
                all = step(&all);
            }
            all
        };
        let reached = closed(graph.number(&machine.initial).unwrap());
        let (ending, _) = graph.ending();
        for (number, ending) in ending.into_iter().enumerate() {
            assert_eq!(graph.reach().states[number], reached.contains(&number));
            let ends = closed(number)
                .iter()
                .any(|it| machine.is_end(&machine.states[*it]));
            assert_eq!(ending, ends, "{number}");
        }
    }
}
