//! APPLY_EVENT.

use rstmdb_engine::{ApplyEvent, Command};
use rstmdb_rcp::message::{ErrorBody, instance};
use serde_json::value::RawValue;

use super::{RequestPlan, document, read_params, touch};

/// APPLY_EVENT.
pub(super) fn apply(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: instance::ApplyEvent<'_> = read_params(params)?;
    let payload = match params.payload {
        Some(payload) => Some(document("payload", payload)?),
        None => None,
    };
    let touch = touch(&params.instance_id);
    let command = Command::ApplyEvent(ApplyEvent {
        instance_id: params.instance_id.into_owned(),
        event: params.event.into_owned(),
        payload,
        expected_state: params.expected_state.map(Into::into),
        expected_wal_offset: params.expected_wal_offset,
        event_id: params.event_id.map(Into::into),
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    Ok(RequestPlan::write(touch, command))
}
