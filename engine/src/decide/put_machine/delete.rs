//! DELETE_MACHINE: versions that no instance has.
//!
//! A deleted instance no longer counts as having a version: only its history in the log is left, and each of its facts
//! there names the machine, the version and the state. So a version can be deleted, and the history stays readable. The
//! number of the version is then free.

use std::sync::Arc;

use crate::Refusal;
use crate::api::check_name;
use crate::api::command::DeleteMachine;
use crate::api::reply::Reply;
use crate::decide::{Decider, OpDecision};
use crate::fact::level::Feature;
use crate::fact::{self, Body};

impl Decider<'_> {
    pub(in crate::decide) fn delete_machine(
        self,
        delete: &DeleteMachine,
    ) -> Result<OpDecision, Refusal> {
        check_name("machine", &delete.machine)?;
        self.require(Feature::DeleteMachine)?;
        let known = self.view.versions(&delete.machine);
        let versions: Vec<u32> = match delete.version {
            None => known.into_iter().collect(),
            Some(version) => known.get(&version).copied().into_iter().collect(),
        };
        if versions.is_empty() {
            return Err(Refusal::MachineNotFound {
                machine: delete.machine.clone(),
                version: delete.version,
            });
        }
        let used = self.view.used_versions(&delete.machine, &versions);
        if !used.is_empty() {
            return Err(Refusal::MachineInUse {
                machine: delete.machine.clone(),
                used,
            });
        }
        Ok(OpDecision::Write {
            reply: Reply::MachineDeleted {
                machine: Arc::from(delete.machine.as_str()),
                versions: versions.clone(),
                wal_offset: self.offset,
            },
            body: Body::DeleteMachine(fact::DeleteMachine {
                machine: delete.machine.clone(),
                versions,
            }),
            machine: None,
        })
    }
}
