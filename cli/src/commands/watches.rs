//! watch-instance, watch-all: in the foreground until Ctrl-C; in the REPL in the background until
//! unwatch.

use futures_util::StreamExt;
use rstmdb_rcp::client::Watch;
use rstmdb_rcp::message::watch::{WatchAll, WatchInstance};

use crate::session::{Session, from_client};
use crate::{Error, args};

pub(super) async fn instance(session: &Session, args: args::WatchInstance) -> Result<(), Error> {
    let params = WatchInstance {
        instance_id: args.instance_id.into(),
        include_ctx: args.no_ctx.then_some(false),
        from_offset: args.from_offset,
    };
    let watch = session.client().await?.watch_instance(&params).await;
    follow(session, watch.map_err(from_client)?).await
}

pub(super) async fn all(session: &Session, args: args::WatchAll) -> Result<(), Error> {
    let names = |names: Vec<String>| names.into_iter().map(Into::into).collect();
    let params = WatchAll {
        machines: names(args.machines),
        from_states: names(args.from_states),
        to_states: names(args.to_states),
        events: names(args.events),
        include_ctx: args.no_ctx.then_some(false),
        from_offset: args.from_offset,
    };
    let watch = session.client().await?.watch_all(&params).await;
    follow(session, watch.map_err(from_client)?).await
}

pub(super) fn unwatch(session: &Session, args: &args::Unwatch) -> Result<(), Error> {
    let Some(watches) = &session.watches else {
        let message =
            "unwatch ends a watch of the REPL; a watch of the command line ends with Ctrl-C";
        return Err(Error::Usage(message.to_owned()));
    };
    let removed = watches.end(&args.subscription_id);
    session
        .out
        .json_line(&rstmdb_rcp::message::watch::UnwatchResult {
            subscription_id: args.subscription_id.as_str().into(),
            removed,
        })
}

async fn follow(session: &Session, watch: Watch) -> Result<(), Error> {
    if let Some(watches) = &session.watches {
        session.out.json(watch.started().get())?;
        watches.begin(watch);
        return Ok(());
    }
    tokio::select! {
        ended = print(session, watch) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Error::Output),
    }
}

async fn print(session: &Session, mut watch: Watch) -> Result<(), Error> {
    while let Some(event) = watch.next().await {
        session.out.json_line(&event.map_err(from_client)?)?;
    }
    Err(Error::NoConnection("the watch has ended".to_owned()))
}
