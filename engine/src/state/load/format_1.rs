//! Records of format 1: a key held its instance as it was after the key's fact, and an instance did not hold
//! the offset of its creation.
//!
//! The written digest covers the records in this form. The loader still checks it: it adds up the difference
//! to this version's digest.

use xxhash_rust::xxh3::xxh3_128;

use super::super::idempotency::key_record::KeyBrief;
use super::super::idempotency::key_record::key_name::instance_in;
use super::super::instance::Instance;
use super::{StateLoader, parts, proto};
use proto::key;

impl StateLoader {
    /// Takes an instance into account that was added when the items' digest was `before`.
    pub(super) fn correct_instance(&mut self, instance: &Instance, before: u128) {
        let mut text = Vec::new();
        self.instance_into(instance, &mut text);
        self.correct(&text, before);
    }

    fn correct(&mut self, text: &[u8], before: u128) {
        let added = self.state.items_digest.wrapping_sub(before);
        let more = xxh3_128(text).wrapping_sub(added);
        self.earlier_digest = self.earlier_digest.wrapping_add(more);
    }

    fn instance_into(&self, instance: &Instance, text: &mut Vec<u8>) {
        let machine = self.state.machines.by_number(instance.machine());
        text.push(b'i');
        text.extend_from_slice(&machine.map_or(0, |machine| machine.digest).to_le_bytes());
        instance.digest_of_format_1_into(text);
    }

    pub(super) fn key_of_format_1(&mut self, message: &proto::Key) -> Result<(), String> {
        if self.format != 1 {
            return Err("a key of an earlier format".to_owned());
        }
        let mut text = vec![b'k'];
        text.extend_from_slice(&(message.name.len() as u32).to_le_bytes());
        text.extend_from_slice(&message.name);
        text.extend_from_slice(&message.params_hash.to_le_bytes());
        text.extend_from_slice(&message.time_ms.to_le_bytes());
        text.extend_from_slice(&message.offset.to_le_bytes());
        let before = self.state.items_digest;
        if let Some(key::Result::After(after)) = &message.result {
            let instance = self.instance_after(after)?;
            let brief = brief_of(message, after, &instance)?;
            if after.from_state.is_some() {
                text.extend_from_slice(&brief.from.to_le_bytes());
            }
            self.instance_into(&instance, &mut text);
            self.state.remember(&parts(message, brief));
        } else {
            if let Some(key::Result::Deleted(id)) = &message.result {
                text.extend_from_slice(id.as_bytes());
            }
            self.state.remember(&parts(message, KeyBrief::default()));
        }
        self.correct(&text, before);
        Ok(())
    }

    fn instance_after(&mut self, after: &proto::After) -> Result<Instance, String> {
        if let Some(message) = &after.instance {
            return self.read_instance(message);
        }
        let same = self.state.instances.get(after.same_as.as_bytes());
        same.cloned()
            .ok_or_else(|| format!("a key's instance {:?} is missing", after.same_as))
    }
}

fn brief_of<'a>(
    message: &proto::Key,
    after: &proto::After,
    instance: &'a Instance,
) -> Result<KeyBrief<'a>, String> {
    let from = after.from_state.unwrap_or_default();
    let is_of_machine = instance_in(&message.name).is_none();
    Ok(KeyBrief {
        machine: instance.machine(),
        from: u16::try_from(from).map_err(|_| "a key's state is out of range")?,
        to: instance.state(),
        // Entries that a version with format 1 wrote are applied in the same way now.
        is_last: false,
        instance_id: match is_of_machine {
            true => instance.id(),
            false => "",
        },
    })
}
