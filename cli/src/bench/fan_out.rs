//! One event to many watches: the time until the last watch has it.

use std::time::Instant;

use futures_util::StreamExt;
use rstmdb_rcp::client::{Client, Watch};
use rstmdb_rcp::message::watch::WatchInstance;
use tokio::sync::mpsc;

use super::drive::Window;
use super::plan::{Plan, Requests};
use super::report::Measured;
use crate::Error;
use crate::session::from_client;

/// Applies one event at a time and waits until every watch has delivered it.
pub(super) async fn run(plan: &Plan) -> Result<Measured, Error> {
    let client = Client::connect(plan.options.clone())
        .await
        .map_err(from_client)?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut watches = tokio::task::JoinSet::new();
    for _ in 0..plan.connections {
        let params = WatchInstance {
            instance_id: plan.instance(0).into(),
            ..WatchInstance::default()
        };
        let watch = client.watch_instance(&params).await.map_err(from_client)?;
        watches.spawn(follow(watch, arrived.clone()));
    }
    let Requests::Fixed(requests) = plan.requests(0)? else {
        return Err(Error::Failed(
            "watches are not measured by creating".to_owned(),
        ));
    };
    let mut measured = Measured::new()?;
    let window = Window::after_warm_up(plan);
    for (op, params) in requests.iter().cycle() {
        let begin = Instant::now();
        if begin >= window.until || plan.is_stopped() {
            break;
        }
        client.call_raw(op, params).await.map_err(from_client)?;
        let last = all_arrived(plan, &mut arrivals).await?;
        if begin >= window.from {
            measured.answered(last.saturating_duration_since(begin));
        }
    }
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
    plan: &Plan,
    arrivals: &mut mpsc::UnboundedReceiver<Result<Instant, Error>>,
) -> Result<Instant, Error> {
    let mut last = Instant::now();
    for number in 0..plan.connections {
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
                let message = format!(
                    "only {number} of {} watches had the event",
                    plan.connections
                );
                return Err(Error::Timeout(message));
            }
        }
    }
    Ok(last)
}
