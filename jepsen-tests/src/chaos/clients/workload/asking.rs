//! Questions before events: what an order would allow, and what an event would do. None of these requests may change anything.

use serde_json::{Value, json};

use super::{Step, one_of};
use crate::chaos::clients::client::Client;
use crate::load::machines::Machine;

/// What a client has asked so far.
#[derive(Debug, Default)]
pub struct Asking {
    asked: u64,
}

impl Step for Asking {
    fn step(&mut self, client: &mut Client) {
        let id = one_of("order", client);
        if client.rng.percent(40) {
            client.call("ALLOWED_EVENTS", json!({"instance_id": id}));
            return;
        }
        self.asked += 1;
        let tag = format!("a{}.{}", client.number, self.asked);
        let event = *client.rng.pick(&Machine::ORDER_EVENTS);
        let mut params = json!({
            "instance_id": id, "event": event, "payload": {"by": tag}, "event_id": tag, "dry_run": true,
        });
        if client.rng.percent(50) {
            params["idempotency_key"] = Value::from(tag);
        }
        client.call("APPLY_EVENT", params);
    }
}
