//! Questions before events: what an order would allow, and what an event would do. None of these requests may change anything.

use serde_json::{Value, json};

use super::{WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;
use crate::load::machines::TestMachine;

/// What a client has asked so far.
#[derive(Debug, Default)]
pub struct AskingClient {
    asked: u64,
}

impl WorkloadStep for AskingClient {
    fn step(&mut self, client: &mut ChaosClient) {
        let (machine, events) = match client.rng.percent(50) {
            true => ("order", &TestMachine::ORDER_EVENTS[..]),
            false => ("parcel", &TestMachine::PARCEL_EVENTS[..]),
        };
        let id = one_of(machine, client);
        if client.rng.percent(40) {
            let mut params = json!({"instance_id": id});
            if machine == "parcel" {
                params["payloads"] = payloads(client);
            }
            client.call("ALLOWED_EVENTS", params);
            return;
        }
        self.asked += 1;
        let tag = format!("a{}.{}", client.number, self.asked);
        let event = *client.rng.pick(events);
        let payload = match event {
            "LOAD" => json!({"by": tag, "kg": client.rng.below(9)}),
            "MOVE" => json!({"by": tag, "stop": client.rng.between(1, 30)}),
            _ => json!({"by": tag}),
        };
        let mut params = json!({
            "instance_id": id, "event": event, "payload": payload, "event_id": tag, "dry_run": true,
        });
        if client.rng.percent(50) {
            params["idempotency_key"] = Value::from(tag);
        }
        client.call("APPLY_EVENT", params);
    }
}

/// What the events of a parcel would come with.
fn payloads(client: &mut ChaosClient) -> Value {
    json!({
        "LOAD": {"kg": client.rng.below(9)},
        "MOVE": {"stop": client.rng.between(1, 30)},
        "SEND": {"by": "asking"},
    })
}
