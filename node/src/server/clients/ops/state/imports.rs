//! Who may create instances in states of their own.
//!
//! The node that has the client checks it: tokens are its own configuration. A leader trusts the nodes that forward
//! requests, as it does for the name of the client.

use rstmdb_engine::{AskedPart, Command};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;

use crate::replica::Submission;
use crate::server::clients::auth::Bearer;
use crate::server::clients::ops::Job;
use crate::server::clients::shared::ServerShared;

/// Refuses what imports, unless this client may.
pub(crate) fn allowed(
    shared: &ServerShared,
    bearer: Option<&Bearer>,
    job: &Job,
) -> Result<(), ErrorBody> {
    if !imports(job) {
        return Ok(());
    }
    if !shared.tokens.may_import(bearer) {
        let message = "this client may not import: initial_state skips the guards of the machine, so it needs a token of \
                       auth.import_token_hashes in the configuration of this node";
        return Err(ErrorBody::new(Code::Forbidden, message));
    }
    Ok(())
}

fn imports(job: &Job) -> bool {
    match job {
        Job::Write(Submission { command, .. }, _) => command_imports(command),
        Job::BestEffort(steps) => steps.iter().flatten().any(imports),
        _ => false,
    }
}

/// Whether the command creates an instance in a state of its own.
pub(super) fn command_imports(command: &Command) -> bool {
    let part_imports = |part: AskedPart<'_>| match part {
        AskedPart::Write(command) => command_imports(command),
        AskedPart::Read(_) => false,
    };
    match command {
        Command::CreateInstance(create) => create.import.is_some(),
        Command::Batch(ops) => ops.iter().map(AskedPart::from).any(part_imports),
        Command::DryRun(asked) => asked.parts().any(part_imports),
        _ => false,
    }
}
