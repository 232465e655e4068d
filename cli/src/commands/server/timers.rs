//! timers list, timers set, timers resume.

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::instance::timers::{TimerList, TimerSet};
use rstmdb_rcp::message::op;
use serde_json::json;
use serde_json::value::RawValue;

use crate::Error;
use crate::args::{self, TimersCommand};
use crate::session::CliSession;

/// The longest page.
const PAGE: u64 = 1000;

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::TimersArgs,
) -> Result<(), Error> {
    match args.command {
        TimersCommand::List(args) => list(session, args).await,
        TimersCommand::Set(args) => set(session, args).await,
        TimersCommand::Resume(args) => {
            let params = TimerSet {
                instance_id: args.instance.id().into(),
                resume: true,
                idempotency_key: args.idempotency_key.map(Into::into),
                meta: args.about.meta(),
                ..TimerSet::default()
            };
            session.show(op::TIMER_SET, &params).await
        }
    }
}

async fn list(session: &CliSession, args: args::TimersList) -> Result<(), Error> {
    let params = TimerList {
        machine: args.machine.name().map(Into::into),
        due_before: args.due_before,
        suspended: args.suspended,
        limit: Some(args.limit),
        after: args.after,
        read: args.freshness.options(),
    };
    if !args.all {
        return session.show(op::TIMER_LIST, &params).await;
    }
    let params = TimerList {
        limit: Some(PAGE),
        ..params
    };
    let next = |params: &mut TimerList<'_>, page: &Json| {
        params.after = serde_json::from_str(&page["next"].to_string())
            .ok()
            .flatten();
        params.after.is_some()
    };
    session.show_all(op::TIMER_LIST, params, next).await
}

async fn set(session: &CliSession, args: args::TimersSet) -> Result<(), Error> {
    let (instance_id, timer) = args.named.clone().both()?;
    let timers = moved(&timer, &args)?;
    let params = TimerSet {
        instance_id: instance_id.into(),
        timers: Some(&timers),
        expected_state: args.expected_state.map(Into::into),
        expected_wal_offset: args.expected_wal_offset,
        idempotency_key: args.idempotency_key.map(Into::into),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
        ..TimerSet::default()
    };
    session.show(op::TIMER_SET, &params).await
}

/// The timer's new time as the protocol wants it.
fn moved(timer: &str, args: &args::TimersSet) -> Result<Box<RawValue>, Error> {
    let to = match (&args.after, &args.at) {
        (Some(after), _) => json!({ "after": after }),
        (None, Some(at)) => match at.parse::<u64>() {
            Ok(ms) => json!({ "at": ms }),
            Err(_) => json!({ "at": at }),
        },
        (None, None) => json!(null),
    };
    let text = json!({ timer: to }).to_string();
    RawValue::from_string(text).map_err(Error::unexpected)
}
