//! A random workload of one connection that uses everything the log can hold: machines, creations,
//! events, batches, deletions, keys and their retries.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::machines::TestMachine;
use crate::Error;
use crate::harness::rng::Rng;
use crate::rcp::raw::{RawConnection, RawMessage};

/// Ids are used again after a deletion.
const IDS: u64 = 60;
/// Requests of [`Mixed::fill`] that wait for their answers.
const FILL_WINDOW: usize = 512;

/// A client, and what it may repeat.
pub struct Mixed {
    connection: RawConnection,
    rng: Rng,
    name: String,
    count: u64,
    /// Keyed writes with their results.
    pub keyed: Vec<(&'static str, Value, Value)>,
}

impl Mixed {
    /// Connects and puts the machines. Names keep two workloads on one cluster apart.
    ///
    /// # Errors
    /// When the server cannot be talked to.
    pub fn start(addr: SocketAddr, name: &str, rng: Rng) -> Result<Self, Error> {
        let mut connection = RawConnection::connect(addr)?;
        for machine in TestMachine::ALL {
            let params = json!({"machine": machine.name(), "version": 1,
                "definition": machine.definition()});
            connection.call("PUT_MACHINE", &params)?;
        }
        Ok(Self {
            connection,
            rng,
            name: name.to_owned(),
            count: 0,
            keyed: Vec::new(),
        })
    }

    /// Takes this many steps. A refused request counts as a step.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn run(&mut self, steps: usize) -> Result<(), Error> {
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Error> {
        self.count += 1;
        match self.rng.below(100) {
            0..20 => {
                let create = self.create();
                self.write("CREATE_INSTANCE", create)
            }
            20..75 => {
                let apply = self.apply();
                self.write("APPLY_EVENT", apply)
            }
            75..85 => {
                let mode = if self.rng.percent(50) {
                    "atomic"
                } else {
                    "best_effort"
                };
                let mut ops = Vec::new();
                for _ in 0..self.rng.between(1, 4) {
                    ops.push(json!({"op": "APPLY_EVENT", "params": self.apply()}));
                }
                ops.push(json!({"op": "CREATE_INSTANCE", "params": self.create()}));
                self.write("BATCH", json!({"mode": mode, "ops": ops}))
            }
            85..93 => {
                let mut delete = json!({"instance_id": self.id()});
                self.maybe_key(&mut delete);
                self.write("DELETE_INSTANCE", delete)
            }
            93..98 => {
                let Some((op, params, _)) = self.keyed.last().cloned() else {
                    return Ok(());
                };
                self.write(op, params)
            }
            _ => {
                let mut definition = TestMachine::Order.definition();
                definition["meta"] = json!({"n": self.count});
                let put = json!({"machine": format!("{}-extra", self.name),
                    "version": self.count, "definition": definition});
                self.write("PUT_MACHINE", put)
            }
        }
    }

    fn write(&mut self, op: &'static str, params: Value) -> Result<(), Error> {
        match self.connection.call(op, &params) {
            Ok(result) => {
                if params["idempotency_key"].is_string() {
                    self.keyed.push((op, params, result));
                }
                Ok(())
            }
            Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn id(&mut self) -> String {
        format!("{}-{}", self.name, self.rng.below(IDS))
    }

    fn create(&mut self) -> Value {
        let machine = *self.rng.pick(&TestMachine::ALL);
        let mut create = json!({"instance_id": self.id(), "machine": machine.name(), "version": 1,
            "initial_ctx": {"total_cents": 50, "n": self.count}});
        self.maybe_key(&mut create);
        create
    }

    fn apply(&mut self) -> Value {
        let event = match self.rng.percent(40) {
            true => "SET",
            false => self.rng.pick(&TestMachine::ORDER_EVENTS),
        };
        let payload = json!({"paid_cents": self.rng.below(100), "n": self.count});
        let mut apply = json!({"instance_id": self.id(), "event": event, "payload": payload});
        if self.rng.percent(20) {
            apply["event_id"] = json!(format!("e-{}", self.count));
        }
        self.maybe_key(&mut apply);
        apply
    }

    fn maybe_key(&mut self, params: &mut Value) {
        if self.rng.percent(30) {
            let name = &self.name;
            params["idempotency_key"] =
                json!(format!("{name}-k-{}-{}", self.count, self.rng.below(9)));
        }
    }

    /// Adds this many events of one instance to the log, as fast as possible.
    ///
    /// # Errors
    /// When one is refused or no answer comes.
    pub fn fill(&mut self, events: usize) -> Result<(), Error> {
        let id = format!("{}-filler", self.name);
        let create =
            json!({"instance_id": id, "machine": TestMachine::Counter.name(), "version": 1});
        // From the second call on, the instance exists already.
        self.write("CREATE_INSTANCE", create)?;
        let pad = "x".repeat(200);
        let mut left = events;
        while left > 0 {
            let window = left.min(FILL_WINDOW);
            for n in 0..window {
                let params =
                    json!({"instance_id": id, "event": "SET", "payload": {"n": n, "pad": pad}});
                self.connection.queue("APPLY_EVENT", &params);
            }
            self.connection.flush()?;
            for _ in 0..window {
                match self.connection.receive()? {
                    RawMessage::Response { outcome: Ok(_), .. } => {}
                    other => return Err(Error::Protocol(format!("not applied: {other:?}"))),
                }
            }
            left -= window;
        }
        Ok(())
    }

    /// The last applied offset and the digest of the state there.
    ///
    /// # Errors
    /// When INFO is refused.
    pub fn digest(&mut self) -> Result<(u64, String), Error> {
        let info = self.connection.call("INFO", &json!({}))?;
        let offset = info["last_applied"].as_u64().unwrap_or_default();
        let digest = info["state_digest"].as_str().unwrap_or_default();
        Ok((offset, digest.to_owned()))
    }
}
