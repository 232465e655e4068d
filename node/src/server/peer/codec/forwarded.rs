//! Requests on their way to the leader: as the client sent them.

use rstmdb_engine::Command;
use rstmdb_rcp::message::ErrorBody;

use crate::planted::{self, Bug};
use crate::replica::{Forwarded, Permit, Received};
use crate::server::messages::command::{AskedCommand, NewIds, ParamsText, command};
use crate::server::messages::failure;
use crate::server::messages::op::Op;
use crate::server::peer::wire;

impl From<Forwarded> for wire::Forwarded {
    fn from(forwarded: Forwarded) -> Self {
        let Forwarded {
            seq,
            request,
            actor,
            traceparent,
        } = forwarded;
        Self {
            seq,
            actor: actor.to_string(),
            op: request.op.to_owned(),
            params: request.params,
            new_ids: request.new_ids,
            traceparent: traceparent.unwrap_or_default(),
        }
    }
}

/// Understands a request as one of this node's own clients would be understood.
pub(in super::super) fn received(
    message: wire::Forwarded,
    permit: Permit,
) -> Result<Received, ErrorBody> {
    let unknown = || failure::bad_request("op", &format!("{:?} is no command", message.op));
    let (op, dry_run) = Op::from_forwarded_name(&message.op).ok_or_else(unknown)?;
    let params = ParamsText::owned(&message.params)
        .ok_or_else(|| failure::bad_request("params", "they are no JSON"))?;
    let mut ids = NewIds::sent(message.new_ids);
    let AskedCommand { command, meta } = command(op, &params, &mut ids).ok_or_else(unknown)??;
    // Never execute a request that the other node calls a dry run.
    if dry_run && !matches!(command, Command::DryRun(_)) {
        return Err(failure::bad_request(
            "params.dry_run",
            "the node that forwards it says that it is true",
        ));
    }
    let is_lost = planted::is(Bug::MetadataLostByForwarding);
    Ok(Received {
        seq: message.seq,
        command,
        meta: meta.filter(|_| !is_lost),
        actor: message.actor.into(),
        permit,
        trace: None,
    })
}
