//! The workloads of a run, and the threads that they run on.

mod asking;
mod automation;
mod bank;
mod locks;
mod machine;
mod once;
mod parcels;
mod reads;
mod register;
mod set;
mod timers;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

pub use super::client::SUITE;
use super::client::{ChaosClient, ClientsShared};
use crate::Error;
use crate::chaos::check::truth::LEDGER;
use crate::chaos::history::{RequestOutcome, Workload};
use crate::chaos::nodes::Nodes;
use crate::harness::rng::Rng;
use crate::harness::wait::within;
use crate::load::machines::TestMachine;
use crate::rcp::raw::RawConnection;

/// How many clients each workload has.
const CLIENTS: [(Workload, u32); 12] = [
    (Workload::Register, 4),
    (Workload::Machine, 4),
    (Workload::Once, 3),
    (Workload::Bank, 3),
    (Workload::Set, 3),
    (Workload::Monotonic, 2),
    (Workload::Lease, 3),
    (Workload::Asking, 2),
    (Workload::Parcel, 4),
    (Workload::Automation, 2),
    (Workload::Timer, 3),
    (Workload::Lock, 4),
];
/// Instances of each workload that shares some: few, so that clients meet.
const SHARED_INSTANCES: u64 = 5;

/// How long a fresh cluster may take to accept a write on a busy machine.
const PREPARED_WITHIN: Duration = Duration::from_secs(60);

/// Every workload.
pub fn all() -> Vec<Workload> {
    CLIENTS.iter().map(|(workload, _)| *workload).collect()
}

/// The next step of one client, and its state between steps.
trait WorkloadStep: Send {
    fn step(&mut self, client: &mut ChaosClient);
}

/// Clients at work.
#[derive(Debug)]
pub struct ChaosLoad {
    threads: Vec<JoinHandle<()>>,
}

impl ChaosLoad {
    /// Starts all clients; together they send about `rate` requests a second.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(shared: &ClientsShared, rate: u64, rng: &mut Rng) -> Result<Self, Error> {
        let clients: u32 = CLIENTS.iter().map(|(_, count)| count).sum();
        let pause_us = 2 * 1_000_000 * u64::from(clients) / rate.max(1);
        let mut threads = Vec::new();
        let of_each = CLIENTS
            .iter()
            .flat_map(|(workload, count)| vec![*workload; *count as usize]);
        for (number, workload) in (0..).zip(of_each) {
            let mut client = ChaosClient::new(number, workload, rng.fork(), shared);
            let mut steps = steps_of(workload, number);
            let run = move || {
                while !client.is_over() {
                    steps.step(&mut client);
                    thread::sleep(Duration::from_micros(client.rng.below(pause_us)));
                }
            };
            let named = thread::Builder::new().name(format!("client {number}"));
            threads.push(named.spawn(run).map_err(Error::io("a thread"))?);
        }
        Ok(Self { threads })
    }

    /// Waits for all clients, which were told to stop. Returns how many of them panicked.
    pub fn finish(self) -> usize {
        let ended = self.threads.into_iter().map(JoinHandle::join);
        ended.filter(Result::is_err).count()
    }
}

fn steps_of(workload: Workload, number: u32) -> Box<dyn WorkloadStep> {
    match workload {
        Workload::Register => Box::new(register::RegisterClient::default()),
        Workload::Machine => Box::new(machine::Orders::default()),
        Workload::Once => Box::new(once::Once::default()),
        Workload::Bank => Box::new(bank::Bank::default()),
        Workload::Set => Box::new(set::SetClient::new(number)),
        Workload::Monotonic => Box::new(reads::Monotonic::default()),
        Workload::Lease => Box::new(reads::Lease),
        Workload::Asking => Box::new(asking::AskingClient::default()),
        Workload::Parcel => Box::new(parcels::Parcels::default()),
        Workload::Automation => Box::new(automation::AutomationClient::default()),
        Workload::Timer => Box::new(timers::Gates::default()),
        Workload::Lock => Box::new(locks::LockClient::default()),
    }
}

/// Creates the machines and instances that the clients need in a fresh cluster.
///
/// # Errors
/// When the cluster refuses.
pub fn prepare(nodes: &dyn Nodes, shared: &ClientsShared, rng: &mut Rng) -> Result<(), Error> {
    within(PREPARED_WITHIN, || {
        let leader = nodes.leader().ok_or_else(|| "no node leads".to_owned())?;
        let addr = nodes.addr(leader).map_err(|error| error.to_string())?;
        let connection = RawConnection::connect(addr);
        let put = connection.and_then(|mut connection| put_machines(&mut connection));
        put.map_err(|error| error.to_string())
    })?;
    create_shared(shared, rng)
}

fn put_machines(connection: &mut RawConnection) -> Result<(), Error> {
    let simple = |state: &str| {
        json!({
            "states": [state], "initial": state,
            "transitions": [{"from": state, "event": "SET", "to": state}],
        })
    };
    let mut machines: Vec<(&str, Value)> = vec![
        ("register", simple("on")),
        ("account", simple("open")),
        ("item", simple("in")),
    ];
    machines.extend(TestMachine::ALL.map(|machine| (machine.name(), machine.definition())));
    for (name, definition) in machines {
        let put = json!({"machine": name, "version": 1, "definition": definition});
        connection.call("PUT_MACHINE", &put)?;
    }
    Ok(())
}

/// Creates the instances that clients share.
fn create_shared(shared: &ClientsShared, rng: &mut Rng) -> Result<(), Error> {
    let kinds = [
        (Workload::Register, "reg", "register", json!({"v": 0})),
        (
            Workload::Machine,
            "order",
            "order",
            json!({"total_cents": 50}),
        ),
        (Workload::Once, "once", "counter", json!({})),
        (Workload::Lock, LEDGER, "counter", json!({})),
        (
            Workload::Bank,
            "acct",
            "account",
            json!({"cents": bank::CENTS_EACH}),
        ),
    ];
    for (workload, prefix, machine, ctx) in kinds {
        let mut client = ChaosClient::new(SUITE, workload, rng.fork(), shared);
        for number in 0..SHARED_INSTANCES {
            let create = json!({
                "machine": machine, "version": 1, "instance_id": format!("{prefix}-{number}"),
                "initial_ctx": ctx,
            });
            within(PREPARED_WITHIN, || {
                match client.call("CREATE_INSTANCE", create.clone()) {
                    Some(RequestOutcome::Ok(_)) => Ok(()),
                    // An earlier attempt has created it.
                    Some(RequestOutcome::Refused { code, .. }) if code == "INSTANCE_EXISTS" => {
                        Ok(())
                    }
                    other => Err(format!("{prefix}-{number} was not created: {other:?}")),
                }
            })?;
        }
    }
    Ok(())
}

/// Brings the log to rest: no lock is held any more, everything has fired that is due, and automation is paused.
///
/// # Errors
/// When the cluster does not do it in time.
pub fn rest(shared: &ClientsShared, rng: &mut Rng) -> Result<(), Error> {
    locks::rest(shared, rng)?;
    timers::rest(shared, rng)
}

/// Reads every shared instance once on every node, after the last fault.
pub fn read_at_last(shared: &ClientsShared, rng: &mut Rng) {
    let nodes: Vec<u64> = shared.directory.read().iter().map(|(id, _)| *id).collect();
    for (workload, prefix) in [
        (Workload::Register, "reg"),
        (Workload::Machine, "order"),
        (Workload::Once, "once"),
        (Workload::Parcel, "parcel"),
        (Workload::Lock, LEDGER),
    ] {
        let mut client = ChaosClient::new(SUITE, workload, rng.fork(), shared);
        for node in &nodes {
            for number in 0..SHARED_INSTANCES {
                client.go_to(*node);
                client.call(
                    "GET_INSTANCE",
                    json!({"instance_id": format!("{prefix}-{number}")}),
                );
            }
        }
    }
    let mut client = ChaosClient::new(SUITE, Workload::Bank, rng.fork(), shared);
    for node in nodes {
        client.go_to(node);
        client.call("BATCH", bank::read_all());
    }
}

/// One of the shared instances with this prefix.
fn one_of(prefix: &str, client: &mut ChaosClient) -> String {
    format!("{prefix}-{}", client.rng.below(SHARED_INSTANCES))
}
