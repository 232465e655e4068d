//! PUT_MACHINE, GET_MACHINE, LIST_MACHINES.
//!
//! Machines have no lane of their own in a connection's order: these operations are rare, so each counts as touching
//! everything.

use rstmdb_engine::{Command, PutMachine, Query};
use rstmdb_rcp::message::{ErrorBody, machine};
use serde_json::value::RawValue;

use super::{Job, RequestPlan, document, read_params};
use crate::server::clients::order::Touch;

/// PUT_MACHINE.
pub(super) fn put(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    Ok(RequestPlan::write_alone(Command::PutMachine(put_command(
        params,
    )?)))
}

pub(super) fn put_command(params: &RawValue) -> Result<PutMachine, ErrorBody> {
    let params: machine::PutMachine<'_> = read_params(params)?;
    Ok(PutMachine {
        machine: params.machine.into_owned(),
        version: params.version,
        definition: document("definition", params.definition)?,
        checksum: params.checksum.map(Into::into),
    })
}

/// GET_MACHINE.
pub(super) fn get(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: machine::GetMachine<'_> = read_params(params)?;
    let query = Query::GetMachine {
        machine: params.machine.into_owned(),
        version: params.version,
    };
    Ok(RequestPlan::read(
        Touch::Everything,
        Job::Read(query, params.read),
    ))
}

/// LIST_MACHINES.
pub(super) fn list(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: machine::ListMachines = read_params(params)?;
    let query = Query::ListMachines {
        limit: params.limit,
        offset: params.offset,
    };
    Ok(RequestPlan::read(
        Touch::Everything,
        Job::Read(query, params.read),
    ))
}
