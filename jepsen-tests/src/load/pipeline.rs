//! One connection at a time under load, through any number of kills of the nodes it talks to.
//!
//! It keeps a window of pipelined requests: creations with and without a given id, events, atomic
//! pairs, each with and without an idempotency key; linearizable reads; and repetitions of writes that
//! were acknowledged long ago. When the connection is lost, unanswered requests with a key are sent again
//! after the reconnect. Those without a key stay unanswered for good.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde_json::{Value, json};

use super::known_offsets::KnownOffsets;
use super::ledger::{IntendedEffect, Ledger, LedgerOp, LoadAction, LoadOutcome};
use super::machines::TestMachine;
use crate::Error;
use crate::harness::rng::Rng;
use crate::rcp::raw::{RawConnection, RawMessage};

/// How long to wait before connecting to a node that is down again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(3);
/// Text in every payload, so that the log grows to a realistic size.
const PADDING: &str = "................................................................";

/// What one connection does.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// The nodes; after a lost connection it goes on with the next.
    pub addrs: Vec<SocketAddr>,
    /// The connection's number, unique in the run.
    pub connection: usize,
    /// How many requests wait for their answers.
    pub window: usize,
    /// Instances of [`TestMachine::Counter`] that all connections share.
    pub counters: Vec<String>,
    /// Instances of [`TestMachine::Order`] that all connections share.
    pub orders: Vec<String>,
    /// The changes that all connections together know of.
    pub known: Arc<KnownOffsets>,
}

/// A request that waits for its answer.
enum SentRequest {
    /// An attempt at this operation.
    Attempt(usize),
    /// This operation once more, although it was acknowledged.
    Repetition(usize),
    /// A read that must not see less than this offset.
    Read { instance: String, at_least: u64 },
}

struct PipelineLoad<'a> {
    plan: &'a PipelinePlan,
    rng: Rng,
    ledger: Ledger,
    /// Requests with a key that were sent at least once and have no answer. They are sent again.
    again: VecDeque<usize>,
    in_flight: HashMap<String, SentRequest>,
}

/// Runs until `stop` is set and every keyed write has its answer.
pub fn run(plan: &PipelinePlan, rng: Rng, stop: &AtomicBool) -> Ledger {
    let mut load = PipelineLoad {
        plan,
        rng,
        ledger: Ledger::default(),
        again: VecDeque::new(),
        in_flight: HashMap::new(),
    };
    for addr in plan.addrs.iter().cycle() {
        match load.session(*addr, stop) {
            Ok(()) => return load.ledger,
            Err(Error::Protocol(problem)) => {
                load.ledger.violations.push(problem);
                return load.ledger;
            }
            Err(_) => load.lost(),
        }
        std::thread::sleep(RECONNECT_INTERVAL);
    }
    load.ledger
}

impl PipelineLoad<'_> {
    /// Works on one connection until it is lost or all is done.
    fn session(&mut self, addr: SocketAddr, stop: &AtomicBool) -> Result<(), Error> {
        let mut connection = RawConnection::connect(addr)?;
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && self.again.is_empty() && self.in_flight.is_empty() {
                return Ok(());
            }
            while self.in_flight.len() < self.plan.window && self.send(&mut connection, stopping) {}
            connection.flush()?;
            self.take(connection.receive()?)?;
            while let Some(message) = connection.buffered()? {
                self.take(message)?;
            }
        }
    }

    /// The connection is lost, and its answers are, too.
    fn lost(&mut self) {
        for sent in self.in_flight.drain().map(|(_, sent)| sent) {
            if let SentRequest::Attempt(index) = sent
                && self.ledger.ops[index].keyed
            {
                self.again.push_back(index);
            }
        }
    }

    /// Queues one request; `false` if there is nothing to send.
    fn send(&mut self, connection: &mut RawConnection, stopping: bool) -> bool {
        if let Some(index) = self.again.pop_front() {
            self.attempt(connection, index);
            return true;
        }
        if stopping {
            return false;
        }
        match self.rng.below(100) {
            0..5 => self.read(connection),
            5..10 => self.repeat(connection),
            _ => {
                let op = self.new_op();
                self.ledger.ops.push(op);
                self.attempt(connection, self.ledger.ops.len() - 1);
            }
        }
        true
    }

    fn attempt(&mut self, connection: &mut RawConnection, index: usize) {
        let op = &mut self.ledger.ops[index];
        op.attempts += 1;
        let (name, params) = request(op);
        let id = connection.queue(name, &params);
        self.in_flight.insert(id, SentRequest::Attempt(index));
    }

    fn read(&mut self, connection: &mut RawConnection) {
        let instance = self.rng.pick(&self.plan.counters).clone();
        let at_least = self.plan.known.of(&instance);
        let id = connection.queue("GET_INSTANCE", &json!({"instance_id": instance}));
        self.in_flight
            .insert(id, SentRequest::Read { instance, at_least });
    }

    fn repeat(&mut self, connection: &mut RawConnection) {
        if self.ledger.ops.is_empty() {
            return;
        }
        let index = self.rng.index(self.ledger.ops.len());
        let op = &self.ledger.ops[index];
        if op.keyed && op.acknowledged().is_some() {
            let (name, params) = request(op);
            let id = connection.queue(name, &params);
            self.in_flight.insert(id, SentRequest::Repetition(index));
        }
    }

    fn new_op(&mut self) -> LedgerOp {
        let tag = format!("{}-{}", self.plan.connection, self.ledger.ops.len());
        let keyed = self.rng.percent(70);
        let effects = match self.rng.below(90) {
            0..12 => vec![self.creation(tag)],
            12..30 => vec![self.order_event(tag)],
            30..40 => self.pair(&tag),
            _ => vec![self.counter_event(tag)],
        };
        LedgerOp::new(effects, keyed)
    }

    fn creation(&mut self, tag: String) -> IntendedEffect {
        let machine = *self.rng.pick(&TestMachine::ALL);
        let instance = self.rng.percent(70).then(|| format!("i-{tag}"));
        let ctx = json!({"op": tag, "total_cents": self.rng.below(100)});
        IntendedEffect {
            tag,
            instance,
            action: LoadAction::Create { machine, ctx },
        }
    }

    fn counter_event(&mut self, tag: String) -> IntendedEffect {
        // Fewer instances than requests in flight: they pipeline, within and across connections.
        let instance = self.rng.pick(&self.plan.counters).clone();
        self.set(tag, instance)
    }

    fn set(&mut self, tag: String, instance: String) -> IntendedEffect {
        let payload = json!({"n": tag, "pad": PADDING});
        IntendedEffect {
            tag,
            instance: Some(instance),
            action: LoadAction::Event {
                event: "SET",
                payload,
            },
        }
    }

    fn order_event(&mut self, tag: String) -> IntendedEffect {
        let event = *self.rng.pick(&TestMachine::ORDER_EVENTS);
        let payload = match event {
            "PAY" => json!({"paid_cents": self.rng.below(150)}),
            _ => json!({"by": tag}),
        };
        let instance = Some(self.rng.pick(&self.plan.orders).clone());
        IntendedEffect {
            tag,
            instance,
            action: LoadAction::Event { event, payload },
        }
    }

    /// A shared counter and another one: both change at one offset, or neither does.
    fn pair(&mut self, tag: &str) -> Vec<IntendedEffect> {
        let first = self.rng.pick(&self.plan.counters).clone();
        let second = loop {
            let other = self.rng.pick(&self.plan.counters);
            if *other != first {
                break other.clone();
            }
        };
        vec![
            self.set(format!("{tag}.0"), first),
            self.set(format!("{tag}.1"), second),
        ]
    }

    fn take(&mut self, message: RawMessage) -> Result<(), Error> {
        let RawMessage::Response { id, outcome } = message else {
            return Err(Error::Protocol(format!("without a watch: {message:?}")));
        };
        let stuck = [Code::NoLeader, Code::Timeout];
        let elsewhere = matches!(&outcome, Err(error) if stuck.contains(&error.code));
        match self.in_flight.remove(&id) {
            Some(SentRequest::Attempt(index)) => self.answered(index, outcome),
            Some(SentRequest::Repetition(index)) => self.repeated(index, outcome),
            Some(SentRequest::Read { instance, at_least }) => {
                self.was_read(&instance, at_least, outcome)
            }
            None => {
                return Err(Error::Protocol(format!(
                    "an answer to {id:?}, which was never sent"
                )));
            }
        }
        // Another node may know a leader; this one may have been taken out of the cluster.
        if elsewhere {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    fn answered(&mut self, index: usize, outcome: Result<Value, ErrorBody>) {
        let op = &mut self.ledger.ops[index];
        match outcome {
            Ok(result) => {
                let offset = offset_of(&result);
                op.outcome = LoadOutcome::Acknowledged { offset };
                if let [IntendedEffect { instance: None, .. }] = op.effects.as_slice() {
                    op.made_up_id = result["instance_id"].as_str().map(str::to_owned);
                }
                let touched = op.effects.iter();
                for instance in touched.filter_map(|effect| effect.instance.as_ref()) {
                    self.plan.known.raise(instance, offset);
                }
            }
            Err(error) if op.keyed && error.retryable => self.again.push_back(index),
            // It may have taken effect, so it must not be sent again. This also holds for a refusal after
            // earlier attempts, because those may still be on their way to the leader.
            Err(error) if error.outcome_unknown() || op.attempts > 1 => {}
            Err(error) => {
                op.outcome = LoadOutcome::Refused {
                    code: error.code.to_string(),
                }
            }
        }
    }

    fn repeated(&mut self, index: usize, outcome: Result<Value, ErrorBody>) {
        let op = &self.ledger.ops[index];
        let problem = match outcome {
            Ok(result) if Some(offset_of(&result)) != op.acknowledged() => {
                format!("repeated with another result: {result}")
            }
            Ok(result) if op.made_up_id.is_some() && !is_instance(&result, op) => {
                format!("repeated with another id: {result}")
            }
            Ok(result) if result.get("applied") == Some(&Value::Bool(true)) => {
                format!("repeated and applied: {result}")
            }
            Err(error) if !error.retryable => format!("repeated and refused: {error}"),
            Ok(_) | Err(_) => return,
        };
        self.ledger.violations.push(format!("{problem}: {op:?}"));
    }

    fn was_read(&mut self, instance: &str, at_least: u64, outcome: Result<Value, ErrorBody>) {
        let problem = match outcome {
            Ok(result) if result["last_wal_offset"].as_u64() < Some(at_least) => {
                format!("a stale read, after {at_least}: {result}")
            }
            Err(error) if !error.retryable => format!("a read refused: {error}"),
            Ok(_) | Err(_) => return,
        };
        self.ledger
            .violations
            .push(format!("{instance}: {problem}"));
    }
}

/// Where an operation took effect, by its result.
pub fn offset_of(result: &Value) -> u64 {
    let first = result.pointer("/results/0/result").unwrap_or(result);
    first["wal_offset"].as_u64().unwrap_or_default()
}

fn is_instance(result: &Value, op: &LedgerOp) -> bool {
    result["instance_id"].as_str() == op.made_up_id.as_deref()
}

/// An operation as a request.
pub fn request(op: &LedgerOp) -> (&'static str, Value) {
    match op.effects.as_slice() {
        [effect] => single(effect, op.keyed),
        effects => {
            let ops: Vec<Value> = effects
                .iter()
                .map(|effect| single(effect, op.keyed))
                .map(|(name, params)| json!({"op": name, "params": params}))
                .collect();
            ("BATCH", json!({"mode": "atomic", "ops": ops}))
        }
    }
}

fn single(effect: &IntendedEffect, keyed: bool) -> (&'static str, Value) {
    let (name, mut params) = match &effect.action {
        LoadAction::Create { machine, ctx } => (
            "CREATE_INSTANCE",
            json!({"machine": machine.name(), "version": 1, "initial_ctx": ctx}),
        ),
        LoadAction::Event { event, payload } => (
            "APPLY_EVENT",
            json!({"event": event, "payload": payload, "event_id": effect.tag}),
        ),
    };
    if let Some(instance) = &effect.instance {
        params["instance_id"] = json!(instance);
    }
    if keyed {
        params["idempotency_key"] = json!(effect.tag);
    }
    (name, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_found_in_both_kinds_of_results() {
        assert_eq!(offset_of(&json!({"wal_offset": 7})), 7);
        let batch = json!({"results": [{"status": "ok", "result": {"wal_offset": 9}}]});
        assert_eq!(offset_of(&batch), 9);
    }

    #[test]
    fn a_pair_is_one_atomic_batch_with_a_key_for_each_event() {
        let effect = |tag: &str| IntendedEffect {
            tag: tag.to_owned(),
            instance: Some("x".to_owned()),
            action: LoadAction::Event {
                event: "SET",
                payload: json!({}),
            },
        };
        let (name, params) = request(&LedgerOp::new(vec![effect("a"), effect("b")], true));
        assert_eq!(name, "BATCH");
        assert_eq!(params["mode"], "atomic");
        assert_eq!(params["ops"][0]["params"]["idempotency_key"], "a");
        assert_eq!(params["ops"][1]["params"]["event_id"], "b");
    }
}
