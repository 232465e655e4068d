//! Gates, whose timers open and close them by themselves. Clients hold, close and end them, move their timers, delete
//! them and create them again under the same ids.
//!
//! The log says what was asked: an event has it in its payload, a move without an event in its reason. So the checker
//! needs the log alone.
//!
//! A cluster at the first feature level knows no timers, so the clients define the machine themselves as soon as they
//! may.

use std::time::Duration;

use rstmdb_sim::check::facts::MOVES;
use serde_json::{Value, json};

use super::{WorkloadStep, one_of};
use crate::Error;
use crate::chaos::check::truth::AT_THE_END;
use crate::chaos::clients::client::{ChaosClient, ClientsShared, SUITE};
use crate::chaos::history::{RequestOutcome, Workload};
use crate::harness::rng::Rng;
use crate::harness::wait::within;
use crate::load::machines::TestMachine;

/// The pause before the next attempt to define the machine.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a healthy cluster may take to let automation run, or to pause it.
const SET_WITHIN: Duration = Duration::from_secs(30);
/// How long what is due may take to fire at the end.
const FIRES_WITHIN: Duration = Duration::from_secs(3);

/// What a client has sent so far.
#[derive(Debug, Default)]
pub struct Gates {
    /// The machine is there.
    is_ready: bool,
    sent: u64,
}

impl WorkloadStep for Gates {
    fn step(&mut self, client: &mut ChaosClient) {
        if !self.is_ready {
            let machine = TestMachine::Gate;
            let put = json!({
                "machine": machine.name(), "version": 1, "definition": machine.definition(),
            });
            self.is_ready = client.result("PUT_MACHINE", put).is_some();
            if !self.is_ready {
                std::thread::sleep(PAUSE);
            }
            return;
        }
        let id = one_of("gate", client);
        match client.rng.below(100) {
            0..20 => drop(client.call("GET_INSTANCE", json!({"instance_id": id}))),
            20..25 => drop(client.call("TIMER_LIST", json!({"machine": "gate", "limit": 3}))),
            25..60 => {
                let event = *client.rng.pick(&TestMachine::GATE_EVENTS);
                let event = self.event(client, &id, event);
                client.call("APPLY_EVENT", event);
            }
            60..72 => move_timers(client, &id),
            72..80 => self.around(client, &id),
            80..83 => drop(client.call("DELETE_INSTANCE", json!({"instance_id": id}))),
            _ => {
                let create = json!({"machine": "gate", "version": 1, "instance_id": id});
                client.call("CREATE_INSTANCE", create);
            }
        }
    }
}

impl Gates {
    /// An event, which moves a timer of the state that it leads to now and then.
    fn event(&mut self, client: &mut ChaosClient, id: &str, event: &str) -> Value {
        self.sent += 1;
        let tag = format!("g{}.{}", client.number, self.sent);
        let moves = match event {
            "HOLD" | "TOUCH" | "OPEN" if client.rng.percent(30) => Some(move_open(client)),
            "CLOSE" if client.rng.percent(30) => Some(json!({"OPEN": moved(client)})),
            _ => None,
        };
        let mut params = json!({
            "instance_id": id, "event": event, "event_id": tag, "payload": {"by": tag},
        });
        if let Some(moves) = moves {
            params["payload"][MOVES] = moves.clone();
            params["timers"] = moves;
        }
        params
    }

    /// Leaves a state and enters it again within one entry of the log.
    fn around(&mut self, client: &mut ChaosClient, id: &str) {
        let ops: Vec<Value> = ["CLOSE", "OPEN"]
            .into_iter()
            .map(|event| json!({"op": "APPLY_EVENT", "params": self.event(client, id, event)}))
            .collect();
        client.call("BATCH", json!({"mode": "atomic", "ops": ops}));
    }
}

fn move_open(client: &mut ChaosClient) -> Value {
    let name = *client.rng.pick(&["NUDGE", "JAM", "CLOSE"]);
    json!({ name: moved(client) })
}

/// A new time of a timer; null: none.
fn moved(client: &mut ChaosClient) -> Value {
    match client.rng.percent(85) {
        true => json!({"after": format!("{}ms", client.rng.below(3_000))}),
        false => Value::Null,
    }
}

/// Moves timers without an event.
fn move_timers(client: &mut ChaosClient, id: &str) {
    let (state, timers) = match client.rng.percent(70) {
        true => ("open", move_open(client)),
        false => ("closed", json!({"OPEN": moved(client)})),
    };
    let reason = timers.to_string();
    let params = json!({
        "instance_id": id, "timers": timers, "expected_state": state, "reason": reason,
    });
    client.call("TIMER_SET", params);
}

/// Lets everything fire that is due, and then pauses automation, so that the log comes to rest.
///
/// # Errors
/// When the cluster does not do it in time.
pub fn rest(shared: &ClientsShared, rng: &mut Rng) -> Result<(), Error> {
    let mut client = ChaosClient::new(SUITE, Workload::Automation, rng.fork(), shared);
    if !set(&mut client, shared, "running")? {
        return Ok(());
    }
    std::thread::sleep(FIRES_WITHIN);
    set(&mut client, shared, "paused").map(drop)
}

/// Sets automation; gives whether the cluster knows it at its feature level.
fn set(client: &mut ChaosClient, shared: &ClientsShared, word: &str) -> Result<bool, Error> {
    let (mut turn, mut knows) = (0, true);
    within(SET_WITHIN, || {
        let nodes = shared.directory.read().clone();
        turn += 1;
        client.go_to(nodes[turn % nodes.len()].0);
        match client.call("AUTOMATION", json!({"set": word, "reason": AT_THE_END})) {
            Some(RequestOutcome::Ok(_)) => Ok(()),
            Some(RequestOutcome::Refused { code, .. }) if code == "FEATURE_LEVEL" => {
                knows = false;
                Ok(())
            }
            other => Err(format!("automation is not {word}: {other:?}")),
        }
    })?;
    Ok(knows)
}
