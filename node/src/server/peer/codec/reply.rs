//! What a command or a query answers.

use rstmdb_engine::definition::Warning;
use rstmdb_engine::reply::{InstanceSummary, MachineSummary};
use rstmdb_engine::{InstanceView, Reply};

use super::{DecodeError, required};
use crate::server::peer::wire;
use crate::server::peer::wire::reply::Reply as Wire;

impl From<Reply> for wire::Reply {
    fn from(reply: Reply) -> Self {
        Self {
            reply: Some(encode(reply)),
        }
    }
}

#[rustfmt::skip] // One message per line pair: as a table it fits a screen.
fn encode(reply: Reply) -> Wire {
    match reply {
        Reply::PutMachine { machine, version, checksum, created, warnings } => {
            let (machine, checksum) = (machine.to_string(), checksum.to_string());
            let warnings = warnings.iter().cloned().map(Into::into).collect();
            Wire::PutMachine(wire::PutMachineReply { machine, version, checksum, created, warnings })
        }
        Reply::Created { instance_id, state, wal_offset } => {
            let (instance_id, state) = (instance_id.to_string(), state.to_string());
            Wire::Created(wire::CreatedReply { instance_id, state, wal_offset })
        }
        Reply::Applied { from_state, to_state, ctx, applied, event_id, wal_offset } => {
            let (from_state, to_state) = (from_state.to_string(), to_state.to_string());
            let event_id = event_id.map(|id| id.to_string());
            let reply =
                wire::AppliedReply { from_state, to_state, ctx, applied, event_id, wal_offset };
            Wire::Applied(reply)
        }
        Reply::Replayed { instance_id, idempotency_key, from_state, to_state, event_id, wal_offset } => {
            let (instance_id, idempotency_key) = (instance_id.to_string(), idempotency_key.to_string());
            let (from_state, to_state) = (from_state.to_string(), to_state.to_string());
            let event_id = event_id.map(|id| id.to_string());
            let reply = wire::ReplayedReply {
                instance_id, idempotency_key, from_state, to_state, event_id, wal_offset,
            };
            Wire::Replayed(reply)
        }
        Reply::Deleted { instance_id, wal_offset } => {
            let instance_id = instance_id.to_string();
            Wire::Deleted(wire::DeletedReply { instance_id, wal_offset })
        }
        Reply::Flushed { instances_removed, machines_removed } => {
            Wire::Flushed(wire::FlushedReply { instances_removed, machines_removed })
        }
        Reply::Instance(view) => Wire::Instance(view.into()),
        Reply::Instances { items, total, has_more } => {
            let items = items.into_iter().map(Into::into).collect();
            Wire::Instances(wire::InstancesReply { items, total, has_more })
        }
        Reply::Machine { machine, version, definition, checksum } => {
            let (machine, checksum) = (machine.to_string(), checksum.to_string());
            Wire::Machine(wire::MachineReply { machine, version, definition, checksum })
        }
        Reply::Machines { items } => {
            let items = items.into_iter().map(Into::into).collect();
            Wire::Machines(wire::MachinesReply { items })
        }
        Reply::Batch(replies) => {
            let replies = replies.into_iter().map(Into::into).collect();
            Wire::Batch(wire::BatchReply { replies })
        }
    }
}

impl From<Warning> for wire::MachineWarning {
    fn from(warning: Warning) -> Self {
        let Warning { place, text } = warning;
        Self { place, text }
    }
}

impl From<wire::MachineWarning> for Warning {
    fn from(warning: wire::MachineWarning) -> Self {
        let wire::MachineWarning { place, text } = warning;
        Self { place, text }
    }
}

impl TryFrom<wire::Reply> for Reply {
    type Error = DecodeError;

    fn try_from(message: wire::Reply) -> Result<Self, DecodeError> {
        decode(required("Reply.reply", message.reply)?)
    }
}

fn decode(reply: Wire) -> Result<Reply, DecodeError> {
    Ok(match reply {
        Wire::PutMachine(put) => Reply::PutMachine {
            machine: put.machine.into(),
            version: put.version,
            checksum: put.checksum.into(),
            created: put.created,
            warnings: put.warnings.into_iter().map(Into::into).collect(),
        },
        Wire::Created(created) => Reply::Created {
            instance_id: created.instance_id.into(),
            state: created.state.into(),
            wal_offset: created.wal_offset,
        },
        Wire::Applied(applied) => Reply::Applied {
            from_state: applied.from_state.into(),
            to_state: applied.to_state.into(),
            ctx: applied.ctx,
            applied: applied.applied,
            event_id: applied.event_id.map(Into::into),
            wal_offset: applied.wal_offset,
        },
        Wire::Replayed(replayed) => Reply::Replayed {
            instance_id: replayed.instance_id.into(),
            idempotency_key: replayed.idempotency_key.into(),
            from_state: replayed.from_state.into(),
            to_state: replayed.to_state.into(),
            event_id: replayed.event_id.map(Into::into),
            wal_offset: replayed.wal_offset,
        },
        Wire::Deleted(deleted) => Reply::Deleted {
            instance_id: deleted.instance_id.into(),
            wal_offset: deleted.wal_offset,
        },
        Wire::Flushed(flushed) => Reply::Flushed {
            instances_removed: flushed.instances_removed,
            machines_removed: flushed.machines_removed,
        },
        Wire::Instance(view) => Reply::Instance(view.into()),
        Wire::Instances(page) => Reply::Instances {
            items: page.items.into_iter().map(Into::into).collect(),
            total: page.total,
            has_more: page.has_more,
        },
        Wire::Machine(found) => Reply::Machine {
            machine: found.machine.into(),
            version: found.version,
            definition: found.definition,
            checksum: found.checksum.into(),
        },
        Wire::Machines(page) => Reply::Machines {
            items: page.items.into_iter().map(Into::into).collect(),
        },
        Wire::Batch(batch) => {
            let replies = batch.replies.into_iter().map(TryInto::try_into);
            Reply::Batch(replies.collect::<Result<_, _>>()?)
        }
    })
}

impl From<InstanceView> for wire::InstanceView {
    fn from(view: InstanceView) -> Self {
        Self {
            instance_id: view.instance_id.to_string(),
            machine: view.machine.to_string(),
            version: view.version,
            state: view.state.to_string(),
            ctx: view.ctx,
            created_ms: view.created_ms,
            updated_ms: view.updated_ms,
            last_event_id: view.last_event_id.map(|id| id.to_string()),
            last_wal_offset: view.last_wal_offset,
        }
    }
}

impl From<wire::InstanceView> for InstanceView {
    fn from(view: wire::InstanceView) -> Self {
        Self {
            instance_id: view.instance_id.into(),
            machine: view.machine.into(),
            version: view.version,
            state: view.state.into(),
            ctx: view.ctx,
            created_ms: view.created_ms,
            updated_ms: view.updated_ms,
            last_event_id: view.last_event_id.map(Into::into),
            last_wal_offset: view.last_wal_offset,
        }
    }
}

impl From<InstanceSummary> for wire::InstanceSummary {
    fn from(summary: InstanceSummary) -> Self {
        Self {
            id: summary.id.to_string(),
            machine: summary.machine.to_string(),
            version: summary.version,
            state: summary.state.to_string(),
            created_ms: summary.created_ms,
            updated_ms: summary.updated_ms,
            last_wal_offset: summary.last_wal_offset,
        }
    }
}

impl From<wire::InstanceSummary> for InstanceSummary {
    fn from(summary: wire::InstanceSummary) -> Self {
        Self {
            id: summary.id.into(),
            machine: summary.machine.into(),
            version: summary.version,
            state: summary.state.into(),
            created_ms: summary.created_ms,
            updated_ms: summary.updated_ms,
            last_wal_offset: summary.last_wal_offset,
        }
    }
}

impl From<MachineSummary> for wire::MachineSummary {
    fn from(summary: MachineSummary) -> Self {
        Self {
            machine: summary.machine.to_string(),
            versions: summary.versions,
        }
    }
}

impl From<wire::MachineSummary> for MachineSummary {
    fn from(summary: wire::MachineSummary) -> Self {
        Self {
            machine: summary.machine.into(),
            versions: summary.versions,
        }
    }
}
