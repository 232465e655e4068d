//! Money moved between accounts: the sum of all accounts never changes.

use serde_json::{Value, json};

use super::{SHARED_INSTANCES, WorkloadStep};
use crate::chaos::clients::client::ChaosClient;

/// What every account has at first.
pub const CENTS_EACH: i64 = 1000;

/// What a client has moved so far.
#[derive(Debug, Default)]
pub struct Bank {
    sent: u64,
}

impl WorkloadStep for Bank {
    fn step(&mut self, client: &mut ChaosClient) {
        let Some(read) = client.result("BATCH", read_all()) else {
            return;
        };
        if client.rng.percent(40) {
            return;
        }
        let first = client.rng.below(SHARED_INSTANCES);
        let second = (first + 1 + client.rng.below(SHARED_INSTANCES - 1)) % SHARED_INSTANCES;
        let cents = i64::try_from(client.rng.between(1, 100)).unwrap_or(1);
        self.sent += 1;
        let tag = format!("b{}.{}", client.number, self.sent);
        let halves = [(first, -cents, 0), (second, cents, 1)];
        let ops = halves.map(|(account, change, half)| {
            let seen = &read["results"][usize::try_from(account).unwrap_or_default()]["result"];
            let cents = seen["ctx"]["cents"].as_i64().unwrap_or_default() + change;
            json!({"op": "APPLY_EVENT", "params": {
                "instance_id": format!("acct-{account}"), "event": "SET", "payload": {"cents": cents},
                "expected_wal_offset": seen["last_wal_offset"], "event_id": format!("{tag}.{half}"),
            }})
        });
        client.call("BATCH", json!({"mode": "atomic", "ops": ops}));
    }
}

/// A batch that reads every account at one moment.
pub fn read_all() -> Value {
    let reads = (0..SHARED_INSTANCES).map(|account| {
        json!({"op": "GET_INSTANCE", "params": {"instance_id": format!("acct-{account}")}})
    });
    json!({"mode": "atomic", "ops": reads.collect::<Vec<_>>()})
}
