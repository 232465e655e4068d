//! A worker that ships paid orders, of which one works at a time: whichever holds the lock `shipping`.
//!
//! ```text
//! cargo run -p rstmdb-rcp --features client --example locked_worker
//! ```
//!
//! Several may run at once. The others wait, and one of them goes on when the worker that holds the lock dies: then the
//! lock expires. Each write carries the lock's fence. So a worker that was paused, and does not know yet that its lock has
//! expired, changes nothing.

use std::time::Duration;

use rstmdb_rcp::client::{Client, ClientOptions, Error, Lock};
use rstmdb_rcp::json::to_raw;
use rstmdb_rcp::message::instance::{ApplyEvent, ListInstances};
use rstmdb_rcp::message::meta::Meta;
use serde::Serialize;
use serde_json::value::RawValue;

type Failure = Box<dyn std::error::Error>;

#[derive(Serialize)]
struct Packing {
    packed: bool,
}

/// How long others wait after this worker has died.
const TTL: Duration = Duration::from_secs(3);
const WAIT_MAX: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // As `rstmdb-cli` reads it.
    let addr = std::env::var("RSTMDB_SERVER").unwrap_or_else(|_| "127.0.0.1:7401".to_owned());
    let client = Client::connect(ClientOptions {
        addrs: addr.split(',').map(str::to_owned).collect(),
        retry_writes: true,
        ..ClientOptions::default()
    })
    .await?;
    let packed = to_raw(&Packing { packed: true })?;
    loop {
        println!("waiting for the lock");
        let lock = client.lock("shipping").ttl(TTL).wait(WAIT_MAX);
        let lock = lock.acquire().await?;
        println!("holding the lock with token {}", lock.token()?);
        let ended = tokio::select! {
            lost = lock.lost() => lost,
            Err(error) = ship(&client, &lock, &packed) => error,
        };
        if !ended.is_lock_lost() {
            lock.release().await?;
            return Err(ended.into());
        }
        println!("{ended}");
    }
}

/// Ships what is paid, for as long as the lock is held.
async fn ship(client: &Client, lock: &Lock, packed: &RawValue) -> Result<(), Error> {
    let paid = ListInstances {
        machine: Some("order".into()),
        state: Some("PAID".into()),
        ..ListInstances::default()
    };
    loop {
        for order in client.list_instances(&paid).await?.result.instances {
            for (event, payload) in [("PACK", Some(packed)), ("SHIP", None)] {
                let step = ApplyEvent {
                    instance_id: order.id.clone(),
                    event: event.into(),
                    payload,
                    meta: Meta::default().fence(lock.fence()?),
                    ..ApplyEvent::default()
                };
                client.apply_event(&step).await?;
            }
            println!("{} is shipped", order.id);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
