//! Reads, writes and compare-and-set of instances that hold one value, and writes in pipelines.

use serde_json::{Value, json};

use super::{WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;
use crate::chaos::history::Workload;

/// Few, because the search tries them in many orders.
const PIPELINED_MAX: u64 = 4;

/// Every value is written once in a run, so a read says which write it saw.
#[derive(Debug, Default)]
pub struct RegisterClient {
    written: u64,
}

impl WorkloadStep for RegisterClient {
    fn step(&mut self, client: &mut ChaosClient) {
        let id = one_of("reg", client);
        match client.rng.below(100) {
            0..45 => drop(client.call("GET_INSTANCE", json!({"instance_id": id}))),
            45..70 => self.write(client, &id, None),
            70..75 => self.pipeline(client, &id),
            _ => {
                let seen = client.result("GET_INSTANCE", json!({"instance_id": id}));
                if let Some(offset) = seen.and_then(|seen| seen["last_wal_offset"].as_u64()) {
                    self.write(client, &id, Some(offset));
                }
            }
        }
    }
}

impl RegisterClient {
    /// Writes a value that no other request writes, if the instance is as it was at `expected`.
    pub fn write(&mut self, client: &mut ChaosClient, id: &str, expected: Option<u64>) {
        let mut params = self.event(client, id);
        if let Some(expected) = expected {
            params["expected_wal_offset"] = Value::from(expected);
        }
        client.call_for(Workload::Register, "APPLY_EVENT", params);
    }

    /// Writes more than once without waiting: they take effect in this order. Some have a key, because a node
    /// whose leader is gone retries only those.
    fn pipeline(&mut self, client: &mut ChaosClient, id: &str) {
        let count = client.rng.between(2, PIPELINED_MAX);
        let events = (0..count).map(|_| {
            let mut event = self.event(client, id);
            if client.rng.percent(70) {
                event["idempotency_key"] = event["event_id"].clone();
            }
            event
        });
        let events = events.collect();
        client.pipeline("APPLY_EVENT", events);
    }

    fn event(&mut self, client: &ChaosClient, id: &str) -> Value {
        self.written += 1;
        let (number, written) = (u64::from(client.number), self.written);
        json!({
            "instance_id": id, "event": "SET",
            "payload": {"v": number * 1_000_000_000 + written},
            "event_id": format!("r{number}.{written}"),
        })
    }
}
