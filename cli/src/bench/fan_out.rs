//! One event to many watches: the time until the last watch has it.

use std::time::Instant;

use futures_util::StreamExt;
use rstmdb_rcp::client::{Client, Watch};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::watch::WatchInstance;
use tokio::sync::mpsc;

use super::load::{BenchLoad, MeasuredWindow};
use super::plan::{self, BenchPlan};
use super::report::MeasuredLoad;
use crate::Error;
use crate::args::MixedOp;
use crate::session::from_client;

/// Applies one event at a time and waits until every watch has delivered it.
pub(super) async fn run(load: &BenchLoad, plan: &BenchPlan) -> Result<MeasuredLoad, Error> {
    let client = Client::connect(plan.options.clone())
        .await
        .map_err(from_client)?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut watches = tokio::task::JoinSet::new();
    for _ in 0..load.connections {
        let params = WatchInstance {
            instance_id: plan.instance(0).into(),
            ..WatchInstance::default()
        };
        let watch = client.watch_instance(&params).await.map_err(from_client)?;
        watches.spawn(follow(watch, arrived.clone()));
    }
    let params = plan.event(&plan.instance(0), &plan::document(plan.payload)?)?;
    let mut measured = MeasuredLoad::new();
    let window = MeasuredWindow::after_warm_up(load);
    loop {
        let begin = Instant::now();
        if begin >= window.until || load.is_stopped() {
            break;
        }
        client
            .call_raw(op::APPLY_EVENT, &params)
            .await
            .map_err(from_client)?;
        let last = all_arrived(load.connections, plan, &mut arrivals).await?;
        if begin >= window.from {
            measured.answered(MixedOp::Apply, last.saturating_duration_since(begin))?;
        }
    }
    measured.lasted(load.duration);
    watches.abort_all();
    client.close().await;
    Ok(measured)
}

/// Reports each event's arrival; ends with the watch.
async fn follow(mut watch: Watch, arrived: mpsc::UnboundedSender<Result<Instant, Error>>) {
    while let Some(event) = watch.next().await {
        let arrival = event.map(|_| Instant::now()).map_err(from_client);
        if arrived.send(arrival).is_err() {
            break;
        }
    }
}

/// When the last of the watches had the event.
async fn all_arrived(
    count: u32,
    plan: &BenchPlan,
    arrivals: &mut mpsc::UnboundedReceiver<Result<Instant, Error>>,
) -> Result<Instant, Error> {
    let mut last = Instant::now();
    for number in 0..count {
        let arrival = tokio::time::timeout(plan.options.timeout, arrivals.recv()).await;
        match arrival {
            Ok(Some(arrival)) => {
                last = if number == 0 {
                    arrival?
                } else {
                    last.max(arrival?)
                }
            }
            Ok(None) => return Err(Error::NoConnection("all watches have ended".to_owned())),
            Err(_) => {
                let message = format!("only {number} of {count} watches had the event");
                return Err(Error::Timeout(message));
            }
        }
    }
    Ok(last)
}
