//! clock, clock advance.

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::clock::ClockAdvance;

use crate::Error;
use crate::args::{self, ClockCommand};
use crate::session::CliSession;

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::ClockArgs,
) -> Result<(), Error> {
    let by = args
        .command
        .map(|ClockCommand::Advance(args)| args.by.into());
    session.show(op::CLOCK_ADVANCE, &ClockAdvance { by }).await
}
