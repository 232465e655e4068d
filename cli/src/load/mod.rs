//! load: runs a file of operations, pipelined, in the file's order for each instance.
//!
//! An operation waits until the one before it on the same instance was answered; operations on
//! different instances are in flight together. So retries do not change the order, and the load knows of a
//! refusal before it sends the next operation of that instance. Operations that touch more than one instance
//! (PUT_MACHINE, BATCH, FLUSH_ALL) wait for all operations before them, and all later ones wait for them.
//!
//! After a lost connection or a retryable refusal the client library retries, as far as the line's
//! idempotency key makes that harmless. If the outcome of a line without a key is unknown, the load ends with
//! exit code 4.
//!
//! | module | subject |
//! |---|---|
//! | [`reader`] | lines of a file, read and checked on a thread of its own |
//! | [`lanes`] | when an operation may be sent |
//! | `sink` | sending |
//! | [`import`] | rows of a file as instances in the states that they have elsewhere |
//! | `progress` | the bar and the summary |

pub mod import;
pub mod lanes;
mod progress;
pub mod reader;
mod sink;

use std::time::Instant;

use rstmdb_rcp::client::ClientOptions;

use crate::session::CliSession;
use crate::{Error, args};
use lanes::LoadLimits;
use progress::{LoadProgress, LoadSummary};
use sink::ClientSink;

/// Lines that may wait for the one before them, for each operation in flight.
const WAITING_PER_IN_FLIGHT: usize = 16;

/// Runs the file.
pub async fn run(session: &CliSession, args: args::LoadArgs) -> Result<(), Error> {
    let (mut lines, size) = reader::spawn(&args.file)?;
    let options = ClientOptions {
        timeout: args.retry_for.max(session.timeout()),
        ..session.own_options()
    };
    let sink = ClientSink::connect(session, &options, args.connections as usize).await?;
    let in_flight = args.in_flight as usize;
    let limits = LoadLimits {
        in_flight,
        waiting: in_flight * WAITING_PER_IN_FLIGHT,
        continue_on_error: args.continue_on_error,
    };
    let begin = Instant::now();
    let mut progress = LoadProgress::new(size);
    let run = lanes::run(&mut lines, &sink, limits, &mut progress);
    let outcome = tokio::select! {
        outcome = run => outcome,
        _ = tokio::signal::ctrl_c() => Err(Error::Failed(
            "interrupted. Load the file again: an operation with an idempotency key does not take effect twice".to_owned(),
        )),
    };
    let totals = progress.finish();
    sink.close().await;
    LoadSummary::new(&totals, begin.elapsed()).print(session)?;
    outcome?;
    if totals.refused > 0 {
        let refused = match totals.refused {
            1 => "1 operation was refused".to_owned(),
            refused => format!("{refused} operations were refused"),
        };
        return Err(Error::Failed(refused));
    }
    Ok(())
}
