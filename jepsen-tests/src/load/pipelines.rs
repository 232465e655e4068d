//! The load of the kill tests: plain connections that write, with and without keys, to instances they
//! share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::json;

use super::ledger::{IntendedEffect, Ledger, LedgerOp, LoadAction, LoadOutcome};
use super::machines::TestMachine;
use super::pipeline::{self, PipelinePlan};
use crate::Error;
use crate::harness::rng::Rng;
use crate::rcp::raw::RawConnection;

/// How many requests of one connection wait for their answers.
const WINDOW: usize = 16;
const SHARED_INSTANCES: usize = 20;

/// What the connections share.
#[derive(Debug)]
pub struct Pipelines {
    /// The requests of the preparation.
    pub preparation: Ledger,
    plan: PipelinePlan,
}

/// Connections at work.
#[derive(Debug)]
pub struct RunningPipelines {
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Ledger>>,
}

impl Pipelines {
    /// Puts the machines and creates the instances that all connections share, at the first of the
    /// nodes.
    ///
    /// # Errors
    /// When any of it is refused.
    pub fn prepare(addrs: &[SocketAddr]) -> Result<Self, Error> {
        let addr = addrs.first().ok_or(Error::Closed)?;
        let mut connection = RawConnection::connect(*addr)?;
        put_machines(&mut connection)?;
        let mut preparation = Ledger::default();
        let mut create_all = |machine| {
            (0..SHARED_INSTANCES)
                .map(|n| create(&mut connection, &mut preparation, machine, n))
                .collect::<Result<Vec<String>, Error>>()
        };
        let plan = PipelinePlan {
            addrs: addrs.to_vec(),
            connection: 0,
            window: WINDOW,
            counters: create_all(TestMachine::Counter)?,
            orders: create_all(TestMachine::Order)?,
            known: Arc::default(),
        };
        Ok(Self { preparation, plan })
    }

    /// Starts this many connections, the first of them at the first of the nodes, the next at the next.
    pub fn start(&self, connections: usize, rng: &mut Rng) -> RunningPipelines {
        let stop = Arc::new(AtomicBool::new(false));
        let start_one = |connection| {
            let mut plan = PipelinePlan {
                connection,
                ..self.plan.clone()
            };
            let nodes = plan.addrs.len();
            plan.addrs.rotate_left(connection % nodes);
            let (rng, stop) = (rng.fork(), Arc::clone(&stop));
            thread::spawn(move || pipeline::run(&plan, rng, &stop))
        };
        let connections = (0..connections).map(start_one).collect();
        RunningPipelines { stop, connections }
    }
}

impl RunningPipelines {
    /// Waits until every connection has settled its requests in flight. Returns the record of each.
    pub fn finish(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let ledger_of = |handle: JoinHandle<Ledger>| handle.join();
        self.connections
            .into_iter()
            .map(|handle| {
                ledger_of(handle).unwrap_or_else(|_| Ledger {
                    violations: vec!["a connection of the load panicked".to_owned()],
                    ..Ledger::default()
                })
            })
            .collect()
    }
}

/// Puts every machine of the model.
///
/// # Errors
/// When one is refused.
pub fn put_machines(connection: &mut RawConnection) -> Result<(), Error> {
    for machine in TestMachine::ALL {
        let definition = machine.definition();
        let put = json!({"machine": machine.name(), "version": 1, "definition": definition});
        connection.call("PUT_MACHINE", &put)?;
    }
    Ok(())
}

fn create(
    connection: &mut RawConnection,
    ledger: &mut Ledger,
    machine: TestMachine,
    n: usize,
) -> Result<String, Error> {
    let id = format!("{}-{n}", machine.name());
    let mut op = LedgerOp {
        attempts: 1,
        ..LedgerOp::new(vec![creation(&id, &id, machine)], true)
    };
    let (name, params) = pipeline::request(&op);
    let offset = pipeline::offset_of(&connection.call(name, &params)?);
    op.outcome = LoadOutcome::Acknowledged { offset };
    ledger.ops.push(op);
    Ok(id)
}

/// The creation of an instance with this tag.
pub fn creation(tag: &str, instance: &str, machine: TestMachine) -> IntendedEffect {
    IntendedEffect {
        tag: tag.to_owned(),
        instance: Some(instance.to_owned()),
        action: LoadAction::Create {
            machine,
            ctx: json!({"op": tag, "total_cents": 50}),
        },
    }
}
