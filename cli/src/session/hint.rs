//! What a refusal was probably about: the nearest name that the server knows.
//!
//! The command line asks the server for it after the refusal, only to help people. So errors of these requests are not
//! shown, and none of them takes long.

use std::time::Duration;

use rstmdb_definitions::model::MachineModel;
use rstmdb_definitions::nearest::nearest;
use rstmdb_rcp::Code;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::instance::{GetInstance, GetInstanceResult};
use rstmdb_rcp::message::machine::{
    GetMachine, GetMachineResult, ListMachines, ListMachinesResult,
};
use rstmdb_rcp::message::op;
use rstmdb_rcp::text::counted;

use super::CliSession;
use crate::Error;

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most names that are listed.
const NAMES_MAX: usize = 12;

/// What a command was about.
#[derive(Clone, Copy, Debug, Default)]
pub struct HintAbout<'a> {
    /// The instance.
    pub instance: Option<&'a str>,
    /// The state that the instance should have been in.
    pub state: Option<&'a str>,
}

impl CliSession {
    /// The same error with a hint, if it is a refusal for which there is one.
    pub async fn with_hint(&self, error: Error, about: HintAbout<'_>) -> Error {
        let Error::Refused(body) = &error else {
            return error;
        };
        let hint = tokio::time::timeout(PATIENCE, self.hint(body, about)).await;
        match hint.ok().flatten() {
            Some(hint) => Error::Hinted {
                error: Box::new(error),
                hint,
            },
            None => error,
        }
    }

    async fn hint(&self, body: &ErrorBody, about: HintAbout<'_>) -> Option<String> {
        let detail = |key: &str| body.details.as_ref()?.get(key)?.as_str();
        match body.code {
            Code::MachineNotFound => self.machine(detail("machine")?).await,
            Code::InvalidTransition => {
                let machine = self.machine_of(about.instance?).await?;
                event(&machine, detail("current_state")?, detail("event")?)
            }
            Code::Conflict => {
                let wanted = about.state?;
                let machine = self.machine_of(about.instance?).await?;
                if machine.state(wanted).is_some() {
                    return None;
                }
                let names = machine.states.iter().map(|state| state.name.as_str());
                Some(match nearest(wanted, names.clone()) {
                    Some(name) => {
                        format!("the machine has no state {wanted:?}; did you mean {name:?}?")
                    }
                    None => format!(
                        "the machine has no state {wanted:?}; it has {}",
                        listed(names)
                    ),
                })
            }
            _ => None,
        }
    }

    async fn machine(&self, wanted: &str) -> Option<String> {
        let params = ListMachines::default();
        let list: ListMachinesResult<'_> = self.ask(op::LIST_MACHINES, &params).await.ok()?;
        if let Some(found) = list.items.iter().find(|item| item.machine == wanted) {
            let versions: Vec<String> = found.versions.iter().map(ToString::to_string).collect();
            let versions = listed(versions.iter().map(String::as_str));
            return Some(format!("{wanted:?} has the versions {versions}"));
        }
        let names = list.items.iter().map(|item| &*item.machine);
        nearest(wanted, names).map(|name| format!("did you mean {name:?}?"))
    }

    async fn machine_of(&self, instance: &str) -> Option<MachineModel> {
        let params = GetInstance {
            instance_id: instance.into(),
            ..GetInstance::default()
        };
        let found: GetInstanceResult<'_> = self.ask(op::GET_INSTANCE, &params).await.ok()?;
        let params = GetMachine {
            machine: found.machine,
            version: Some(found.version),
            ..GetMachine::default()
        };
        let machine: GetMachineResult<'_> = self.ask(op::GET_MACHINE, &params).await.ok()?;
        MachineModel::read(&Json::parse(machine.definition.get()).ok()?).ok()
    }
}

/// What could be applied instead of an event that the state does not answer to.
fn event(machine: &MachineModel, state: &str, event: &str) -> Option<String> {
    let mut possible: Vec<&str> = Vec::new();
    for position in machine.leaving(machine.state(state)?) {
        let name = machine.transitions[position].event.as_str();
        if !possible.contains(&name) {
            possible.push(name);
        }
    }
    if let Some(name) = nearest(event, possible.iter().copied()) {
        return Some(format!("did you mean {name:?}?"));
    }
    let all = machine.events();
    let known = match all.contains(&event) {
        true => String::new(),
        false => match nearest(event, all) {
            Some(name) => format!("the machine has no such event; did you mean {name:?}? "),
            None => "the machine has no such event. ".to_owned(),
        },
    };
    Some(match possible.is_empty() {
        // Also in format 1, in which no state says so itself; drawings show it in the same way.
        true => format!("{known}the state {state:?} is final: nothing leads out of it"),
        false => format!(
            "{known}{state:?} answers to {}",
            listed(possible.into_iter())
        ),
    })
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    match more {
        0 => names.join(", "),
        _ => format!(
            "{} and {}",
            names.join(", "),
            counted(more as u64, "more", "more")
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_refused_event_is_answered_with_what_was_probably_meant() {
        let definition = r#"{"states":["cart","paid"],"initial":"cart","transitions":[
            {"from":"cart","event":"PAY","to":"paid"},{"from":"cart","event":"ADD","to":"cart"},
            {"from":"paid","event":"REFUND","to":"cart"}]}"#;
        let machine = MachineModel::read(&Json::parse(definition).unwrap()).unwrap();
        let with_end = definition.replace("[\"cart\",\"paid\"]", "[\"cart\",\"paid\",\"gone\"]");
        let format_2 = r#"{"format":2,"initial":"a","states":["a",{"name":"gone","final":true}],
            "transitions":[{"from":"a","event":"PAY","to":"gone"}]}"#;
        for ended in [&*with_end, format_2] {
            let ended = MachineModel::read(&Json::parse(ended).unwrap()).unwrap();
            assert_eq!(
                event(&ended, "gone", "PAY").unwrap(),
                "the state \"gone\" is final: nothing leads out of it"
            );
        }
        for (state, name, expected) in [
            ("cart", "pay", "did you mean \"PAY\"?"),
            ("cart", "REFUND", "\"cart\" answers to PAY, ADD"),
            (
                "paid",
                "ad",
                "the machine has no such event. \"paid\" answers to REFUND",
            ),
            (
                "paid",
                "ADDD",
                "the machine has no such event; did you mean \"ADD\"? \"paid\" answers to REFUND",
            ),
        ] {
            assert_eq!(event(&machine, state, name).unwrap(), expected);
        }
    }
}
