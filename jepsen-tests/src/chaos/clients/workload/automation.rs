//! Automation paused and resumed by several clients, each of which looks at it again and again.

use serde_json::json;

use super::Step;
use crate::chaos::clients::client::Client;

/// What a client has set so far.
#[derive(Debug, Default)]
pub struct Automation {
    set: u64,
}

impl Step for Automation {
    fn step(&mut self, client: &mut Client) {
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
