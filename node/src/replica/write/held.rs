//! Commands that wait outside of the serial section: those that cost too much to be decided there, and those behind
//! them that touch the same instances or machines.
//!
//! Each instance that such a command names is a *lane*, in which commands keep the order in which they came. So is each
//! machine, where only commands that define it make others wait. A command that is first in all of its lanes is
//! *ready*: it is weighed again, and either decided at once or prepared. Commands that touch none of these lanes pass
//! by.
//!
//! Listings name nothing and wait for no command: the session that sends one in a batch waits until everything before
//! it has ended.

mod invariants;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use rstmdb_engine::{AskedPart, Command, Query};

use super::decide::causes::{FoundCauses, WantedCause};
use super::request::Request;
use crate::replica::types::Types;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LanePlace {
    number: u64,
    /// Whether commands behind it wait for it, and it waits for those before it. The others wait only for such
    /// commands.
    alone: bool,
}

/// In each lane ascending by number.
type HeldLanes = HashMap<String, VecDeque<LanePlace>>;

struct HeldRequest<T: Types> {
    request: Request<T>,
    /// Whether it has been first in all of its lanes.
    was_ready: bool,
}

/// The commands that are decided ahead, and those that wait behind them.
pub(crate) struct Held<T: Types> {
    next: u64,
    waiting: BTreeMap<u64, HeldRequest<T>>,
    instances: HeldLanes,
    machines: HeldLanes,
    /// First in all of its lanes, to be weighed.
    ready: BTreeSet<u64>,
    /// Weighed: to be prepared.
    costly: BTreeSet<u64>,
}

/// What a command names.
#[derive(Clone, Copy)]
enum HeldLane<'a> {
    Instance(&'a str),
    Machine(&'a str),
}

impl<T: Types> Held<T> {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            instances: HashMap::new(),
            machines: HashMap::new(),
            ready: BTreeSet::new(),
            costly: BTreeSet::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a command that has just come must wait for one that is here.
    pub(crate) fn blocks(&self, command: &Command) -> bool {
        let mut blocks = false;
        if !self.is_empty() {
            each_lane(command, &mut |lane, alone| {
                let places = self.lane(lane).into_iter().flatten();
                blocks |= places.into_iter().any(|place| alone || place.alone);
            });
        }
        blocks
    }

    /// Takes a command in, behind all commands that it must wait for.
    pub(crate) fn push(&mut self, request: Request<T>) {
        let number = self.next;
        self.next += 1;
        enter(
            &mut self.instances,
            &mut self.machines,
            number,
            &request.command,
        );
        let was_ready = self.is_first(number, &request.command);
        if was_ready {
            self.ready.insert(number);
        }
        self.waiting
            .insert(number, HeldRequest { request, was_ready });
    }

    /// Whether there is a command to be weighed.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next command to be weighed.
    pub(crate) fn pop_ready(&mut self) -> Option<u64> {
        self.ready.pop_first()
    }

    /// Marks a command as one to be prepared.
    pub(crate) fn set_costly(&mut self, number: u64) {
        self.costly.insert(number);
    }

    /// Marks a command as being prepared.
    pub(crate) fn set_preparing(&mut self, number: u64) {
        self.costly.remove(&number);
    }

    /// Tells commands what their causes belong to. They are weighed again.
    pub(crate) fn tell(&mut self, found: FoundCauses) {
        for (WantedCause { number, offset }, correlation_id) in found {
            let waiting = self.waiting.get_mut(&number);
            // While the proposer drains, commands change their numbers.
            let waiting = waiting.filter(|waiting| waiting.request.cause == Some(offset));
            if let Some(waiting) = waiting {
                waiting.request.belongs_to(correlation_id);
                if waiting.was_ready {
                    self.ready.insert(number);
                }
            }
        }
    }

    /// The commands to be prepared, oldest first.
    pub(crate) fn costly(&self) -> impl Iterator<Item = (u64, &Request<T>)> {
        let numbers = self.costly.iter();
        numbers.filter_map(|number| Some((*number, self.get(*number)?)))
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Request<T>> {
        self.waiting.get(&number).map(|waiting| &waiting.request)
    }

    /// Takes a command out; commands that have waited only for it become ready.
    pub(crate) fn take(&mut self, number: u64) -> Option<Request<T>> {
        let request = self.waiting.remove(&number)?.request;
        self.ready.remove(&number);
        self.costly.remove(&number);
        let mut next = BTreeSet::new();
        each_lane(&request.command, &mut |lane, _| {
            let lanes = match lane {
                HeldLane::Instance(_) => &mut self.instances,
                HeldLane::Machine(_) => &mut self.machines,
            };
            let Some(places) = lanes.get_mut(lane.name()) else {
                return;
            };
            // A command that names a lane twice has one place in it.
            let at = places.binary_search_by_key(&number, |place| place.number);
            let Some(taken) = at.ok().and_then(|at| places.remove(at)) else {
                return;
            };
            // A command that shared the lane has kept back only commands that want to be alone, and the first of them may
            // now be in front. Commands behind a command that wants to be alone are not first.
            let freed = places.iter().take(if taken.alone { usize::MAX } else { 1 });
            for (at, place) in freed.enumerate() {
                if at == 0 || !place.alone {
                    next.insert(place.number);
                }
                if place.alone {
                    break;
                }
            }
            if places.is_empty() {
                lanes.remove(lane.name());
            }
        });
        for number in next {
            let is_first = self.waiting.get(&number).is_some_and(|waiting| {
                !waiting.was_ready && self.is_first(number, &waiting.request.command)
            });
            if is_first && let Some(waiting) = self.waiting.get_mut(&number) {
                waiting.was_ready = true;
                self.ready.insert(number);
            }
        }
        Some(request)
    }

    /// Takes everything out, in the order in which it came.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Request<T>> {
        let waiting = std::mem::replace(self, Self::new()).waiting;
        waiting.into_values().map(|waiting| waiting.request)
    }

    fn lane(&self, lane: HeldLane<'_>) -> Option<&VecDeque<LanePlace>> {
        match lane {
            HeldLane::Instance(id) => self.instances.get(id),
            HeldLane::Machine(name) => self.machines.get(name),
        }
    }

    fn is_first(&self, number: u64, command: &Command) -> bool {
        let mut is_first = true;
        each_lane(command, &mut |lane, _| {
            let places = self.lane(lane).into_iter().flatten();
            let mut before = places.clone().take_while(|place| place.number < number);
            let mine = places.clone().find(|place| place.number == number);
            let alone = mine.is_some_and(|place| place.alone);
            is_first &= !before.any(|place| alone || place.alone);
        });
        is_first
    }
}

impl HeldLane<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Machine(name) => name,
        }
    }
}

/// Puts a command at the end of each of its lanes, once.
fn enter(instances: &mut HeldLanes, machines: &mut HeldLanes, number: u64, command: &Command) {
    each_lane(command, &mut |lane, alone| {
        let lanes = match lane {
            HeldLane::Instance(_) => &mut *instances,
            HeldLane::Machine(_) => &mut *machines,
        };
        let places = lanes.entry(lane.name().to_owned()).or_default();
        match places.back_mut().filter(|place| place.number == number) {
            Some(place) => place.alone |= alone,
            None => places.push_back(LanePlace { number, alone }),
        }
    });
}

/// Calls `visit` with each lane of a command, and whether it must be alone in it.
fn each_lane<'a>(command: &'a Command, visit: &mut dyn FnMut(HeldLane<'a>, bool)) {
    match command {
        Command::PutMachine(put) => visit(HeldLane::Machine(&put.machine), true),
        Command::DeleteMachine(delete) => visit(HeldLane::Machine(&delete.machine), true),
        Command::CreateInstance(create) => {
            visit(HeldLane::Instance(&create.instance_id), true);
            visit(HeldLane::Machine(&create.machine), false);
        }
        Command::ApplyEvent(apply) => visit(HeldLane::Instance(&apply.instance_id), true),
        Command::DeleteInstance(delete) => visit(HeldLane::Instance(&delete.instance_id), true),
        Command::SetTimers(set) => visit(HeldLane::Instance(&set.instance_id), true),
        Command::FireTimer(fire) => visit(HeldLane::Instance(&fire.instance_id), true),
        // Its session waits until everything before it has ended, and begins nothing behind it.
        Command::FlushAll | Command::SetLevel { .. } | Command::SetAutomation(_) => {}
        // It touches no instance and no machine.
        Command::Lock(_) => {}
        Command::Batch(ops) => {
            let parts = ops.iter().map(AskedPart::from);
            parts.for_each(|part| each_lane_of_part(part, visit));
        }
        // It tells what the command would do in its place.
        Command::DryRun(asked) => asked
            .parts()
            .for_each(|part| each_lane_of_part(part, visit)),
    }
}

fn each_lane_of_part<'a>(part: AskedPart<'a>, visit: &mut dyn FnMut(HeldLane<'a>, bool)) {
    match part {
        AskedPart::Write(command) => each_lane(command, visit),
        AskedPart::Read(
            Query::GetInstance { instance_id } | Query::AllowedEvents { instance_id, .. },
        ) => visit(HeldLane::Instance(instance_id), true),
        AskedPart::Read(Query::GetMachine { machine, .. }) => {
            visit(HeldLane::Machine(machine), false)
        }
        AskedPart::Read(
            Query::ListInstances(_)
            | Query::ListMachines { .. }
            | Query::ListTimers(_)
            | Query::GetLock { .. }
            | Query::ListLocks(_),
        ) => {}
    }
}

#[cfg(test)]
mod tests;
