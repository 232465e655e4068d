//! clock, clock advance.

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::clock::ClockAdvance;

use crate::Error;
use crate::args::{self, ClockCommand};
use crate::session::Session;

pub(in crate::commands) async fn run(session: &Session, args: args::Clock) -> Result<(), Error> {
    let params = ClockAdvance {
        by: args.command.map(|command| match command {
            ClockCommand::Advance(args) => args.by.into(),
        }),
    };
    session.show(op::CLOCK_ADVANCE, &params).await
}
