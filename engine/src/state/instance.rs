//! An instance as the state holds it: small, because there are millions.

use std::sync::Arc;

use bytes::Bytes;

use super::table::Keyed;

/// Contexts up to this size are copied into a reply; longer ones are shared.
const CTX_COPY_BYTES_MAX: usize = 1024;

/// One version of an instance: never changed, replaced by the next one.
///
/// The context and the last event's id share one allocation.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: Arc<str>,
    text: Box<[u8]>,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    pub(crate) last_offset: u64,
    /// Position in the state's machines.
    pub(crate) machine: u32,
    /// Position in the machine's states.
    pub(crate) state: u16,
    event_id_bytes: u16,
}

/// What an instance is made of.
pub(crate) struct Parts<'a> {
    pub(crate) id: Arc<str>,
    pub(crate) machine: u32,
    pub(crate) state: u16,
    pub(crate) ctx: &'a [u8],
    pub(crate) event_id: &'a str,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    pub(crate) last_offset: u64,
}

impl Instance {
    /// Copies the context: a slice of a log entry would keep the whole entry in memory.
    ///
    /// None when the event's id is longer than a u16 can say, which no decision allows.
    pub(crate) fn new(parts: Parts<'_>) -> Option<Self> {
        let event_id_bytes = u16::try_from(parts.event_id.len()).ok()?;
        Some(Self {
            text: [parts.ctx, parts.event_id.as_bytes()]
                .concat()
                .into_boxed_slice(),
            id: parts.id,
            created_ms: parts.created_ms,
            updated_ms: parts.updated_ms,
            last_offset: parts.last_offset,
            machine: parts.machine,
            state: parts.state,
            event_id_bytes,
        })
    }

    pub(crate) fn ctx(&self) -> &[u8] {
        &self.text[..self.text.len() - usize::from(self.event_id_bytes)]
    }

    pub(crate) fn event_id(&self) -> Option<&str> {
        let id = &self.text[self.text.len() - usize::from(self.event_id_bytes)..];
        std::str::from_utf8(id).ok().filter(|id| !id.is_empty())
    }

    /// Everything a digest must see, but for the machine, whose position differs between nodes.
    pub(crate) fn digest_into(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.state.to_le_bytes());
        buffer.extend_from_slice(&self.created_ms.to_le_bytes());
        buffer.extend_from_slice(&self.updated_ms.to_le_bytes());
        buffer.extend_from_slice(&self.last_offset.to_le_bytes());
        buffer.extend_from_slice(&(self.id.len() as u32).to_le_bytes());
        buffer.extend_from_slice(self.id.as_bytes());
        buffer.extend_from_slice(&self.event_id_bytes.to_le_bytes());
        buffer.extend_from_slice(&self.text);
    }
}

impl Keyed for Instance {
    fn key(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

struct Ctx(Arc<Instance>);

impl AsRef<[u8]> for Ctx {
    fn as_ref(&self) -> &[u8] {
        self.0.ctx()
    }
}

/// The context for a reply.
pub(crate) fn ctx_bytes(instance: &Arc<Instance>) -> Bytes {
    if instance.ctx().len() <= CTX_COPY_BYTES_MAX {
        Bytes::copy_from_slice(instance.ctx())
    } else {
        Bytes::from_owner(Ctx(instance.clone()))
    }
}
