//! PUT_MACHINE, DELETE_MACHINE.

mod delete;

use std::sync::Arc;

use super::{Decider, OpDecision};
use crate::Refusal;
use crate::api::check_name;
use crate::api::command::PutMachine;
use crate::api::reply::Reply;
use crate::fact::level::Feature;
use crate::fact::{self, Body};
use crate::json::{JsonReader, ReadBudget, check, equal};
use crate::machine::definition::{self, Definition, Warning};
use crate::machine::{Machine, checksum};

impl Decider<'_> {
    pub(super) fn put_machine(self, put: &PutMachine) -> Result<OpDecision, Refusal> {
        let sum = checked_sum(put)?;
        let existing = self.view.machine(&put.machine, put.version);
        if let Some(existing) = existing.filter(|existing| existing.definition == put.definition) {
            // A definition that was accepted once stays valid. The answer has its warnings, if this version can
            // compute them.
            let warnings = match Definition::parse(&put.definition) {
                Ok(definition) => definition.warnings.into(),
                Err(_) => Arc::default(),
            };
            return Ok(already_there(existing, warnings));
        }
        let parsed = Definition::parse(&put.definition);
        if let Some(existing) = existing
            && same_value(&existing.definition, &put.definition)
        {
            // Written in another way, it stays valid as well.
            let warnings = parsed.map(|definition| definition.warnings.into());
            return Ok(already_there(existing, warnings.unwrap_or_default()));
        }
        let definition = parsed.map_err(refusal)?;
        if definition.format > 1 {
            self.require(Feature::Format2)?;
        }
        let warnings: Arc<[Warning]> = definition.warnings.clone().into();
        match existing {
            Some(_) => {
                return Err(Refusal::MachineVersionExists {
                    machine: put.machine.clone(),
                    version: put.version,
                });
            }
            None => self.check_versions(&put.machine)?,
        }
        // Earlier versions write no format, and read none but the first.
        let format = if definition.format > 1 {
            definition.format
        } else {
            0
        };
        let machine = Machine::new(&put.machine, put.version, &put.definition, definition);
        Ok(OpDecision::Write {
            machine: Some(Arc::new(machine)),
            reply: Reply::PutMachine {
                machine: Arc::from(put.machine.as_str()),
                version: put.version,
                checksum: Arc::from(sum.as_str()),
                created: true,
                warnings,
            },
            body: Body::PutMachine(fact::PutMachine {
                machine: put.machine.clone(),
                version: put.version,
                definition: put.definition.clone(),
                checksum: sum,
                format,
            }),
        })
    }

    fn check_versions(self, machine: &str) -> Result<(), Refusal> {
        let versions_max = self.limits.max_machine_versions;
        let versions = self.view.versions(machine).len() as u64;
        if versions_max == 0 || versions < u64::from(versions_max) {
            return Ok(());
        }
        Err(Refusal::MachineVersionLimitExceeded {
            machine: machine.to_owned(),
            versions,
            versions_max,
        })
    }
}

/// Checks all but the definition; gives its checksum.
fn checked_sum(put: &PutMachine) -> Result<String, Refusal> {
    check_name("machine", &put.machine)?;
    if put.version == 0 {
        return Err(Refusal::bad(
            "version",
            "version is 0; 1 or more is allowed",
        ));
    }
    let sum = checksum(&put.definition);
    match &put.checksum {
        Some(expected) if !expected.eq_ignore_ascii_case(&sum) => Err(Refusal::bad(
            "checksum",
            format!("checksum does not match the definition, whose SHA-256 is {sum}"),
        )),
        _ => Ok(sum),
    }
}

fn refusal(error: definition::Error) -> Refusal {
    match error {
        definition::Error::Faults(faults) => Refusal::DefinitionFaults { faults },
        other => Refusal::bad("definition", format!("definition: {other}")),
    }
}

fn already_there(existing: &Machine, warnings: Arc<[Warning]>) -> OpDecision {
    OpDecision::Answer {
        reply: Reply::PutMachine {
            machine: existing.name.clone(),
            version: existing.version,
            checksum: existing.checksum.clone(),
            created: false,
            warnings,
        },
        offset: None,
    }
}

/// Whether two definitions say the same, however they are written.
fn same_value(left: &[u8], right: &[u8]) -> bool {
    // Equal values have equal hashes, which are much cheaper to compare.
    if !matches!((check(left), check(right)), (Ok(left), Ok(right)) if left == right) {
        return false;
    }
    let value = |text| JsonReader::of_bytes(text).and_then(|mut reader| reader.skip());
    match (value(left), value(right)) {
        (Ok(left), Ok(right)) => {
            equal(left, right, &mut ReadBudget::new(usize::MAX)).unwrap_or(false)
        }
        _ => false,
    }
}
