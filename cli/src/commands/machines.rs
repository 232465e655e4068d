//! put-machine, get-machine, list-machines.

use rstmdb_rcp::message::machine::{GetMachine, ListMachines, PutMachine};
use rstmdb_rcp::message::op;

use crate::session::Session;
use crate::{Error, args, input};

pub(super) async fn put(session: &Session, args: args::PutMachine) -> Result<(), Error> {
    let definition = input::json_argument("DEFINITION", &args.definition)?;
    let params = PutMachine {
        dry_run: args.ask.dry_run,
        ..PutMachine::new(args.name, args.version, &definition)
    };
    session.show(op::PUT_MACHINE, &params).await
}

pub(super) async fn get(session: &Session, args: &args::GetMachine) -> Result<(), Error> {
    let params = GetMachine {
        machine: args.name().into(),
        version: args.version(),
        read: args.freshness.options(),
    };
    session.show(op::GET_MACHINE, &params).await
}

pub(super) async fn list(session: &Session, args: &args::ListMachines) -> Result<(), Error> {
    let params = ListMachines {
        read: args.freshness.options(),
        ..ListMachines::default()
    };
    session.show(op::LIST_MACHINES, &params).await
}
