//! watch-instance, watch-all: in the foreground until Ctrl-C; in the REPL in the background until
//! unwatch.

use rstmdb_rcp::client::{Watch, WatchItem};
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::watch::{Include, Progress, WatchAll, WatchInstance};

use crate::render::view;
use crate::session::filters::NamesInFilter;
use crate::session::{CliSession, from_client};
use crate::{Error, args};

pub(super) async fn instance(
    session: &CliSession,
    args: args::WatchInstanceArgs,
) -> Result<(), Error> {
    let params = WatchInstance {
        instance_id: args.instance.id().into(),
        include_ctx: args.how.no_ctx.then_some(false),
        from_offset: args.how.from_offset,
        cluster_id: args.how.cluster_id.map(Into::into),
        include: include(&args.how.include),
        include_meta: args.how.meta.then_some(true),
    };
    let watch = session.client().await?.watch_instance(&params).await;
    follow(session, watch.map_err(from_client)?, args.how.progress).await
}

pub(super) async fn all(session: &CliSession, args: args::WatchAllArgs) -> Result<(), Error> {
    let filter = NamesInFilter {
        machines: args.machines().to_vec(),
        states: [&*args.from_states, &args.to_states].concat(),
        events: args.events.clone(),
    };
    let machines = args.machines().iter();
    let machines = machines.map(|name| name.clone().into()).collect();
    let names = |names: Vec<String>| names.into_iter().map(Into::into).collect();
    let params = WatchAll {
        machines,
        from_states: names(args.from_states),
        to_states: names(args.to_states),
        events: names(args.events),
        emits: names(args.emits),
        include_ctx: args.how.no_ctx.then_some(false),
        from_offset: args.how.from_offset,
        cluster_id: args.how.cluster_id.map(Into::into),
        include: include(&args.how.include),
        include_meta: args.how.meta.then_some(true),
    };
    let watch = session.client().await?.watch_all(&params).await;
    let watch = watch.map_err(from_client)?;
    let asks = session.clone();
    // Beside the watch: events do not wait for it.
    tokio::spawn(async move { asks.warn_of(&filter).await });
    follow(session, watch, args.how.progress).await
}

fn include(kinds: &[args::WatchedKind]) -> Option<Vec<Include>> {
    let kinds = kinds.iter().map(|kind| kind.include());
    let include: Vec<_> = kinds.collect();
    (!include.is_empty()).then_some(include)
}

pub(super) fn unwatch(session: &CliSession, args: &args::UnwatchArgs) -> Result<(), Error> {
    let Some(watches) = &session.watches else {
        let message = "unwatch works in the REPL only; Ctrl-C ends a watch of the command line";
        return Err(Error::Usage(message.to_owned()));
    };
    let removed = watches.end(&args.subscription_id);
    session
        .out
        .value(&rstmdb_rcp::message::watch::UnwatchResult {
            subscription_id: args.subscription_id.as_str().into(),
            removed,
        })
}

async fn follow(session: &CliSession, watch: Watch, progress: bool) -> Result<(), Error> {
    if let Some(watches) = &session.watches {
        session.out.json(watch.started().get())?;
        watches.begin(watch);
        return Ok(());
    }
    tokio::select! {
        // First, so that the signal is taken before the first event is printed.
        biased;
        interrupted = session.interrupted() => interrupted,
        ended = print(session, watch, progress) => ended,
    }
}

async fn print(session: &CliSession, mut watch: Watch, progress: bool) -> Result<(), Error> {
    let for_programs = session.out.for_programs();
    if progress && for_programs {
        session.out.json_item(watch.started().get())?;
    }
    while let Some(item) = watch.next_item().await {
        match item.map_err(from_client)? {
            WatchItem::Event(event) if !for_programs => {
                let text = serde_json::to_string(&event).map_err(Error::unexpected)?;
                let event = Json::parse(&text).map_err(Error::unexpected)?;
                let line = view::watched(&event, session.out.paint);
                session.out.line(&line)?;
            }
            WatchItem::Event(event) => session.out.item(&event)?,
            WatchItem::Progress { wal_offset } if progress && !for_programs => {
                let line = format!("read up to offset {wal_offset}");
                session.out.line(&session.out.paint.dim(&line))?;
            }
            WatchItem::Progress { wal_offset } if progress => {
                session.out.item(&Progress {
                    subscription_id: watch.subscription_id().into(),
                    wal_offset,
                })?;
            }
            WatchItem::Progress { .. } => {}
        }
    }
    Err(Error::NoConnection("the watch has ended".to_owned()))
}
