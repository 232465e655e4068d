//! A worker that packs and ships every paid order, and retries until each step is done or refused for good.
//!
//! ```text
//! cargo run -p rstmdb-rcp --features client --example retrying_worker
//! ```
//!
//! Several may run at once, and each may be killed at any time: the idempotency keys are made of the order and of
//! the offset of the event that asked for the work, so all of them ask for the same change, and it is made once.

use std::time::Duration;

use futures_util::StreamExt;
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error};
use rstmdb_rcp::json::to_raw;
use rstmdb_rcp::message::instance::ApplyEvent;
use rstmdb_rcp::message::watch::{Event, WatchAll};
use serde::Serialize;
use serde_json::value::RawValue;

type Failure = Box<dyn std::error::Error>;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Packing {
    packed: bool,
}

/// How a step ended.
enum Step {
    /// It is done, by this call or by an earlier one with the same key.
    Done,
    /// The order cannot take it any more, for example because it was cancelled meanwhile.
    Refused(Code),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // As `rstmdb-cli` reads it.
    let addr = std::env::var("RSTMDB_SERVER").unwrap_or_else(|_| "127.0.0.1:7401".to_owned());
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    })
    .await?;
    let packed = to_raw(&Packing { packed: true })?;
    let paid = WatchAll {
        machines: vec!["order".into()],
        events: vec!["PAY".into()],
        from_offset: Some(0),
        ..WatchAll::default()
    };
    let mut watch = client.watch_all(&paid).await?;
    while let Some(event) = watch.next().await {
        let event = event?;
        let mut last = retried(&client, &step(&event, "PACK", Some(&packed))).await?;
        if matches!(last, Step::Done) {
            last = retried(&client, &step(&event, "SHIP", None)).await?;
        }
        match last {
            Step::Done => println!("{} is shipped", event.instance_id),
            Step::Refused(code) => println!("{} is left alone: {code}", event.instance_id),
        }
    }
    Ok(())
}

fn step<'a>(
    paid: &'a Event<'_>,
    event: &'static str,
    payload: Option<&'a RawValue>,
) -> ApplyEvent<'a> {
    ApplyEvent {
        instance_id: (*paid.instance_id).into(),
        event: event.into(),
        payload,
        idempotency_key: Some(format!("worker/{event}/{}", paid.wal_offset).into()),
        ..ApplyEvent::default()
    }
}

/// Tries until the step is done or refused for good. The library itself retries within one call, up to
/// [`ClientOptions::timeout`]; this goes on after that, for a worker that has nothing better to do than to wait.
async fn retried(client: &Client, apply: &ApplyEvent<'_>) -> Result<Step, Error> {
    let mut pause = PAUSE_MIN;
    loop {
        let error = match client.apply_event(apply).await {
            Ok(_) => return Ok(Step::Done),
            Err(error) => error,
        };
        match &error {
            Error::Refused(refusal) if is_final(&refusal.code) => {
                return Ok(Step::Refused(refusal.code.clone()));
            }
            // Safe also when the outcome is unknown: with the key a repeated event takes effect once.
            error if error.is_retryable() => {}
            _ => return Err(error),
        }
        eprintln!(
            "{} of {}: {error}; next try in {pause:?}",
            apply.event, apply.instance_id
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What the data says no to. A `CONFLICT` would mean that the key names another change: a fault of the worker.
fn is_final(code: &Code) -> bool {
    matches!(
        code,
        Code::InvalidTransition | Code::GuardFailed | Code::InstanceNotFound
    )
}
