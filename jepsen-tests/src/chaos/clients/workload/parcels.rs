//! Parcels, of a machine of format 2: every event has a guard, a schema or an expression that may refuse it.
//!
//! A cluster at the first feature level knows no format 2, so the clients define the machine themselves as soon as they
//! may.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SHARED_INSTANCES, WorkloadStep, one_of};
use crate::chaos::clients::client::ChaosClient;
use crate::chaos::history::{RequestOutcome, Workload};
use crate::load::machines::TestMachine;

/// The pause before the next attempt to define the machine.
const PAUSE: Duration = Duration::from_millis(300);

/// What a client has sent so far.
#[derive(Debug, Default)]
pub struct Parcels {
    /// The machine and its instances are there.
    is_ready: bool,
    sent: u64,
}

impl WorkloadStep for Parcels {
    fn step(&mut self, client: &mut ChaosClient) {
        if !self.is_ready {
            self.is_ready = prepared(client);
            if !self.is_ready {
                std::thread::sleep(PAUSE);
            }
            return;
        }
        let id = one_of("parcel", client);
        match client.rng.below(100) {
            0..15 => drop(client.call("GET_INSTANCE", json!({"instance_id": id}))),
            15..75 => {
                let event = self.event(client, &id);
                client.call("APPLY_EVENT", event);
            }
            _ => self.ask_first(client, &id),
        }
    }
}

impl Parcels {
    fn event(&mut self, client: &mut ChaosClient, id: &str) -> Value {
        self.sent += 1;
        let tag = format!("p{}.{}", client.number, self.sent);
        let mut payload = json!({});
        // Without one of them, a schema, an expression or a guard fails.
        for (name, value, percent) in [
            ("by", json!(tag), 80),
            ("kg", json!(client.rng.below(9)), 70),
            ("stop", json!(client.rng.between(1, 30)), 80),
        ] {
            if client.rng.percent(percent) {
                payload[name] = value;
            }
        }
        let mut params = json!({
            "instance_id": id, "event": *client.rng.pick(&TestMachine::PARCEL_EVENTS), "event_id": tag,
        });
        if client.rng.percent(90) {
            params["payload"] = payload;
        }
        if client.rng.percent(30) {
            params["idempotency_key"] = json!(tag);
        }
        params
    }

    /// Asks what an event would do, and then sends it, to take effect only if nothing came between.
    fn ask_first(&mut self, client: &mut ChaosClient, id: &str) {
        let mut event = self.event(client, id);
        let Some(seen) = client.result("GET_INSTANCE", json!({"instance_id": id})) else {
            return;
        };
        event["expected_wal_offset"] = seen["last_wal_offset"].clone();
        let mut asked = event.clone();
        asked["dry_run"] = json!(true);
        asked["event_id"] = json!(format!(
            "{}?",
            event["event_id"].as_str().unwrap_or_default()
        ));
        client.call_for(Workload::Asking, "APPLY_EVENT", asked);
        client.call("APPLY_EVENT", event);
    }
}

/// Defines the machine and creates its instances, as far as another client has not done it.
fn prepared(client: &mut ChaosClient) -> bool {
    let machine = TestMachine::Parcel;
    let put = json!({"machine": machine.name(), "version": 1, "definition": machine.definition()});
    if client.result("PUT_MACHINE", put).is_none() {
        return false;
    }
    (0..SHARED_INSTANCES).all(|number| {
        let create = json!({
            "machine": machine.name(), "version": 1, "instance_id": format!("parcel-{number}"),
            "initial_ctx": {"weight": 1, "stops": 0},
        });
        match client.call("CREATE_INSTANCE", create) {
            Some(RequestOutcome::Ok(_)) => true,
            Some(RequestOutcome::Refused { code, .. }) => code == "INSTANCE_EXISTS",
            Some(RequestOutcome::Unknown { .. }) | None => false,
        }
    })
}
