//! watch-instance, watch-all: in the foreground until Ctrl-C; in the REPL in the background until
//! unwatch.

use rstmdb_rcp::client::{Watch, WatchItem};
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::watch::{Include, Progress, WatchAll, WatchInstance};
use rstmdb_rcp::text::printable;

use crate::render::output::DrawnLines;
use crate::render::view;
use crate::session::filters::NamesInFilter;
use crate::session::watches::RunningWatch;
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
    let what = format!("instance {}", args.instance.id());
    let watch = session.client().await?.watch_instance(&params).await;
    follow(
        session,
        watch.map_err(from_client)?,
        what,
        args.how.progress,
    )
    .await
}

pub(super) async fn all(session: &CliSession, args: args::WatchAllArgs) -> Result<(), Error> {
    let filter = NamesInFilter {
        machines: args.machines().to_vec(),
        states: [&*args.from_states, &args.to_states].concat(),
        events: args.events.clone(),
    };
    let what = match args.machines() {
        [] => "all machines".to_owned(),
        machines => machines.join(", "),
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
    follow(session, watch, what, args.how.progress).await
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
    let id = match &args.subscription_id {
        Some(id) => id.clone(),
        None => match &*watches.running() {
            [] => return Err(Error::Usage("no watch is running".to_owned())),
            [only] => only.id.clone(),
            running => {
                let text = format!("several watches are running: {}", several(running));
                return Err(Error::Usage(text));
            }
        },
    };
    let removed = watches.end(&id);
    if !session.out.for_programs() {
        let id = printable(&id);
        return session.out.line(&match removed {
            true => format!("watch {id} has ended"),
            false => format!("there is no watch {id}"),
        });
    }
    session
        .out
        .value(&rstmdb_rcp::message::watch::UnwatchResult {
            subscription_id: id.into(),
            removed,
        })
}

/// The ids of several watches and what they watch, and how one of them is ended.
pub fn several(running: &[RunningWatch]) -> String {
    let names = running
        .iter()
        .map(|watch| format!("{} ({})", watch.id, watch.what));
    let names: Vec<String> = names.collect();
    printable(&format!("{}; `unwatch ID` ends one", names.join(", ")))
}

async fn follow(
    session: &CliSession,
    watch: Watch,
    what: String,
    progress: bool,
) -> Result<(), Error> {
    if let Some(watches) = &session.watches {
        if session.out.for_programs() {
            session.out.json(watch.started().get())?;
        } else {
            let line = format!(
                "watching {what} as {}; Ctrl-C on an empty line or `unwatch` ends it",
                watch.subscription_id()
            );
            session
                .out
                .line(&session.out.paint.dim(&printable(&line)))?;
        }
        watches.begin(watch, what, session.out);
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
    let mut lines = DrawnLines::default();
    if progress && for_programs {
        session.out.json_item(watch.started().get())?;
    }
    while let Some(item) = watch.next_item().await {
        match item.map_err(from_client)? {
            WatchItem::Event(event) if !for_programs => {
                let text = serde_json::to_string(&event).map_err(Error::unexpected)?;
                let event = Json::parse(&text).map_err(Error::unexpected)?;
                lines.draw(&session.out, session.paint(), |paint| {
                    view::watched(&event, paint)
                })?;
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
