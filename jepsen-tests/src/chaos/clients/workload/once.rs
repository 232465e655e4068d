//! Writes with a key, sent until answered. Some are sent again much later.

use serde_json::{Value, json};

use super::{WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;
use crate::chaos::history::RequestOutcome;

/// How many of its answered writes a client remembers.
const REMEMBERED: usize = 200;

/// A client that does not give up.
#[derive(Debug, Default)]
pub struct Once {
    sent: u64,
    answered: Vec<(&'static str, Value)>,
}

impl WorkloadStep for Once {
    fn step(&mut self, client: &mut ChaosClient) {
        if client.rng.percent(10) && !self.answered.is_empty() {
            let (op, params) = client.rng.pick(&self.answered).clone();
            client.call(op, params);
            return;
        }
        let (op, params) = self.next(client);
        loop {
            match client.call(op, params.clone()) {
                None => return,
                Some(RequestOutcome::Ok(_)) => break,
                // Before the cluster is at the level, no attempt would be taken.
                Some(RequestOutcome::Refused { code, .. }) if code == "FEATURE_LEVEL" => return,
                Some(RequestOutcome::Refused { .. } | RequestOutcome::Unknown { .. }) => {}
            }
        }
        let place = client.rng.index(REMEMBERED);
        if self.answered.len() < REMEMBERED {
            self.answered.push((op, params));
        } else {
            self.answered[place] = (op, params);
        }
    }
}

impl Once {
    fn next(&mut self, client: &mut ChaosClient) -> (&'static str, Value) {
        self.sent += 1;
        let tag = format!("o{}.{}", client.number, self.sent);
        if client.rng.percent(20) {
            let create = json!({
                "machine": "counter", "version": 1, "instance_id": format!("once-{tag}"),
                "initial_ctx": {"tag": tag}, "idempotency_key": tag,
            });
            return ("CREATE_INSTANCE", create);
        }
        let set = json!({
            "instance_id": one_of("once", client), "event": "SET", "payload": {"n": tag},
            "event_id": tag, "idempotency_key": tag,
        });
        ("APPLY_EVENT", set)
    }
}
