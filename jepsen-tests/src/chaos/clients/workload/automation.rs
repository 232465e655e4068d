//! Automation paused and resumed by several clients, each of which looks at it again and again.

use serde_json::json;

use super::WorkloadStep;
use crate::chaos::clients::client::ChaosClient;

/// What a client has set so far.
#[derive(Debug, Default)]
pub struct AutomationClient {
    set: u64,
}

impl WorkloadStep for AutomationClient {
    fn step(&mut self, client: &mut ChaosClient) {
        if client.rng.percent(60) {
            client.call("AUTOMATION", json!({}));
            return;
        }
        self.set += 1;
        let word = *client.rng.pick(&["paused", "running"]);
        let reason = format!("f{}.{}", client.number, self.set);
        client.call("AUTOMATION", json!({"set": word, "reason": reason}));
    }
}
