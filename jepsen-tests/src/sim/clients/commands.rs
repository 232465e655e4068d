//! The machines and the instances of all clients.

use bytes::Bytes;
use rstmdb_engine::{Command, CreateInstance, PutMachine};
use rstmdb_sim::machines::TestMachine;

/// What every order costs.
pub(super) const TOTAL_CENTS: u64 = 100;

/// Puts a machine.
pub fn definition(machine: TestMachine) -> Command {
    Command::PutMachine(PutMachine {
        machine: machine.name().to_owned(),
        version: 1,
        definition: Bytes::from(machine.definition().to_string()),
        checksum: None,
    })
}

/// An instance that all clients write to.
pub fn instance(number: u64) -> (String, TestMachine) {
    let machine = TestMachine::SIMULATED[usize::try_from(number % 3).unwrap_or(0)];
    (format!("{}-{number}", machine.name()), machine)
}

/// Asks for an instance.
pub fn create(id: &str, machine: TestMachine, keyed: bool) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        id_given: true,
        machine: machine.name().to_owned(),
        version: 1,
        initial_ctx: Some(Bytes::from(format!(r#"{{"total_cents":{TOTAL_CENTS}}}"#))),
        idempotency_key: keyed.then(|| format!("create-{id}")),
        import: None,
    })
}
