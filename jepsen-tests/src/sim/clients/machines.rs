//! A version of a machine that comes and goes, instances of it, and instances that are imported.

use rstmdb_engine::{Command, DeleteMachine, Import, PutMachine};

use rstmdb_sim::check::answers::{Intent, WritePart};
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::rng::Rng;

use super::SimClient;
use super::commands::{create, definition};

/// The version that comes and goes.
const VERSION: u32 = 2;

/// Puts the version, or deletes it.
pub(super) fn any_write(rng: &mut Rng, tag: &str) -> (Command, Vec<WritePart>) {
    let machine = TestMachine::Counter;
    if rng.percent(50) {
        let Command::PutMachine(put) = definition(machine) else {
            return (definition(machine), Vec::new());
        };
        let put = PutMachine {
            version: VERSION,
            ..put
        };
        return (Command::PutMachine(put), Vec::new());
    }
    let part = WritePart {
        instance: machine.name().to_owned(),
        intent: Intent::DeleteVersion(VERSION),
        tag: format!("delete-{tag}"),
    };
    let delete = DeleteMachine {
        machine: machine.name().to_owned(),
        version: Some(VERSION),
    };
    (Command::DeleteMachine(delete), vec![part])
}

/// Creates an instance, of the version that may be gone, or imports one.
fn any_creation(rng: &mut Rng, id: &str, keyed: bool) -> Command {
    let imports = rng.percent(30);
    let machine = match imports {
        true => TestMachine::Order,
        false => TestMachine::Counter,
    };
    let Command::CreateInstance(mut new) = create(id, machine, keyed) else {
        return create(id, machine, keyed);
    };
    if imports {
        new.import = Some(Box::new(Import {
            state: rng.pick(&machine.states()).clone(),
            created_ms: rng.percent(50).then_some(1),
            updated_ms: rng.percent(50).then_some(2),
        }));
    } else if rng.percent(30) {
        new.version = VERSION;
    }
    Command::CreateInstance(new)
}

impl SimClient {
    /// Whether the cluster has the level that imports and deletions of machines need.
    pub(super) fn may_need_level(&self) -> bool {
        self.world.settings.clients_say
    }

    pub(super) fn create(&mut self, keyed: bool) -> (Command, Vec<WritePart>) {
        let id = format!("item-{}", self.tag());
        self.items.push(id.clone());
        let part = WritePart {
            instance: id.clone(),
            intent: Intent::Create,
            tag: id.clone(),
        };
        let command = match self.may_need_level() {
            true => any_creation(&mut self.rng, &id, keyed),
            false => create(&id, TestMachine::Counter, keyed),
        };
        (command, vec![part])
    }
}
