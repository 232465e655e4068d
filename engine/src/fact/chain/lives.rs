//! Which instances an entry creates and deletes, as the chain knows it.
//!
//! A proof shows of most entries a hash only. So it could hide that an instance was deleted and created again in between.
//! It cannot, because the hash of an entry says whether the entry creates or deletes any instance, and a proof has to
//! name these instances. It names each by a hash of its id and of the offset. So a proof does not show which other
//! instances were created, but a reader who guesses an id can confirm the guess.
//!
//! ```text
//! life    = BLAKE3(LIFE_KEY, offset ‖ id), its first 16 bytes; FLUSH_ALL has the empty id
//! content = BLAKE3(ENTRY_KEY, term ‖ index ‖ kind ‖ payload)
//! hash    = content, its last bit 0                                        if there is no life
//!           BLAKE3(LIVES_KEY, content ‖ life ‖ life ‖ …), its last bit 1   otherwise
//! ```

use super::{EntryHash, HASH_BYTES};
use crate::fact::{Body, Entry, Fact};

/// Bytes of a [`Life`].
pub const LIFE_BYTES: usize = 16;

const LIFE_KEY: [u8; HASH_BYTES] = *b"rstmdb chain 1: life of an id   ";
const LIVES_KEY: [u8; HASH_BYTES] = *b"rstmdb chain 1: entry with lives";

/// The last bit of a hash.
const LAST: usize = HASH_BYTES - 1;

/// That a life of an instance begins or ends at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub [u8; LIFE_BYTES]);

impl Life {
    /// Of this instance.
    pub fn of(offset: u64, instance_id: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&LIFE_KEY);
        hasher
            .update(&offset.to_le_bytes())
            .update(instance_id.as_bytes());
        let mut life = [0; LIFE_BYTES];
        hasher.finalize_xof().fill(&mut life);
        Self(life)
    }

    /// Of all instances at once.
    pub fn of_all(offset: u64) -> Self {
        // No instance has the empty id.
        Self::of(offset, "")
    }

    fn of_fact(offset: u64, fact: &Fact) -> Option<Self> {
        match fact.body.as_ref()? {
            Body::CreateInstance(create) => Some(Self::of(offset, &create.instance_id)),
            Body::DeleteInstance(delete) => Some(Self::of(offset, &delete.instance_id)),
            Body::FlushAll(_) => Some(Self::of_all(offset)),
            Body::PutMachine(_)
            | Body::DeleteMachine(_)
            | Body::ApplyEvent(_)
            | Body::SetLevel(_)
            | Body::TimerSpent(_)
            | Body::SetTimers(_)
            | Body::SetAutomation(_)
            | Body::LockChanged(_) => None,
        }
    }
}

/// What the hash of an entry is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedEntry {
    /// The hash of all its bytes.
    pub content: [u8; HASH_BYTES],
    /// The lives that its facts begin and end, in the order of the facts, whether it takes effect or not.
    pub lives: Vec<Life>,
}

impl OpenedEntry {
    pub(super) fn new(content: [u8; HASH_BYTES], offset: u64, entry: Option<&Entry>) -> Self {
        let facts = entry.iter().flat_map(|entry| &entry.facts);
        Self {
            content,
            lives: facts
                .filter_map(|fact| Life::of_fact(offset, fact))
                .collect(),
        }
    }

    /// The hash.
    pub fn hash(&self) -> EntryHash {
        if self.lives.is_empty() {
            let mut hash = self.content;
            hash[LAST] &= !1;
            return EntryHash(hash);
        }
        let mut hasher = blake3::Hasher::new_keyed(&LIVES_KEY);
        hasher.update(&self.content);
        for life in &self.lives {
            hasher.update(&life.0);
        }
        let mut hash = *hasher.finalize().as_bytes();
        hash[LAST] |= 1;
        EntryHash(hash)
    }

    /// As bytes: the content's hash, then the lives.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lives = self.lives.iter().map(|life| life.0);
        let mut bytes = self.content.to_vec();
        bytes.extend(lives.flatten());
        bytes
    }

    /// From these bytes. `None` if they are none, or name no life.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, lives) = bytes.split_first_chunk::<HASH_BYTES>()?;
        let (lives, rest) = lives.as_chunks::<LIFE_BYTES>();
        (rest.is_empty() && !lives.is_empty()).then(|| Self {
            content: *content,
            lives: lives.iter().copied().map(Life).collect(),
        })
    }
}

impl EntryHash {
    /// Whether the entry has facts that create or delete instances.
    pub fn has_lives(&self) -> bool {
        self.0[LAST] & 1 == 1
    }
}
