//! The life of one order: defined, created, paid, packed, shipped. Every write has an idempotency key.
//!
//! ```text
//! cargo run --release -- --dev          # in another terminal: a server that keeps nothing
//! cargo run -p rstmdb-rcp --features client --example order_life -- order-1
//! ```
//!
//! Run it twice with the same order: the second run changes nothing and prints `applied: false`, because each
//! step has the same key as before. That is what a program does that crashed and starts over.

use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error};
use rstmdb_rcp::json::to_raw;
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, GetInstance};
use rstmdb_rcp::message::machine::PutMachine;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

type Failure = Box<dyn std::error::Error>;

const ORDER: &str = include_str!("../../docs/examples/order.json");

/// The context of an order. The payloads of PAY and PACK become a part of it.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default)]
    packed: bool,
}

#[derive(Serialize)]
struct Payment {
    method: &'static str,
}

#[derive(Serialize)]
struct Packing {
    packed: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let order = std::env::args().nth(1).ok_or("usage: order_life ORDER")?;
    // As `rstmdb-cli` reads it.
    let addr = std::env::var("RSTMDB_SERVER").unwrap_or_else(|_| "127.0.0.1:7401".to_owned());
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    })
    .await?;
    define(&client).await?;
    create(&client, &order).await?;

    let payment = to_raw(&Payment { method: "card" })?;
    if apply(&client, &order, "PAY", Some(&payment)).await? {
        ship_too_early(&client, &order).await?;
    }
    let packing = to_raw(&Packing { packed: true })?;
    apply(&client, &order, "PACK", Some(&packing)).await?;
    apply(&client, &order, "SHIP", None).await?;

    let read = GetInstance {
        instance_id: order.as_str().into(),
        ..GetInstance::default()
    };
    let instance = client.get_instance(&read).await?.result;
    let ctx: Order = instance.ctx_as()?;
    println!("{order} is {}: {ctx:?}", instance.state);
    client.close().await;
    Ok(())
}

/// The same definition may be put again: nothing changes.
async fn define(client: &Client) -> Result<(), Failure> {
    let definition: Box<RawValue> = serde_json::from_str(ORDER)?;
    let put = PutMachine::new("order", 1, &definition);
    let result = client.put_machine(&put).await?.result;
    println!("machine order, version 1; new: {}", result.created);
    Ok(())
}

async fn create(client: &Client, order: &str) -> Result<(), Failure> {
    let ctx = Order {
        total: 42,
        method: None,
        packed: false,
    };
    let create = CreateInstance {
        instance_id: Some(order.into()),
        machine: "order".into(),
        version: 1,
        initial_ctx: Some(&to_raw(&ctx)?),
        // A retry of this call, by the library or by the next run, gives the first result again.
        idempotency_key: Some(format!("{order}/create").into()),
        ..CreateInstance::default()
    };
    let created = client.create_instance(&create).await?.result;
    println!("{order} created at offset {}", created.wal_offset);
    Ok(())
}

/// A key names one intended change. It must be the same at every retry of that change, and another one for every
/// other change; so it is made of what the change is, never drawn anew for each attempt. Says whether the event took
/// effect now, and not in an earlier run.
async fn apply(
    client: &Client,
    order: &str,
    event: &str,
    payload: Option<&RawValue>,
) -> Result<bool, Failure> {
    let apply = ApplyEvent {
        instance_id: order.into(),
        event: event.into(),
        payload,
        idempotency_key: Some(format!("{order}/{event}").into()),
        ..ApplyEvent::default()
    };
    let result = client.apply_event(&apply).await?.result;
    println!(
        "{event}: {} to {} at offset {}, applied: {}",
        result.from_state, result.to_state, result.wal_offset, result.applied
    );
    Ok(result.applied)
}

/// The guard of SHIP wants a packed order. A refusal is an answer like any other: it changes nothing, and a
/// program looks at its code, never at its message.
async fn ship_too_early(client: &Client, order: &str) -> Result<(), Failure> {
    let ship = ApplyEvent {
        instance_id: order.into(),
        event: "SHIP".into(),
        // No key: a refusal changes nothing, so there is nothing that a retry could repeat.
        ..ApplyEvent::default()
    };
    match client.apply_event(&ship).await {
        Err(Error::Refused(refusal)) if refusal.code == Code::GuardFailed => {
            println!("SHIP is refused: {}", refusal.message);
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(format!("{order} was packed by another program").into()),
    }
}
