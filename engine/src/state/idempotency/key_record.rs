//! A remembered key as the state holds it: small, because there are millions.

pub(crate) mod key_name;

use std::sync::Arc;

use crate::state::table::Keyed;
use key_name::{instance_in, is_without_state};

/// What a key costs besides its own bytes, about: two places in tables, the allocation, the numbers.
pub(crate) const KEY_BYTES: u64 = 176;

/// All of it is one allocation: numbers at fixed places, then the name, then the instance's id where the name
/// does not hold it.
#[derive(Clone, Debug)]
pub(crate) struct KeyRecord(Arc<[u8]>);

/// Where the numbers are, little-endian.
mod at {
    pub(super) const PARAMS_HASH: usize = 0;
    pub(super) const TIME_MS: usize = 8;
    pub(super) const OFFSET: usize = 16;
    pub(super) const FROM: usize = 24;
    pub(super) const TO: usize = 26;
    pub(super) const IS_LAST: usize = 28;
    pub(super) const MACHINE: usize = 29;
    pub(super) const PLACE: usize = 33;
    pub(super) const NAME_BYTES: usize = 41;
    pub(super) const NAME: usize = 45;
}

/// The answer to a retry, without the context, which is in the log.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyBrief<'a> {
    /// Of the instance, as its position in the state's machines.
    pub(crate) machine: u32,
    /// The state it came from, for an event.
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// No later fact of the entry changed the instance. So while the instance is at the key's offset, it is
    /// as the key's fact left it.
    pub(crate) is_last: bool,
    /// Where the name does not hold it.
    pub(crate) instance_id: &'a str,
}

/// What a record is made of.
pub(crate) struct KeyParts<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) params_hash: u64,
    pub(crate) time_ms: u64,
    pub(crate) offset: u64,
    pub(crate) brief: KeyBrief<'a>,
}

impl KeyRecord {
    /// `place` is where it stands in the order of all keys of this node.
    pub(in crate::state) fn new(parts: &KeyParts<'_>, place: u64, buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&parts.params_hash.to_le_bytes());
        buffer.extend_from_slice(&parts.time_ms.to_le_bytes());
        buffer.extend_from_slice(&parts.offset.to_le_bytes());
        buffer.extend_from_slice(&parts.brief.from.to_le_bytes());
        buffer.extend_from_slice(&parts.brief.to.to_le_bytes());
        buffer.push(u8::from(parts.brief.is_last));
        buffer.extend_from_slice(&parts.brief.machine.to_le_bytes());
        buffer.extend_from_slice(&place.to_le_bytes());
        buffer.extend_from_slice(&(parts.name.len() as u32).to_le_bytes());
        buffer.extend_from_slice(parts.name);
        buffer.extend_from_slice(parts.brief.instance_id.as_bytes());
        Self(Arc::from(buffer.as_slice()))
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.0[at::NAME..self.id_from()]
    }

    pub(crate) fn params_hash(&self) -> u64 {
        u64::from_le_bytes(self.number(at::PARAMS_HASH))
    }

    pub(crate) fn time_ms(&self) -> u64 {
        u64::from_le_bytes(self.number(at::TIME_MS))
    }

    pub(crate) fn offset(&self) -> u64 {
        u64::from_le_bytes(self.number(at::OFFSET))
    }

    pub(in crate::state) fn place(&self) -> u64 {
        u64::from_le_bytes(self.number(at::PLACE))
    }

    pub(crate) fn brief(&self) -> KeyBrief<'_> {
        KeyBrief {
            machine: u32::from_le_bytes(self.number(at::MACHINE)),
            from: u16::from_le_bytes(self.number(at::FROM)),
            to: u16::from_le_bytes(self.number(at::TO)),
            is_last: self.0[at::IS_LAST] != 0,
            // It was made from a `str`, so this never falls back.
            instance_id: std::str::from_utf8(&self.0[self.id_from()..]).unwrap_or_default(),
        }
    }

    /// The number of the machine that it names, if it names one.
    pub(in crate::state) fn machine(&self) -> Option<u32> {
        (!is_without_state(self.name())).then(|| self.brief().machine)
    }

    /// The instance it is about.
    pub(crate) fn instance_id(&self) -> &str {
        instance_in(self.name()).unwrap_or_else(|| self.brief().instance_id)
    }

    /// Its cost in the bound of bytes; the same on every node.
    pub(crate) fn cost(&self) -> u64 {
        KEY_BYTES + (self.0.len() - at::NAME) as u64
    }

    /// Everything a digest must see, but for the place, which is this node's own, and the machine, whose own
    /// digest stands for it.
    pub(crate) fn digest_into(&self, machine: u128, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.0[..at::MACHINE]);
        if !is_without_state(self.name()) {
            buffer.extend_from_slice(&machine.to_le_bytes());
        }
        buffer.extend_from_slice(&self.0[at::NAME_BYTES..]);
    }

    fn id_from(&self) -> usize {
        at::NAME + u32::from_le_bytes(self.number(at::NAME_BYTES)) as usize
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[at..at + N]);
        bytes
    }
}

impl Keyed for KeyRecord {
    fn key(&self) -> &[u8] {
        self.name()
    }
}
