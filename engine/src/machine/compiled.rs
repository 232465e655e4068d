//! Machines compiled ahead, because compiling a long definition takes far longer than the state may be locked.

use std::sync::Arc;

use super::version::Machine;
use crate::fact::{self, Body, Entry};

/// The machines that an entry defines, compiled.
#[derive(Clone, Debug, Default)]
pub struct Compiled(Vec<Arc<Machine>>);

impl Compiled {
    /// Compiles every definition that the entry carries. One that cannot be used is left out: apply
    /// reports it.
    pub fn of(entry: &Entry) -> Self {
        let machines = definitions(entry).filter_map(|put| compile(put).ok());
        Self(machines.collect())
    }

    pub(crate) fn extend(&mut self, machine: Option<Arc<Machine>>) {
        self.0.extend(machine);
    }

    /// The machine of this definition; the error says why it cannot be used.
    pub(crate) fn machine(&self, put: &fact::PutMachine) -> Result<Arc<Machine>, String> {
        match self.get(put) {
            Some(machine) => Ok(machine.clone()),
            None => compile(put),
        }
    }

    fn get(&self, put: &fact::PutMachine) -> Option<&Arc<Machine>> {
        self.0.iter().find(|machine| {
            machine.version == put.version
                && machine.format == put.format.max(1)
                && *machine.name == *put.machine
                && machine.definition == put.definition
        })
    }
}

fn definitions(entry: &Entry) -> impl Iterator<Item = &fact::PutMachine> {
    entry.facts.iter().filter_map(|fact| match &fact.body {
        Some(Body::PutMachine(put)) => Some(put),
        _ => None,
    })
}

fn compile(put: &fact::PutMachine) -> Result<Arc<Machine>, String> {
    Machine::from_log(&put.machine, put.version, put.format, &put.definition).map(Arc::new)
}
