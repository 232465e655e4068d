//! The digest: replicas at the same offset must agree on it.
//!
//! It is the sum of a 128-bit hash per item. So it does not depend on how the items are stored, and an apply
//! only updates it by the items that it changes.

use xxhash_rust::xxh3::xxh3_128;

use super::idempotency::key_record::KeyRecord;
use super::instance::Instance;
use super::{State, UsedId};
use crate::fact::level;

impl State {
    /// The digest of everything replicas must agree on.
    pub fn digest(&self) -> u128 {
        self.with_rest(self.items_digest)
    }

    /// The digest from every item anew; always equal to [`State::digest`].
    pub fn recompute_digest(&self) -> u128 {
        self.with_rest(self.sum_items())
    }

    /// Adds what is no item: the time, the level, and the state of automation. At the first level the digest is what it
    /// was before there were levels.
    fn with_rest(&self, items: u128) -> u128 {
        let timed = with_time(items, self.last_time_ms);
        let leveled = match self.level {
            level::FIRST => timed,
            level => timed.wrapping_add(xxh3_128(&[&b"l"[..], &level.to_le_bytes()].concat())),
        };
        match &self.automation {
            None => leveled,
            Some(automation) => leveled.wrapping_add(automation.digest()),
        }
    }

    fn sum_items(&self) -> u128 {
        let mut buffer = Vec::new();
        let mut sum = 0u128;
        for machine in self.machines.living_by_number().flatten() {
            sum = sum.wrapping_add(machine.digest);
        }
        for instance in self.instances.iter() {
            sum = sum.wrapping_add(self.instance_digest(instance, &mut buffer));
        }
        for used in self.used_ids.iter() {
            sum = sum.wrapping_add(used_id_digest(used, &mut buffer));
        }
        for timers in self.timers.iter() {
            sum = sum.wrapping_add(timers.digest());
        }
        for lock in self.locks.iter() {
            sum = sum.wrapping_add(lock.digest());
        }
        for record in self.keys.since(0) {
            sum = sum.wrapping_add(self.key_digest(record, &mut buffer));
        }
        sum
    }

    pub(super) fn instance_digest(&self, instance: &Instance, buffer: &mut Vec<u8>) -> u128 {
        buffer.clear();
        self.instance_into(instance, buffer);
        xxh3_128(buffer)
    }

    fn instance_into(&self, instance: &Instance, buffer: &mut Vec<u8>) {
        let machine = self.machines.by_number(instance.machine());
        buffer.push(b'i');
        buffer.extend_from_slice(&machine.map_or(0, |machine| machine.digest).to_le_bytes());
        instance.digest_into(buffer);
    }

    pub(super) fn key_digest(&self, record: &KeyRecord, buffer: &mut Vec<u8>) -> u128 {
        let machine = self.machines.by_number(record.brief().machine);
        buffer.clear();
        buffer.push(b'k');
        record.digest_into(machine.map_or(0, |machine| machine.digest), buffer);
        xxh3_128(buffer)
    }

    pub(super) fn add_digest(&mut self, item: u128) {
        self.items_digest = self.items_digest.wrapping_add(item);
    }

    pub(super) fn remove_digest(&mut self, item: u128) {
        self.items_digest = self.items_digest.wrapping_sub(item);
    }
}

pub(super) fn used_id_digest(used: &UsedId, buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    buffer.push(b'u');
    buffer.extend_from_slice(&used.last_offset.to_le_bytes());
    buffer.extend_from_slice(used.id.as_bytes());
    xxh3_128(buffer)
}

fn with_time(items: u128, time_ms: u64) -> u128 {
    items.wrapping_add(xxh3_128(&[&b"t"[..], &time_ms.to_le_bytes()].concat()))
}
