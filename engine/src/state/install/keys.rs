//! Idempotency keys: remembering and forgetting them, with the digest, and with the machine that each names.

use super::FactAt;
use crate::fact;
use crate::state::State;
use crate::state::idempotency::key_record::key_name::{Scope, key_name, name_in};
use crate::state::idempotency::key_record::{KeyBrief, KeyParts, KeyRecord};

impl State {
    /// Forgets the keys that earlier facts of this entry gave the instance. Offsets tell keys of earlier
    /// entries from those of the instance's next life, but not keys of this entry.
    pub(super) fn end_keys_of_entry(&mut self, id: &str, at: FactAt<'_>) {
        for fact in at.before {
            let Some(name) = name_in(fact).filter(|_| fact.instance_id() == Some(id)) else {
                continue;
            };
            let of_this_entry = self
                .keys
                .get(&name)
                .is_some_and(|key| key.offset() == at.offset);
            if of_this_entry && let Some(removed) = self.keys.remove(&name) {
                self.key_out(&removed);
            }
        }
    }

    pub(super) fn put_key(
        &mut self,
        scope: Scope<'_>,
        key: &fact::Key,
        at: FactAt<'_>,
        brief: KeyBrief<'_>,
    ) {
        self.remember(&KeyParts {
            name: &key_name(scope, &key.key),
            params_hash: key.params_hash,
            time_ms: at.time_ms,
            offset: at.offset,
            brief,
        });
    }

    pub(in crate::state) fn remember(&mut self, parts: &KeyParts<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (record, replaced) = self.keys.insert(parts, &mut scratch);
        let digest = self.key_digest(&record, &mut scratch);
        self.scratch = scratch;
        self.add_digest(digest);
        if let Some(machine) = record.machine() {
            self.machines.key_in(machine);
        }
        if let Some(replaced) = replaced {
            self.key_out(&replaced);
        }
    }

    pub(super) fn forget_keys(&mut self, at: FactAt<'_>) {
        for record in self.keys.forget(at.bounds, at.time_ms) {
            self.key_out(&record);
        }
    }

    /// Removes a forgotten key from the digest. The key's part contains the digest of its machine, so a deleted machine
    /// stays until none of its keys is left.
    fn key_out(&mut self, record: &KeyRecord) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let digest = self.key_digest(record, &mut scratch);
        self.scratch = scratch;
        self.remove_digest(digest);
        if let Some(machine) = record.machine() {
            self.machines.key_out(machine);
        }
    }
}
