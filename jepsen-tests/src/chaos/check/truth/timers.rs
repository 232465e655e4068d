//! An account of the timers of a log: the simulation's, fed with the entries that took effect.

use std::collections::BTreeMap;

use rstmdb_engine::fact::{self, ApplyEvent, Body, SetAutomation, SetTimers, TimerSpent};
use rstmdb_rcp::json;
use rstmdb_sim::check::facts::MOVES;
use rstmdb_sim::check::timers::{Armed, TimersFact, WantedTimers};
use serde_json::Map;

use super::{FactKind, TrueFact};
use crate::load::machines::TestMachine;

/// Why the suite pauses automation at the end.
pub const AT_THE_END: &str = "the end of the run";

/// What the log says of timers.
#[derive(Debug, Default)]
pub struct TimersOfLog {
    /// Those that are armed at the end.
    pub armed: Armed,
    /// The states of the gates.
    states: BTreeMap<String, String>,
    /// What is wrong.
    pub problems: Vec<(u64, String)>,
    /// By how much the first timer was overdue when the suite paused automation at the end.
    pub overdue_ms: Option<u64>,
}

impl TimersOfLog {
    /// Takes an entry that took effect.
    pub fn take(&mut self, offset: u64, entry: &fact::Entry) {
        for body in entry.facts.iter().filter_map(|fact| fact.body.as_ref()) {
            if let Err(problem) = self.take_fact(body, offset, entry) {
                self.problems.push((offset, problem));
            }
        }
    }

    fn take_fact(&mut self, body: &Body, offset: u64, entry: &fact::Entry) -> Result<(), String> {
        let time_ms = entry.time_ms;
        let none = WantedTimers::default();
        let change = TimersFact {
            id: "",
            machine: TestMachine::Gate,
            entered: None,
            fired: None,
            moves: &none,
            timers: None,
            offset,
            time_ms,
        };
        match body {
            Body::CreateInstance(create) if is_gate(&create.machine) => {
                self.stands_in(&create.instance_id, &create.state);
                self.armed.take(TimersFact {
                    id: &create.instance_id,
                    entered: Some(&create.state),
                    timers: create.timers.as_ref(),
                    ..change
                })
            }
            Body::ApplyEvent(apply) if is_gate(&apply.machine) => {
                self.check_course(apply)?;
                let is_anew = TestMachine::Gate.reenters(&apply.event);
                let entered = apply.to_state != apply.from_state || is_anew;
                self.stands_in(&apply.instance_id, &apply.to_state);
                self.armed.take(TimersFact {
                    id: &apply.instance_id,
                    entered: entered.then_some(&*apply.to_state),
                    fired: apply.fired.as_ref(),
                    moves: &moves_of(apply.payload.as_deref()),
                    timers: apply.timers.as_ref(),
                    ..change
                })
            }
            Body::DeleteInstance(delete) if is_gate(&delete.machine) => {
                let (id, fired) = (&delete.instance_id, delete.fired.as_ref());
                self.states.remove(id);
                self.armed.delete(id, TestMachine::Gate, fired, time_ms)
            }
            Body::TimerSpent(spent) => self.spend(spent, offset, time_ms),
            Body::SetTimers(set) => self.armed.take(TimersFact {
                id: &set.instance_id,
                moves: &said_by(entry)?,
                timers: set.timers.as_ref(),
                ..change
            }),
            Body::SetAutomation(set) => {
                self.set_automation(set, time_ms);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An event, of a client or a timer, leads where the machine says.
    fn check_course(&self, apply: &ApplyEvent) -> Result<(), String> {
        let (id, event) = (&apply.instance_id, &apply.event);
        let stood = self.states.get(id);
        let model = TestMachine::Gate.next(&apply.from_state, event, &Map::new());
        if stood == Some(&apply.from_state) && model == Ok(&*apply.to_state) {
            return Ok(());
        }
        let (from, to) = (&apply.from_state, &apply.to_state);
        Err(format!(
            "{event} led {id} from {from} to {to}; it stood in {stood:?}, and the machine says {model:?}"
        ))
    }

    fn stands_in(&mut self, id: &str, state: &str) {
        self.states.insert(id.to_owned(), state.to_owned());
    }

    fn spend(&mut self, spent: &TimerSpent, offset: u64, time_ms: u64) -> Result<(), String> {
        let state = self.states.get(&spent.instance_id);
        let state = state.ok_or("a timer of nothing is spent")?;
        let refused = TestMachine::Gate
            .next(state, &spent.event, &Map::new())
            .err();
        // A timer that would have deleted the instance has no event.
        let refused = refused.filter(|_| !spent.event.is_empty());
        let refused = refused.map(|refusal| refusal.code());
        self.armed
            .take_spent(spent, TestMachine::Gate, refused, offset, time_ms)
    }

    fn set_automation(&mut self, set: &SetAutomation, time_ms: u64) {
        if set.paused && set.reason == AT_THE_END {
            let first_ms = self.armed.first_ms();
            let overdue_ms = first_ms.map(|first_ms| time_ms.saturating_sub(first_ms));
            self.overdue_ms = Some(overdue_ms.unwrap_or(0));
        }
        self.armed.set_automation(set, time_ms);
    }
}

fn is_gate(machine: &str) -> bool {
    machine == TestMachine::Gate.name()
}

fn moves_of(payload: Option<&[u8]>) -> WantedTimers {
    let payload = payload.and_then(|text| json::value_of_bytes(text).ok());
    WantedTimers::read(payload.as_ref().map(|payload| &payload[MOVES]))
}

/// What the client of a move without an event wants.
fn said_by(entry: &fact::Entry) -> Result<WantedTimers, String> {
    let reason = entry.meta.as_ref().and_then(|meta| meta.reason.as_deref());
    let wanted = json::value(reason.unwrap_or_default());
    let wanted = wanted.map_err(|_| "its client says nothing of timers")?;
    Ok(WantedTimers::read(Some(&wanted)))
}

/// A timer that had no effect, as a fact about its instance.
pub(super) fn spent(offset: u64, spent: &TimerSpent) -> TrueFact {
    TrueFact {
        machine: spent.machine.clone(),
        event: spent.event.clone(),
        to: spent.state.clone(),
        ..TrueFact::bare(offset, FactKind::Spent, &spent.instance_id)
    }
}

/// Timers that were moved without an event, as a fact about their instance.
pub(super) fn moved(offset: u64, set: &SetTimers) -> TrueFact {
    TrueFact {
        machine: set.machine.clone(),
        to: set.state.clone(),
        key: set.key.as_ref().map(|key| key.key.clone()),
        ..TrueFact::bare(offset, FactKind::Moved, &set.instance_id)
    }
}
