//! Whether a client that is limited to some machines may change an instance.

use crate::Refusal;
use crate::api::command::Command;

use super::super::Decider;

impl Decider<'_> {
    /// Refuses to change an instance of a machine that is not the client's. This comes before anything else about the
    /// instance: a repeated idempotency key would otherwise tell what an earlier write has done to it.
    pub(in crate::decide) fn check_reach(self, command: &Command) -> Result<(), Refusal> {
        let Some(reach) = self.reach else {
            return Ok(());
        };
        let instance_id = match command {
            Command::ApplyEvent(apply) => &apply.instance_id,
            Command::DeleteInstance(delete) => &delete.instance_id,
            Command::SetTimers(set) => &set.instance_id,
            Command::FireTimer(fire) => &fire.instance_id,
            Command::CreateInstance(create) => {
                return match reach.write.cover(&create.machine) {
                    true => Ok(()),
                    false => Err(Refusal::forbidden("write", &create.machine)),
                };
            }
            // The node that has the client checks these by the request alone.
            Command::PutMachine(_)
            | Command::DeleteMachine(_)
            | Command::FlushAll
            | Command::SetLevel { .. }
            | Command::SetAutomation(_)
            | Command::Lock(_)
            | Command::Batch(_)
            | Command::DryRun(_) => return Ok(()),
        };
        match self.view.instance(instance_id) {
            Some(current) => {
                let machine = &current.machine.name;
                reach.check(&reach.write, "write", machine, instance_id)
            }
            None => Ok(()),
        }
    }
}
