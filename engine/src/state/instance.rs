//! An instance as the state holds it: small, because there are millions.

pub(crate) mod timers;

use std::sync::Arc;

use bytes::Bytes;

use super::table::Keyed;

/// Contexts up to this size are copied into a reply; longer ones are shared.
const CTX_COPY_BYTES_MAX: usize = 1024;

/// One version of an instance: never changed, replaced by the next one.
///
/// All of it is one allocation: numbers at fixed places, then id, context and the last event's id. With
/// millions of instances, an event spends most of its time waiting for memory.
#[derive(Clone, Debug)]
pub(crate) struct Instance(Arc<[u8]>);

/// Where the numbers are, little-endian.
mod at {
    pub(super) const STATE: usize = 0;
    pub(super) const CREATED_MS: usize = 2;
    pub(super) const UPDATED_MS: usize = 10;
    pub(super) const LAST_OFFSET: usize = 18;
    pub(super) const CREATED_OFFSET: usize = 26;
    pub(super) const MACHINE: usize = 34;
    pub(super) const ID_BYTES: usize = 38;
    pub(super) const EVENT_ID_BYTES: usize = 40;
    pub(super) const ID: usize = 42;
}

/// What an instance is made of.
pub(crate) struct InstanceParts<'a> {
    pub(crate) id: &'a str,
    pub(crate) machine: u32,
    pub(crate) state: u16,
    pub(crate) ctx: &'a [u8],
    pub(crate) event_id: &'a str,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    pub(crate) last_offset: u64,
    pub(crate) created_offset: u64,
}

impl Instance {
    /// Copies the context: a slice of a log entry would keep the whole entry in memory.
    ///
    /// `None` when an id is too long for a u16; no decision allows that.
    pub(crate) fn new(parts: &InstanceParts<'_>, buffer: &mut Vec<u8>) -> Option<Self> {
        let id_bytes = u16::try_from(parts.id.len()).ok()?;
        let event_id_bytes = u16::try_from(parts.event_id.len()).ok()?;
        buffer.clear();
        buffer.extend_from_slice(&parts.state.to_le_bytes());
        buffer.extend_from_slice(&parts.created_ms.to_le_bytes());
        buffer.extend_from_slice(&parts.updated_ms.to_le_bytes());
        buffer.extend_from_slice(&parts.last_offset.to_le_bytes());
        buffer.extend_from_slice(&parts.created_offset.to_le_bytes());
        buffer.extend_from_slice(&parts.machine.to_le_bytes());
        buffer.extend_from_slice(&id_bytes.to_le_bytes());
        buffer.extend_from_slice(&event_id_bytes.to_le_bytes());
        buffer.extend_from_slice(parts.id.as_bytes());
        buffer.extend_from_slice(parts.ctx);
        buffer.extend_from_slice(parts.event_id.as_bytes());
        Some(Self(Arc::from(buffer.as_slice())))
    }

    pub(crate) fn id(&self) -> &str {
        // It was made from a `str`, so this never falls back.
        std::str::from_utf8(self.id_bytes()).unwrap_or_default()
    }

    fn id_bytes(&self) -> &[u8] {
        &self.0[at::ID..self.ctx_from()]
    }

    pub(crate) fn ctx(&self) -> &[u8] {
        &self.0[self.ctx_from()..self.event_id_from()]
    }

    pub(crate) fn event_id(&self) -> Option<&str> {
        let id = &self.0[self.event_id_from()..];
        std::str::from_utf8(id).ok().filter(|id| !id.is_empty())
    }

    /// Position in the state's machines.
    pub(crate) fn machine(&self) -> u32 {
        u32::from_le_bytes(self.number(at::MACHINE))
    }

    /// Position in the machine's states.
    pub(crate) fn state(&self) -> u16 {
        u16::from_le_bytes(self.number(at::STATE))
    }

    pub(crate) fn created_ms(&self) -> u64 {
        u64::from_le_bytes(self.number(at::CREATED_MS))
    }

    pub(crate) fn updated_ms(&self) -> u64 {
        u64::from_le_bytes(self.number(at::UPDATED_MS))
    }

    pub(crate) fn last_offset(&self) -> u64 {
        u64::from_le_bytes(self.number(at::LAST_OFFSET))
    }

    /// Where its present life began. Earlier facts belong to a deleted instance with the same id.
    pub(crate) fn created_offset(&self) -> u64 {
        u64::from_le_bytes(self.number(at::CREATED_OFFSET))
    }

    /// Everything a digest must see, but for the machine, whose own digest stands for it.
    pub(crate) fn digest_into(&self, buffer: &mut Vec<u8>) {
        self.digest_with(&self.0[at::STATE..at::MACHINE], buffer);
    }

    /// The digest as in records of format 1, which did not store where an instance was created.
    pub(crate) fn digest_of_format_1_into(&self, buffer: &mut Vec<u8>) {
        self.digest_with(&self.0[at::STATE..at::CREATED_OFFSET], buffer);
    }

    fn digest_with(&self, numbers: &[u8], buffer: &mut Vec<u8>) {
        let id = self.id_bytes();
        buffer.extend_from_slice(numbers);
        buffer.extend_from_slice(&(id.len() as u32).to_le_bytes());
        buffer.extend_from_slice(id);
        buffer.extend_from_slice(&self.0[at::EVENT_ID_BYTES..at::ID]);
        buffer.extend_from_slice(&self.0[self.ctx_from()..]);
    }

    fn ctx_from(&self) -> usize {
        at::ID + usize::from(u16::from_le_bytes(self.number(at::ID_BYTES)))
    }

    fn event_id_from(&self) -> usize {
        let bytes = u16::from_le_bytes(self.number(at::EVENT_ID_BYTES));
        self.0.len() - usize::from(bytes)
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[at..at + N]);
        bytes
    }
}

impl Keyed for Instance {
    fn key(&self) -> &[u8] {
        self.id_bytes()
    }
}

struct Ctx(Instance);

impl AsRef<[u8]> for Ctx {
    fn as_ref(&self) -> &[u8] {
        self.0.ctx()
    }
}

/// The context for a reply.
pub(crate) fn ctx_bytes(instance: &Instance) -> Bytes {
    if instance.ctx().len() <= CTX_COPY_BYTES_MAX {
        Bytes::copy_from_slice(instance.ctx())
    } else {
        Bytes::from_owner(Ctx(instance.clone()))
    }
}
