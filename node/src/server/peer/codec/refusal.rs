//! Refusals of the engine. A refusal that this version does not know still shows its text.

use rstmdb_engine::Refusal;

use super::{DecodeError, invalid, required};
use crate::server::peer::wire;
use crate::server::peer::wire::refusal::Reason as Wire;

impl From<Refusal> for wire::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            text: refusal.to_string(),
            reason: Some(encode(refusal)),
        }
    }
}

#[rustfmt::skip] // One reason per line pair: as a table it fits a screen.
fn encode(refusal: Refusal) -> Wire {
    match refusal {
        Refusal::BadRequest { field, message } =>
            Wire::BadRequest(wire::BadRequest { field, message }),
        Refusal::MachineNotFound { machine, version } =>
            Wire::MachineNotFound(wire::MachineNotFound { machine, version }),
        Refusal::MachineVersionExists { machine, version } =>
            Wire::MachineVersionExists(wire::MachineVersionExists { machine, version }),
        Refusal::MachineVersionLimitExceeded { machine, versions_max } =>
            Wire::MachineVersionLimit(wire::MachineVersionLimit { machine, versions_max }),
        Refusal::InstanceNotFound { instance_id } =>
            Wire::InstanceNotFound(wire::InstanceNotFound { instance_id }),
        Refusal::InstanceExists { instance_id } =>
            Wire::InstanceExists(wire::InstanceExists { instance_id }),
        Refusal::InvalidTransition { current_state, event } =>
            Wire::InvalidTransition(wire::InvalidTransition { current_state, event }),
        Refusal::GuardFailed { current_state, event, guards } =>
            Wire::GuardFailed(wire::GuardFailed { current_state, event, guards }),
        Refusal::StateConflict { expected_state, actual_state } =>
            Wire::StateConflict(wire::StateConflict { expected_state, actual_state }),
        Refusal::OffsetConflict { expected_wal_offset, actual_wal_offset } =>
            Wire::OffsetConflict(wire::OffsetConflict { expected_wal_offset, actual_wal_offset }),
        Refusal::KeyConflict { idempotency_key, actual_wal_offset } =>
            Wire::KeyConflict(wire::KeyConflict { idempotency_key, actual_wal_offset }),
        Refusal::MachineNotUnderstood { machine, version, reason } =>
            Wire::MachineNotUnderstood(wire::MachineNotUnderstood { machine, version, reason }),
        Refusal::InBatch { index, refusal } => Wire::InBatch(Box::new(wire::InBatch {
            index: index as u64,
            refusal: Some(Box::new((*refusal).into())),
        })),
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = DecodeError;

    fn try_from(message: wire::Refusal) -> Result<Self, DecodeError> {
        match message.reason {
            Some(reason) => decode(reason),
            None if message.text.is_empty() => Err(DecodeError::Missing("Refusal.reason")),
            None => Ok(Self::BadRequest {
                field: None,
                message: message.text,
            }),
        }
    }
}

#[rustfmt::skip] // The same table backwards.
fn decode(reason: Wire) -> Result<Refusal, DecodeError> {
    Ok(match reason {
        Wire::BadRequest(wire::BadRequest { field, message }) =>
            Refusal::BadRequest { field, message },
        Wire::MachineNotFound(wire::MachineNotFound { machine, version }) =>
            Refusal::MachineNotFound { machine, version },
        Wire::MachineVersionExists(wire::MachineVersionExists { machine, version }) =>
            Refusal::MachineVersionExists { machine, version },
        Wire::MachineVersionLimit(wire::MachineVersionLimit { machine, versions_max }) =>
            Refusal::MachineVersionLimitExceeded { machine, versions_max },
        Wire::InstanceNotFound(wire::InstanceNotFound { instance_id }) =>
            Refusal::InstanceNotFound { instance_id },
        Wire::InstanceExists(wire::InstanceExists { instance_id }) =>
            Refusal::InstanceExists { instance_id },
        Wire::InvalidTransition(wire::InvalidTransition { current_state, event }) =>
            Refusal::InvalidTransition { current_state, event },
        Wire::GuardFailed(wire::GuardFailed { current_state, event, guards }) =>
            Refusal::GuardFailed { current_state, event, guards },
        Wire::StateConflict(wire::StateConflict { expected_state, actual_state }) =>
            Refusal::StateConflict { expected_state, actual_state },
        Wire::OffsetConflict(wire::OffsetConflict { expected_wal_offset, actual_wal_offset }) =>
            Refusal::OffsetConflict { expected_wal_offset, actual_wal_offset },
        Wire::KeyConflict(wire::KeyConflict { idempotency_key, actual_wal_offset }) =>
            Refusal::KeyConflict { idempotency_key, actual_wal_offset },
        Wire::MachineNotUnderstood(wire::MachineNotUnderstood { machine, version, reason }) =>
            Refusal::MachineNotUnderstood { machine, version, reason },
        Wire::InBatch(in_batch) => {
            let refusal = required("InBatch.refusal", in_batch.refusal)?;
            let index = usize::try_from(in_batch.index)
                .map_err(|_| invalid("InBatch.index", "it is larger than any batch"))?;
            Refusal::InBatch { index, refusal: Box::new((*refusal).try_into()?) }
        }
    })
}
