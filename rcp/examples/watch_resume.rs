//! A watcher that may be killed at any time and goes on where it was.
//!
//! ```text
//! cargo run -p rstmdb-rcp --features client --example watch_resume -- position.json
//! ```
//!
//! While the program runs, the library keeps the position: a lost connection or node costs nothing. What must
//! survive the program is in the file: the offset to go on at, and the id of the cluster it belongs to.
//!
//! The program stores the position after it has handled an event. The position is that event's own offset, because the
//! events of one atomic batch share an offset. A notice of progress moves the position on. So after a restart the last
//! events can come again. Handle them so that doing it twice is harmless, for example by storing offset and instance
//! together with the effect.

use std::fs;
use std::path::Path;

use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error, Watch, WatchItem};
use rstmdb_rcp::message::watch::{Event, WatchAll};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error>;

/// What this program reads of the context of an order. Other fields are ignored.
#[derive(Deserialize)]
struct Order {
    total: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Position {
    cluster_id: Option<String>,
    from_offset: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let file = std::env::args()
        .nth(1)
        .ok_or("usage: watch_resume FILE, which keeps the position")?;
    let file = Path::new(&file);
    // As `rstmdb-cli` reads it.
    let addr = std::env::var("RSTMDB_SERVER").unwrap_or_else(|_| "127.0.0.1:7401".to_owned());
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    })
    .await?;
    let mut watch = begin(&client, load(file)?).await?;
    while let Some(item) = watch.next_item().await {
        match item {
            Ok(WatchItem::Event(event)) => handle(&event)?,
            // Nothing matched lately. Storing this keeps the position ahead of what retention removes.
            Ok(WatchItem::Progress { .. }) => {}
            Err(error) => return Err(explained(&error).into()),
        }
        store(file, &watch)?;
    }
    Ok(())
}

/// Goes on at the stored position; without one at the earliest event that is kept.
async fn begin(client: &Client, stored: Option<Position>) -> Result<Watch, Failure> {
    let watch = WatchAll {
        machines: vec!["order".into()],
        from_offset: Some(stored.as_ref().map_or(0, |stored| stored.from_offset)),
        // Named, so that another cluster at the same address is noticed and not read by mistake.
        cluster_id: stored.and_then(|stored| stored.cluster_id.map(Into::into)),
        ..WatchAll::default()
    };
    let begun = client.watch_all(&watch).await;
    begun.map_err(|error| explained(&error).into())
}

fn handle(event: &Event<'_>) -> Result<(), Error> {
    let order: Order = event.ctx_as()?;
    let total = order.total.unwrap_or_default();
    println!(
        "{}: over {total}: {} is {} by {}",
        event.wal_offset, event.instance_id, event.to_state, event.event
    );
    Ok(())
}

/// The two ends of a watch that need a decision; no retry helps there.
fn explained(error: &Error) -> String {
    let code = match error {
        Error::Refused(refusal) => Some(&refusal.code),
        _ => None,
    };
    match code {
        Some(Code::OffsetCompacted) => {
            format!("{error}; events are lost to this watcher: read the instances, then start anew")
        }
        Some(Code::OffsetAhead) => {
            format!("{error}; another or a restored cluster: remove the position and start anew")
        }
        _ => error.to_string(),
    }
}

fn load(file: &Path) -> Result<Option<Position>, Failure> {
    if !file.exists() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&fs::read(file)?)?))
}

/// Replaces the file as a whole: a crash leaves the old position or the new one.
fn store(file: &Path, watch: &Watch) -> Result<(), Failure> {
    let position = Position {
        cluster_id: watch.cluster_id().map(str::to_owned),
        from_offset: watch.resume_offset(),
    };
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(&position)?)?;
    fs::rename(&new, file)?;
    Ok(())
}
