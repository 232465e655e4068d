//! lock acquire, lock renew, lock release, lock get, lock list, lock run.

mod run;

use std::time::Duration;

use jiff::Timestamp;
use rstmdb_rcp::Code;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::locks::{LockAcquire, LockGet, LockList, LockRelease, LockRenew};
use rstmdb_rcp::message::op;
use rstmdb_rcp::text::printable;
use serde_json::Value;

use crate::Error;
use crate::args::{self, LockCommandArgs};
use crate::session::CliSession;

/// The longest page.
const PAGE: u64 = 1000;

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::LockArgs,
) -> Result<(), Error> {
    match args.command {
        LockCommandArgs::Acquire(args) => acquire(session, args).await.map_err(if_held),
        LockCommandArgs::Renew(args) => {
            let params = LockRenew {
                name: args.name.into(),
                token: args.lock_token,
                ttl_ms: args.ttl.map(millis),
                meta: args.about.meta(),
            };
            session.show(op::LOCK_RENEW, &params).await.map_err(if_lost)
        }
        LockCommandArgs::Release(args) => {
            let params = LockRelease {
                name: args.name.into(),
                token: args.lock_token,
                meta: args.about.meta(),
            };
            session
                .show(op::LOCK_RELEASE, &params)
                .await
                .map_err(if_lost)
        }
        LockCommandArgs::Get(args) => get(session, args).await,
        LockCommandArgs::List(args) => {
            let params = LockList {
                prefix: args.prefix.map(Into::into),
                limit: Some(args.limit),
                after: args.after.map(Into::into),
                read: args.freshness.options(),
            };
            if !args.all {
                return session.show(op::LOCK_LIST, &params).await;
            }
            let params = LockList {
                limit: Some(PAGE),
                ..params
            };
            let next = |params: &mut LockList<'_>, page: &Json| {
                let next = page["next"].as_str();
                params.after = next.map(|name| name.to_owned().into());
                next.is_some()
            };
            session.show_all(op::LOCK_LIST, params, next).await
        }
        LockCommandArgs::Run(args) => run::run(session, args).await.map_err(if_held),
    }
}

async fn get(session: &CliSession, args: args::LockGetArgs) -> Result<(), Error> {
    let params = LockGet {
        name: args.name.as_str().into(),
        read: args.freshness.options(),
    };
    let answer = session.call(op::LOCK_GET, &params).await?;
    let found = Json::parse(answer.result.get()).map_err(Error::unexpected)?;
    if found["locks"].items().is_empty() && !session.out.for_programs() {
        let free = printable(&format!("lock {:?} is free", args.name));
        return session.out.line(&free);
    }
    session.print(op::LOCK_GET, &answer.result)
}

async fn acquire(session: &CliSession, args: args::LockAcquireArgs) -> Result<(), Error> {
    let owner = args.owner.unwrap_or_else(|| {
        let unique = uuid::Uuid::new_v4().simple();
        format!("rstmdb-cli-{unique}")
    });
    let params = LockAcquire {
        name: args.how.name.into(),
        owner: owner.into(),
        ttl_ms: millis(args.how.ttl),
        wait_ms: args.how.wait.map(millis),
        meta: args.how.about.meta(),
    };
    session.show(op::LOCK_ACQUIRE, &params).await
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// That another owner holds the lock has an exit code of its own. The server tells the time in milliseconds.
fn if_held(error: Error) -> Error {
    match error {
        Error::Refused(mut body) if body.code == Code::LockHeld => {
            if let Some(said) = body.details.as_ref().and_then(held) {
                body.message = said.into();
            }
            Error::LockHeld(body)
        }
        error => error,
    }
}

/// Who holds the lock, for people.
fn held(details: &Value) -> Option<String> {
    let expires = Timestamp::from_millisecond(details["expires_at"].as_i64()?).ok()?;
    let expires = expires.strftime("%Y-%m-%d %H:%M:%SZ");
    let (name, owner) = (&details["name"], &details["owner"]);
    Some(format!("lock {name} is held by {owner} until {expires}"))
}

/// That the lock is lost has an exit code of its own.
fn if_lost(error: Error) -> Error {
    match error {
        Error::Refused(body) if body.code == Code::LockLost => Error::LockLost {
            said: body.to_string(),
            body: Some(body),
        },
        error => error,
    }
}
