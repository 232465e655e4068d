//! Requests on their way to the leader: as the client sent them.

use std::sync::Arc;

use rstmdb_engine::{Command, Reach};
use rstmdb_rcp::message::ErrorBody;

use crate::planted::{self, Bug};
use crate::replica::{Caller, Forwarded, Permit, Received};
use crate::server::messages::command::{AskedCommand, NewIds, ParamsText, command};
use crate::server::messages::failure;
use crate::server::messages::op::Op;
use crate::server::peer::wire;

/// Follows the name of an operation whose client is limited to some machines. A node that does not know limits knows no
/// operation of this name. Under the operation's own name that node would do it for any machine.
pub(in super::super) const LIMITED: &str = " within machines";

fn reach_out(reach: &Reach) -> wire::Reach {
    let Reach { read, write, watch } = reach;
    let [read, write, watch] =
        [read, write, watch].map(|names| names.iter().map(str::to_owned).collect());
    wire::Reach { read, write, watch }
}

fn reach_in(reach: wire::Reach) -> Arc<Reach> {
    Arc::new(Reach {
        read: reach.read.into_iter().collect(),
        write: reach.write.into_iter().collect(),
        watch: reach.watch.into_iter().collect(),
    })
}

impl From<Forwarded> for wire::Forwarded {
    fn from(forwarded: Forwarded) -> Self {
        let Forwarded {
            seq,
            request,
            caller,
            traceparent,
        } = forwarded;
        Self {
            seq,
            actor: caller.actor.to_string(),
            op: match caller.reach {
                Some(_) => format!("{}{LIMITED}", request.op),
                None => request.op.to_owned(),
            },
            params: request.params,
            new_ids: request.new_ids,
            reach: caller.reach.map(|reach| reach_out(&reach)),
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
    // What is limited has a name of its own, and nothing else has it: a request whose limits are lost is refused.
    let name = match (&message.reach, message.op.strip_suffix(LIMITED)) {
        (Some(_), Some(name)) => name,
        (None, None) => &message.op,
        _ => return Err(unknown()),
    };
    let (op, dry_run) = Op::from_forwarded_name(name).ok_or_else(unknown)?;
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
        caller: Caller {
            actor: message.actor.into(),
            reach: message.reach.map(reach_in),
        },
        permit,
        trace: None,
    })
}
