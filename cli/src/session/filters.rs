//! Warnings of filters that name what the server does not know. A filter that is misspelt finds nothing, and looks as if
//! there were nothing.
//!
//! As for hints, the server is asked only to help people: errors are not shown, and nothing takes long.

use std::time::Duration;

use rstmdb_definitions::model::MachineModel;
use rstmdb_definitions::nearest::nearest;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::machine::{
    GetMachine, GetMachineResult, ListMachines, ListMachinesResult,
};
use rstmdb_rcp::message::{ReadOptions, op};
use rstmdb_rcp::text::printable;

use super::CliSession;
use crate::Error;

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most definitions that are looked at. Where there are more, states and events are not checked.
const DEFINITIONS_MAX: usize = 32;

/// What a list or a watch is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct NamesInFilter {
    /// Of these machines; of all if empty.
    pub machines: Vec<String>,
    /// These states.
    pub states: Vec<String>,
    /// These events.
    pub events: Vec<String>,
}

impl CliSession {
    /// Says on standard error which of these names the server does not know; not to a program that reads errors there.
    pub async fn warn_of(&self, filter: &NamesInFilter) {
        if self.out.errors_are_json() {
            return;
        }
        let unknown = tokio::time::timeout(PATIENCE, self.unknown(filter)).await;
        for warning in unknown.ok().and_then(Result::ok).unwrap_or_default() {
            let warning = format!("warning: {}", printable(&warning));
            match &self.watches {
                // A line is being typed meanwhile.
                Some(watches) => watches.say(&warning).await,
                None => eprintln!("{warning}"),
            }
        }
    }

    async fn unknown(&self, filter: &NamesInFilter) -> Result<Vec<String>, Error> {
        let NamesInFilter {
            machines,
            states,
            events,
        } = filter;
        if machines.is_empty() && states.is_empty() && events.is_empty() {
            return Ok(Vec::new());
        }
        let params = ListMachines::default();
        let list: ListMachinesResult<'_> = self.ask(op::LIST_MACHINES, &params).await?;
        let mut warnings = Vec::new();
        for machine in machines {
            if list.items.iter().all(|item| item.machine != *machine) {
                let names = list.items.iter().map(|item| &*item.machine);
                warnings.push(format!(
                    "there is no machine {machine:?}{}",
                    meant(machine, names)
                ));
            }
        }
        let looked_at = list.items.iter().filter(|item| {
            machines.is_empty() || machines.iter().any(|name| *name == item.machine)
        });
        let looked_at: Vec<(&str, u32)> = looked_at
            .flat_map(|item| {
                item.versions
                    .iter()
                    .map(|version| (&*item.machine, *version))
            })
            .collect();
        let too_many = looked_at.len() > DEFINITIONS_MAX;
        if too_many || looked_at.is_empty() || (states.is_empty() && events.is_empty()) {
            return Ok(warnings);
        }
        let mut models = Vec::with_capacity(looked_at.len());
        for (machine, version) in looked_at {
            models.push(self.model(machine, version, ReadOptions::default()).await?);
        }
        warnings.extend(unknown_names(&models, states, events));
        Ok(warnings)
    }

    /// A definition, as the tools read it.
    pub async fn model(
        &self,
        machine: &str,
        version: u32,
        read: ReadOptions,
    ) -> Result<MachineModel, Error> {
        let params = GetMachine {
            machine: machine.into(),
            version: Some(version),
            read,
            ..GetMachine::default()
        };
        let found: GetMachineResult<'_> = self.ask(op::GET_MACHINE, &params).await?;
        let definition = Json::parse(found.definition.get()).map_err(Error::unexpected)?;
        MachineModel::read(&definition).map_err(|_| Error::unexpected("no definition"))
    }
}

/// A warning for each state and event that none of these definitions has.
fn unknown_names(models: &[MachineModel], states: &[String], events: &[String]) -> Vec<String> {
    let known_states: Vec<&str> = models
        .iter()
        .flat_map(|model| model.states.iter().map(|state| state.name.as_str()))
        .collect();
    let known_events: Vec<&str> = models.iter().flat_map(MachineModel::events).collect();
    let mut warnings = Vec::new();
    for (what, wanted, known) in [
        ("state", states, known_states),
        ("event", events, known_events),
    ] {
        let unknown = wanted.iter().filter(|name| !known.contains(&name.as_str()));
        warnings.extend(unknown.map(|name| {
            format!(
                "no machine that is looked at has the {what} {name:?}{}",
                meant(name, known.iter().copied())
            )
        }));
    }
    warnings
}

fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_state_or_event_that_no_definition_has_is_named_with_the_nearest() {
        let definition = |text: &str| MachineModel::read(&Json::parse(text).unwrap()).unwrap();
        let models = [
            definition(
                r#"{"states":["cart","paid"],"initial":"cart","transitions":[{"from":"cart","event":"PAY","to":"paid"}]}"#,
            ),
            definition(r#"{"states":["open"],"initial":"open","transitions":[]}"#),
        ];
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let unknown = |states: &[&str], events: &[&str]| {
            unknown_names(&models, &names(states), &names(events))
        };
        assert_eq!(unknown(&["cart", "open"], &["PAY"]), Vec::<String>::new());
        assert_eq!(
            unknown(&["piad", "elsewhere"], &["pay"]),
            [
                "no machine that is looked at has the state \"piad\"; did you mean \"paid\"?",
                "no machine that is looked at has the state \"elsewhere\"",
                "no machine that is looked at has the event \"pay\"; did you mean \"PAY\"?",
            ]
        );
    }
}
