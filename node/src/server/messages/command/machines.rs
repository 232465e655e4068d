//! PUT_MACHINE, DELETE_MACHINE.

use rstmdb_engine::{Command, DeleteMachine, PutMachine};
use rstmdb_rcp::message::{ErrorBody, machine};
use serde_json::value::RawValue;

use super::{AskedCommand, ParamsText, asked_or_done, read};
use crate::server::messages::meta;

pub(super) fn delete(params: &ParamsText<'_>) -> Result<AskedCommand, ErrorBody> {
    let params: machine::DeleteMachine<'_> = params.read()?;
    let meta = meta::of_params(params.meta);
    let command = Command::DeleteMachine(DeleteMachine {
        machine: params.machine.into_owned(),
        version: params.version,
    });
    Ok(asked_or_done(params.dry_run, command, meta))
}

pub(super) fn put(params: &RawValue) -> Result<AskedCommand, ErrorBody> {
    let params: machine::PutMachine<'_> = read(params)?;
    // The state keeps the definition for ever, so it gets memory of its own.
    let definition = ParamsText::in_buffer(params.definition);
    let (dry_run, meta) = (params.dry_run, meta::of_params(params.meta));
    let command = Command::PutMachine(PutMachine {
        machine: params.machine.into_owned(),
        version: params.version,
        definition: definition.document("definition", params.definition)?,
        checksum: params.checksum.map(Into::into),
    });
    Ok(asked_or_done(dry_run, command, meta))
}
