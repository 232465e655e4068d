//! Facts in flight that define and delete machines.

use std::sync::Arc;

use super::{Overlay, OverlayKey};
use crate::fact;
use crate::machine::Compiled;

impl Overlay {
    pub(super) fn put_machine(&mut self, put: &fact::PutMachine, offset: u64, compiled: &Compiled) {
        // A definition without usable states cannot be decided on; apply reports it.
        let Ok(machine) = compiled.machine(put) else {
            return;
        };
        let name = machine.name.clone();
        self.machines
            .insert((name.clone(), put.version), (offset, Some(machine)));
        self.touched
            .push_back((offset, OverlayKey::Machine(name, put.version)));
    }

    pub(super) fn delete_machine(&mut self, delete: &fact::DeleteMachine, offset: u64) {
        let name: Arc<str> = Arc::from(delete.machine.as_str());
        for version in &delete.versions {
            self.machines
                .insert((name.clone(), *version), (offset, None));
            self.touched
                .push_back((offset, OverlayKey::Machine(name.clone(), *version)));
        }
    }
}
