//! Reads that need not show the newest state, but keep weaker promises.

use serde_json::json;

use super::register::RegisterClient;
use super::{WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;

/// A client that never goes back: it names the highest offset it has seen, whatever node it asks.
#[derive(Debug, Default)]
pub struct Monotonic {
    seen: u64,
    register: RegisterClient,
}

impl WorkloadStep for Monotonic {
    fn step(&mut self, client: &mut ChaosClient) {
        let id = one_of("reg", client);
        if client.rng.percent(15) {
            self.register.write(client, &id, None);
            return;
        }
        let read = json!({
            "instance_id": id, "consistency": "local", "min_wal_offset": self.seen,
        });
        let read = client.result("GET_INSTANCE", read);
        let offset = read.and_then(|read| read["last_wal_offset"].as_u64());
        self.seen = self.seen.max(offset.unwrap_or_default());
    }
}

/// A client that trusts the leader's lease.
#[derive(Debug)]
pub struct Lease;

impl WorkloadStep for Lease {
    fn step(&mut self, client: &mut ChaosClient) {
        let id = one_of("reg", client);
        client.call(
            "GET_INSTANCE",
            json!({"instance_id": id, "consistency": "lease"}),
        );
    }
}
