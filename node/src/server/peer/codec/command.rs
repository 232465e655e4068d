//! Commands on their way to the leader.

use rstmdb_engine::{
    ApplyEvent, BatchOp, Command, CreateInstance, DeleteInstance, PutMachine, Query,
};

use super::{DecodeError, required};
use crate::replica::Forwarded;
use crate::server::peer::wire;

impl From<Command> for wire::Command {
    fn from(command: Command) -> Self {
        use wire::command::Command as Wire;
        let command = match command {
            Command::PutMachine(put) => Wire::PutMachine(wire::PutMachine {
                machine: put.machine,
                version: put.version,
                definition: put.definition,
                checksum: put.checksum,
            }),
            Command::CreateInstance(create) => Wire::CreateInstance(wire::CreateInstance {
                instance_id: create.instance_id,
                id_given: create.id_given,
                machine: create.machine,
                version: create.version,
                initial_ctx: create.initial_ctx,
                idempotency_key: create.idempotency_key,
            }),
            Command::ApplyEvent(apply) => Wire::ApplyEvent(wire::ApplyEvent {
                instance_id: apply.instance_id,
                event: apply.event,
                payload: apply.payload,
                expected_state: apply.expected_state,
                expected_wal_offset: apply.expected_wal_offset,
                event_id: apply.event_id,
                idempotency_key: apply.idempotency_key,
            }),
            Command::DeleteInstance(delete) => Wire::DeleteInstance(wire::DeleteInstance {
                instance_id: delete.instance_id,
                idempotency_key: delete.idempotency_key,
            }),
            Command::FlushAll => Wire::FlushAll(wire::Blank {}),
            Command::Batch(ops) => Wire::Batch(wire::Batch {
                ops: ops.into_iter().map(Into::into).collect(),
            }),
        };
        Self {
            command: Some(command),
        }
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = DecodeError;

    fn try_from(message: wire::Command) -> Result<Self, DecodeError> {
        use wire::command::Command as Wire;
        Ok(match required("Command.command", message.command)? {
            Wire::PutMachine(put) => Self::PutMachine(PutMachine {
                machine: put.machine,
                version: put.version,
                definition: put.definition,
                checksum: put.checksum,
            }),
            Wire::CreateInstance(create) => Self::CreateInstance(CreateInstance {
                instance_id: create.instance_id,
                id_given: create.id_given,
                machine: create.machine,
                version: create.version,
                initial_ctx: create.initial_ctx,
                idempotency_key: create.idempotency_key,
            }),
            Wire::ApplyEvent(apply) => Self::ApplyEvent(ApplyEvent {
                instance_id: apply.instance_id,
                event: apply.event,
                payload: apply.payload,
                expected_state: apply.expected_state,
                expected_wal_offset: apply.expected_wal_offset,
                event_id: apply.event_id,
                idempotency_key: apply.idempotency_key,
            }),
            Wire::DeleteInstance(delete) => Self::DeleteInstance(DeleteInstance {
                instance_id: delete.instance_id,
                idempotency_key: delete.idempotency_key,
            }),
            Wire::FlushAll(_) => Self::FlushAll,
            Wire::Batch(batch) => {
                let ops = batch.ops.into_iter().map(TryInto::try_into);
                Self::Batch(ops.collect::<Result<_, _>>()?)
            }
        })
    }
}

impl From<BatchOp> for wire::BatchOp {
    fn from(op: BatchOp) -> Self {
        use wire::batch_op::Op;
        let op = match op {
            BatchOp::Write(command) => Op::Write(command.into()),
            BatchOp::Read(query) => Op::Read(query.into()),
        };
        Self { op: Some(op) }
    }
}

impl TryFrom<wire::BatchOp> for BatchOp {
    type Error = DecodeError;

    fn try_from(message: wire::BatchOp) -> Result<Self, DecodeError> {
        use wire::batch_op::Op;
        Ok(match required("BatchOp.op", message.op)? {
            Op::Write(command) => Self::Write(command.try_into()?),
            Op::Read(query) => Self::Read(Query::try_from(query)?),
        })
    }
}

impl From<Forwarded> for wire::Forwarded {
    fn from(forwarded: Forwarded) -> Self {
        Self {
            seq: forwarded.seq,
            actor: forwarded.actor.to_string(),
            command: Some(forwarded.command.into()),
        }
    }
}

impl TryFrom<wire::Forwarded> for Forwarded {
    type Error = DecodeError;

    fn try_from(message: wire::Forwarded) -> Result<Self, DecodeError> {
        Ok(Self {
            seq: message.seq,
            command: required("Forwarded.command", message.command)?.try_into()?,
            actor: message.actor.into(),
        })
    }
}
