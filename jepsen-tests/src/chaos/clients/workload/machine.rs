//! Orders that clients pay, ship and cancel independently.

use serde_json::json;

use super::{WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;
use crate::load::machines::TestMachine;

/// What a client has sent so far.
#[derive(Debug, Default)]
pub struct Orders {
    sent: u64,
}

impl WorkloadStep for Orders {
    fn step(&mut self, client: &mut ChaosClient) {
        let id = one_of("order", client);
        if client.rng.percent(20) {
            client.call("GET_INSTANCE", json!({"instance_id": id}));
            return;
        }
        self.sent += 1;
        let tag = format!("m{}.{}", client.number, self.sent);
        let event = *client.rng.pick(&TestMachine::ORDER_EVENTS);
        let payload = match event {
            // Every third payment is enough.
            "PAY" => json!({"paid_cents": client.rng.below(75)}),
            _ => json!({"by": tag}),
        };
        let params = json!({
            "instance_id": id, "event": event, "payload": payload, "event_id": tag,
        });
        client.call("APPLY_EVENT", params);
    }
}
