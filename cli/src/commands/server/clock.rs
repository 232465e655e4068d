//! clock, clock advance.

use std::time::Duration;

use rstmdb_rcp::client::ClientOptions;
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::clock::ClockAdvance;
use serde_json::value::to_raw_value;

use crate::Error;
use crate::args::{self, ClockCommand};
use crate::session::{CliSession, from_client};

/// The server answers an advance within 600 seconds. A command that gave up earlier would tempt its user to repeat it,
/// which advances the clock twice.
const ADVANCE_TIMEOUT: Duration = Duration::from_secs(610);

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::ClockArgs,
) -> Result<(), Error> {
    let Some(ClockCommand::Advance(args)) = args.command else {
        return session
            .show(op::CLOCK_ADVANCE, &ClockAdvance { by: None })
            .await;
    };
    let by = Some(args.by.into());
    let params = to_raw_value(&ClockAdvance { by }).map_err(Error::unexpected)?;
    let options = ClientOptions {
        timeout: session.timeout().max(ADVANCE_TIMEOUT),
        ..session.own_options()
    };
    let client = session.connect(options).await?;
    let answer = client.call_raw(op::CLOCK_ADVANCE, &params).await;
    client.close().await;
    session.print(op::CLOCK_ADVANCE, &answer.map_err(from_client)?.result)
}
