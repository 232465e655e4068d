//! automation, automation pause, automation resume.

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::automation::Automation;

use crate::Error;
use crate::args::{self, AutomationCommand};
use crate::session::CliSession;

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::AutomationArgs,
) -> Result<(), Error> {
    let params = match args.command {
        None | Some(AutomationCommand::Status) => Automation::default(),
        Some(AutomationCommand::Pause(args)) => Automation {
            set: Some("paused".into()),
            meta: args.about.meta(),
            ..Automation::default()
        },
        Some(AutomationCommand::Resume(args)) => Automation {
            set: Some("running".into()),
            meta: args.about.meta(),
            skip_overdue: args.skip_overdue.then_some(true),
            shift_timers: args.shift_timers.then_some(true),
        },
    };
    session.show(op::AUTOMATION, &params).await
}
