//! What a benchmark runs: its machine, its instances, its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rstmdb_rcp::client::ClientOptions;
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, GetInstance};
use rstmdb_rcp::message::op;
use serde_json::value::{RawValue, to_raw_value};

use crate::Error;
use crate::args::{Bench, BenchOp};

/// The benchmark's machine.
pub const MACHINE: &str = "bench";
/// Its definition: one event, always allowed.
pub const DEFINITION: &str = r#"{"states":["on","off"],"initial":"on","transitions":[{"from":"on","event":"STEP","to":"off"},{"from":"off","event":"STEP","to":"on"}]}"#;
const EVENT: &str = "STEP";

/// A benchmark to be run.
pub struct Plan {
    /// What is measured.
    pub op: BenchOp,
    /// How many connections, or watches.
    pub connections: u32,
    /// Requests in flight on each connection.
    pub in_flight: u32,
    /// How long is measured.
    pub duration: Duration,
    /// How long is run before.
    pub warm_up: Duration,
    /// Bytes of a payload.
    pub payload: u32,
    /// How many threads make the load.
    pub threads: u32,
    /// How to connect.
    pub options: ClientOptions,
    /// Set when the run is to end early.
    pub stop: Arc<AtomicBool>,
    /// Sets this run's instances apart from all others.
    run: String,
}

/// Requests of one worker: sent in turn, unless each is to be new.
pub enum Requests {
    /// The same ones again and again.
    Fixed(Vec<(&'static str, Box<RawValue>)>),
    /// A creation each.
    Creations {
        /// The worker's number.
        worker: u32,
        /// How many have been made.
        made: u64,
        /// The initial context.
        ctx: Box<RawValue>,
    },
}

impl Plan {
    /// As asked for; never more threads than connections.
    pub fn new(args: &Bench, options: ClientOptions) -> Plan {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let threads = args.threads.unwrap_or((cores / 2).max(1));
        let run = uuid::Uuid::new_v4().simple().to_string();
        Plan {
            op: args.op,
            connections: args.connections,
            in_flight: args.in_flight,
            duration: args.duration,
            warm_up: args.warm_up,
            payload: args.payload,
            threads: threads.min(args.connections),
            options,
            stop: Arc::default(),
            run: run[..8].to_owned(),
        }
    }

    /// Whether the run is to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How many workers there are: each waits for its answer before it sends again.
    pub fn workers(&self) -> u32 {
        self.connections * self.in_flight
    }

    /// How many instances are made beforehand: one for each worker, so that none waits for another.
    pub fn instances(&self) -> u32 {
        match self.op {
            BenchOp::Create => 0,
            BenchOp::Watch => 1,
            BenchOp::Apply | BenchOp::Get | BenchOp::Mixed => self.workers(),
        }
    }

    /// The id of an instance made beforehand.
    pub fn instance(&self, number: u32) -> String {
        format!("bench-{}-{number}", self.run)
    }

    /// The id of an instance a worker has made.
    pub fn created_instance(&self, worker: u32, number: u64) -> String {
        format!("bench-{}-{worker}-{number}", self.run)
    }

    /// What a worker sends.
    pub fn requests(&self, worker: u32) -> Result<Requests, Error> {
        let ctx = document(self.payload)?;
        let id = self.instance(worker);
        let apply = ApplyEvent {
            instance_id: id.as_str().into(),
            event: EVENT.into(),
            payload: Some(&ctx),
            ..ApplyEvent::default()
        };
        let get = GetInstance {
            instance_id: id.as_str().into(),
            ..GetInstance::default()
        };
        let apply = (op::APPLY_EVENT, raw(&apply)?);
        let get = (op::GET_INSTANCE, raw(&get)?);
        Ok(match self.op {
            BenchOp::Apply | BenchOp::Watch => Requests::Fixed(vec![apply]),
            BenchOp::Get => Requests::Fixed(vec![get]),
            BenchOp::Mixed => Requests::Fixed(vec![get, apply]),
            BenchOp::Create => Requests::Creations {
                worker,
                made: 0,
                ctx,
            },
        })
    }

    /// The parameters of a worker's next creation.
    pub fn creation(
        &self,
        worker: u32,
        number: u64,
        ctx: &RawValue,
    ) -> Result<Box<RawValue>, Error> {
        raw(&CreateInstance {
            instance_id: Some(self.created_instance(worker, number).into()),
            machine: MACHINE.into(),
            version: 1,
            initial_ctx: Some(ctx),
            ..CreateInstance::default()
        })
    }
}

fn raw(params: &impl serde::Serialize) -> Result<Box<RawValue>, Error> {
    to_raw_value(params).map_err(Error::unexpected)
}

/// A JSON object of `bytes` bytes, or as small as one with a member can be; `{}` for none at all.
fn document(bytes: u32) -> Result<Box<RawValue>, Error> {
    const AROUND: usize = r#"{"data":""}"#.len();
    let text = if bytes == 0 {
        "{}".to_owned()
    } else {
        let filling = (bytes as usize).saturating_sub(AROUND);
        format!("{{\"data\":\"{}\"}}", "x".repeat(filling))
    };
    RawValue::from_string(text).map_err(Error::unexpected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn plan(line: &str) -> Plan {
        let words = ["rstmdb-cli", "bench"]
            .into_iter()
            .chain(line.split_whitespace());
        let Some(Command::Bench(args)) = Cli::parse_from(words).command else {
            panic!("not bench");
        };
        Plan::new(&args, ClientOptions::default())
    }

    #[test]
    fn each_worker_has_an_instance_of_its_own() {
        assert_eq!(plan("--connections 4 --in-flight 8").instances(), 32);
        assert_eq!(plan("--connections 4 --op watch").instances(), 1);
        assert_eq!(plan("--connections 4 --op create").instances(), 0);
    }

    #[test]
    fn there_are_never_more_threads_than_connections() {
        assert_eq!(plan("--connections 2 --threads 8").threads, 2);
        assert!(plan("--connections 1").threads == 1);
    }

    #[test]
    fn a_payload_is_as_large_as_asked_for() {
        for (asked, size) in [(0, 2), (1, 11), (11, 11), (100, 100), (5_000, 5_000)] {
            assert_eq!(document(asked).unwrap().get().len(), size);
        }
    }

    #[test]
    fn mixed_reads_and_writes_in_turn() {
        let Requests::Fixed(requests) = plan("--op mixed").requests(0).unwrap() else {
            panic!("not fixed");
        };
        let ops: Vec<&str> = requests.iter().map(|(op, _)| *op).collect();
        assert_eq!(ops, [op::GET_INSTANCE, op::APPLY_EVENT]);
    }

    #[test]
    fn two_runs_do_not_share_instances() {
        assert_ne!(plan("").instance(0), plan("").instance(0));
    }
}
