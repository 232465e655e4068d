//! The chain: one hash over the whole log from some offset on.
//!
//! Each entry of the log has a hash, and each hash goes into the head of the chain:
//!
//! ```text
//! hash of entry n  = BLAKE3(ENTRY_KEY, term ‖ index ‖ kind ‖ payload), and which instances it creates and deletes
//! head at entry n  = BLAKE3(LINK_KEY, head at entry n-1 ‖ hash of entry n)
//! ```
//!
//! `docs/wal-format.md` defines every byte, so that another program can compute the same. The head at an offset
//! depends on every entry up to there, and on their order. So an operator who keeps a head outside of the cluster can
//! check later whether the log up to there is still the same. A proof has only the hashes of the entries that it does
//! not show.

mod lives;
pub(crate) mod planted;

use std::fmt;
use std::str::FromStr;

use imbl::OrdMap;
use prost::Message;

pub use lives::{LIFE_BYTES, Life, OpenedEntry};

use super::Entry;

/// Bytes of a hash and of a head.
pub const HASH_BYTES: usize = 32;

/// What precedes the payload in the hashed bytes of an entry.
const HEAD_BYTES: usize = 17;
/// BLAKE3 hashes up to this many bytes without a tree, and so without the memory for one.
const CHUNK_BYTES: usize = 1024;

const ENTRY_KEY: [u8; HASH_BYTES] = *b"rstmdb chain 1: hash of an entry";
const LINK_KEY: [u8; HASH_BYTES] = *b"rstmdb chain 1: head after entry";

/// A head is remembered at each multiple of this offset.
pub const MARK_OFFSETS: u64 = 4_096;
/// How many heads are remembered; the oldest go first.
pub const MARKS_MAX: usize = 4_096;

/// What an entry of the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Nothing: a leader's first entry.
    Blank,
    /// Facts.
    Normal,
    /// The members of the cluster.
    Membership,
}

impl EntryKind {
    /// Its number in the log.
    pub const fn number(self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Normal => 1,
            Self::Membership => 2,
        }
    }

    /// The kind with this number in the log.
    pub const fn of_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Blank),
            1 => Some(Self::Normal),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
}

/// An entry as it is in the log of every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged<'a> {
    /// Raft's term.
    pub term: u64,
    /// Its place in the log.
    pub offset: u64,
    /// What it holds.
    pub kind: EntryKind,
    /// As it was given to the log: before compression and encryption.
    pub payload: &'a [u8],
}

impl Logged<'_> {
    /// Its hash. Decodes the payload; see [`Logged::hash_with`].
    pub fn hash(&self) -> EntryHash {
        self.opened().hash()
    }

    /// Its hash, for a caller that has the facts in the payload; `None` if it holds none.
    pub fn hash_with(&self, facts: Option<&Entry>) -> EntryHash {
        OpenedEntry::new(self.content(), self.offset, facts).hash()
    }

    /// What its hash is made of.
    pub fn opened(&self) -> OpenedEntry {
        let facts = match self.kind {
            EntryKind::Normal => Entry::decode(self.payload).ok(),
            EntryKind::Blank | EntryKind::Membership => None,
        };
        OpenedEntry::new(self.content(), self.offset, facts.as_ref())
    }

    fn content(&self) -> [u8; HASH_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.term.to_le_bytes());
        head[8..16].copy_from_slice(&self.offset.to_le_bytes());
        head[16] = self.kind.number();
        let end = HEAD_BYTES + self.payload.len();
        if end <= CHUNK_BYTES {
            let mut bytes = [0; CHUNK_BYTES];
            bytes[..HEAD_BYTES].copy_from_slice(&head);
            bytes[HEAD_BYTES..end].copy_from_slice(self.payload);
            return *blake3::keyed_hash(&ENTRY_KEY, &bytes[..end]).as_bytes();
        }
        let mut hasher = blake3::Hasher::new_keyed(&ENTRY_KEY);
        hasher.update(&head).update(self.payload);
        *hasher.finalize().as_bytes()
    }
}

/// The hash of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntryHash(pub [u8; HASH_BYTES]);

/// The head of the chain at some offset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head(pub [u8; HASH_BYTES]);

impl Head {
    /// Before the first entry of a chain.
    pub const BEGIN: Self = Self([0; HASH_BYTES]);

    /// The head at the next entry.
    #[must_use]
    pub fn then(&self, entry: &EntryHash) -> Self {
        let mut bytes = [0; 2 * HASH_BYTES];
        bytes[..HASH_BYTES].copy_from_slice(&self.0);
        bytes[HASH_BYTES..].copy_from_slice(&entry.0);
        Self(*blake3::keyed_hash(&LINK_KEY, &bytes).as_bytes())
    }

    /// The head in these bytes, if there are as many as a head has.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({self})")
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({})", hex::encode(self.0))
    }
}

/// A text that is no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a head of 64 hexadecimal digits, got {0:?}")]
pub struct NoHead(String);

impl FromStr for Head {
    type Err = NoHead;

    fn from_str(text: &str) -> Result<Self, NoHead> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NoHead(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// The chain at the end of what was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    first: u64,
    last: u64,
    head: Head,
    /// Heads at earlier offsets.
    marks: OrdMap<u64, Head>,
}

/// An entry was not added to the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain ends at {last}, and entry {offset} does not follow it")]
pub struct Gap {
    /// The last entry in the chain.
    pub last: u64,
    /// The entry that was to follow.
    pub offset: u64,
}

impl Chain {
    /// A chain whose first entry will be this one; never the one at 0, which only some nodes have.
    pub fn begin(first: u64) -> Self {
        let last = first.saturating_sub(1);
        Self {
            first,
            last,
            head: Head::BEGIN,
            marks: OrdMap::unit(last, Head::BEGIN),
        }
    }

    /// A chain that was written down.
    pub(crate) fn restored(
        first: u64,
        last: u64,
        head: Head,
        marks: impl IntoIterator<Item = (u64, Head)>,
    ) -> Self {
        let marks = marks.into_iter().collect();
        Self {
            first,
            last,
            head,
            marks,
        }
    }

    /// The first entry in it.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The last entry in it; one below the first when there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The head at the last entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The remembered heads at earlier offsets, ascending. The first may be the one before the first entry.
    pub fn marks(&self) -> impl DoubleEndedIterator<Item = (u64, Head)> + '_ {
        self.marks.iter().map(|(offset, head)| (*offset, *head))
    }

    /// The newest known head at this offset or before it.
    pub fn known_at(&self, offset: u64) -> Option<(u64, Head)> {
        if offset >= self.last {
            return Some((self.last, self.head));
        }
        let known = self.marks.range(..=offset).next_back();
        known.map(|(offset, head)| (*offset, *head))
    }

    /// Adds the entry at `offset`. Entries before the chain's first are passed over.
    pub(crate) fn add(&mut self, offset: u64, entry: &EntryHash) -> Result<(), Gap> {
        if offset < self.first {
            return Ok(());
        }
        if offset != self.last + 1 {
            return Err(Gap {
                last: self.last,
                offset,
            });
        }
        self.pass(offset, self.head.then(entry));
        Ok(())
    }

    fn forget_first(&mut self) {
        if let Some((first, _)) = self.marks.get_min() {
            let first = *first;
            self.marks.remove(&first);
        }
    }

    /// The chain goes to `offset`, where it has this head.
    pub(crate) fn pass(&mut self, offset: u64, head: Head) {
        self.last = offset;
        self.head = head;
        if offset.is_multiple_of(MARK_OFFSETS) {
            self.marks.insert(offset, head);
            if self.marks.len() > MARKS_MAX {
                self.forget_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fact::{ApplyEvent, Body, CreateInstance, DeleteInstance, Fact, FlushAll};

    fn logged(offset: u64, payload: &[u8]) -> Logged<'_> {
        Logged {
            term: 3,
            offset,
            kind: EntryKind::Normal,
            payload,
        }
    }

    /// As an auditor's program would, by the words of the document.
    fn by_the_document(entry: &Logged<'_>, before: [u8; 32]) -> ([u8; 32], [u8; 32]) {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&entry.term.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.push(entry.kind.number());
        bytes.extend_from_slice(entry.payload);
        let mut hash = *blake3::keyed_hash(b"rstmdb chain 1: hash of an entry", &bytes).as_bytes();
        hash[31] &= 0xfe;
        let link = [before, hash].concat();
        let head = *blake3::keyed_hash(b"rstmdb chain 1: head after entry", &link).as_bytes();
        (hash, head)
    }

    #[test]
    fn hashes_and_heads_are_those_of_the_document() {
        for length in [0, 1, 47, 1_006, 1_007, 1_008, 5_000] {
            let payload = vec![7; length];
            let entry = logged(9, &payload);
            let (hash, head) = by_the_document(&entry, [0; 32]);
            assert_eq!(entry.hash(), EntryHash(hash), "{length} bytes");
            assert_eq!(Head::BEGIN.then(&entry.hash()), Head(head));
        }
    }

    fn with_facts(offset: u64, bodies: Vec<Body>) -> Vec<u8> {
        let entry = Entry {
            index: offset,
            facts: bodies.into_iter().map(Fact::from).collect(),
            ..Entry::default()
        };
        entry.encode_to_vec()
    }

    fn create(id: &str) -> Body {
        Body::CreateInstance(CreateInstance {
            instance_id: id.to_owned(),
            ..CreateInstance::default()
        })
    }

    #[test]
    fn the_hash_of_an_entry_says_which_instances_it_creates_and_deletes() {
        let delete = Body::DeleteInstance(DeleteInstance {
            instance_id: "b".to_owned(),
            ..DeleteInstance::default()
        });
        let event = Body::ApplyEvent(ApplyEvent::default());
        let flush = Body::FlushAll(FlushAll::default());
        let payload = with_facts(9, vec![create("a"), event.clone(), delete, flush]);
        let entry = logged(9, &payload);
        // As an auditor's program would, by the words of the document.
        let life = |id: &str| {
            let bytes = [&9_u64.to_le_bytes()[..], id.as_bytes()].concat();
            let hash = blake3::keyed_hash(b"rstmdb chain 1: life of an id   ", &bytes);
            hash.as_bytes()[..16].to_vec()
        };
        let mut bytes = 3_u64.to_le_bytes().to_vec();
        bytes.extend(9_u64.to_le_bytes());
        bytes.push(1);
        bytes.extend(&payload);
        let content = *blake3::keyed_hash(b"rstmdb chain 1: hash of an entry", &bytes).as_bytes();
        let bytes = [&content[..], &life("a"), &life("b"), &life("")].concat();
        let mut hash = *blake3::keyed_hash(b"rstmdb chain 1: entry with lives", &bytes).as_bytes();
        hash[31] |= 1;
        assert_eq!(entry.hash(), EntryHash(hash));
        assert!(entry.hash().has_lives());
        assert_eq!(entry.opened().to_bytes(), bytes);
        assert_eq!(OpenedEntry::of_bytes(&bytes), Some(entry.opened()));
        for none in [&bytes[..31], &bytes[..32], &bytes[..33]] {
            assert_eq!(OpenedEntry::of_bytes(none), None);
        }
        let decoded = Entry::decode(&*payload).unwrap();
        assert_eq!(entry.hash_with(Some(&decoded)), entry.hash());
        let payload = with_facts(9, vec![event]);
        assert!(!logged(9, &payload).hash().has_lives());
    }

    #[test]
    fn no_content_passes_for_an_entry_without_lives() {
        for n in 0..200_u64 {
            let payload = with_facts(n, vec![create(&n.to_string())]);
            assert!(logged(n, &payload).hash().has_lives());
            assert!(!logged(n, &n.to_le_bytes()).hash().has_lives());
        }
    }

    #[test]
    fn hashes_never_change_from_one_version_to_the_next() {
        let mut chain = Chain::begin(1);
        chain.add(1, &logged(1, b"first").hash()).unwrap();
        let blank = Logged {
            term: 4,
            offset: 2,
            kind: EntryKind::Blank,
            payload: b"",
        };
        chain.add(2, &blank.hash()).unwrap();
        assert_eq!(chain.head().to_string(), KNOWN_HEAD);
        assert_eq!(KNOWN_HEAD.parse(), Ok(chain.head()));
    }

    /// Also in `docs/wal-format.md`.
    const KNOWN_HEAD: &str = "5ab398d389d92761c97b9ec640925b5e655cc226ac0e31fb9e794c41edd150a5";

    #[test]
    fn every_part_of_an_entry_is_in_its_hash() {
        let entry = logged(9, b"payload");
        let others = [
            Logged { term: 4, ..entry },
            Logged {
                offset: 10,
                ..entry
            },
            Logged {
                kind: EntryKind::Membership,
                ..entry
            },
            logged(9, b"paxload"),
            logged(9, b"payload\0"),
            logged(9, b""),
        ];
        for other in others {
            assert_ne!(other.hash(), entry.hash(), "{other:?}");
        }
    }

    #[test]
    fn a_chain_takes_entries_in_their_order_and_without_a_gap() {
        let hash = |offset| logged(offset, b"x").hash();
        let mut chain = Chain::begin(5);
        assert_eq!((chain.first(), chain.last()), (5, 4));
        chain.add(3, &hash(3)).unwrap();
        assert_eq!(chain.head(), Head::BEGIN, "it was before the first");
        assert!(chain.add(6, &hash(6)).is_err());
        chain.add(5, &hash(5)).unwrap();
        assert!(chain.add(5, &hash(5)).is_err());
        assert!(chain.add(7, &hash(7)).is_err());
        chain.add(6, &hash(6)).unwrap();
        assert_eq!(chain.last(), 6);
        assert_ne!(
            Head::BEGIN.then(&hash(5)).then(&hash(6)),
            Head::BEGIN.then(&hash(6)).then(&hash(5)),
        );
        assert_eq!(chain.head(), Head::BEGIN.then(&hash(5)).then(&hash(6)));
    }

    #[test]
    fn heads_are_remembered_at_intervals_and_the_oldest_are_forgotten() {
        let mut chain = Chain::begin(10);
        let end = MARK_OFFSETS * (MARKS_MAX as u64 + 3) + 17;
        // Only what lies at the intervals is remembered, so the rest may be passed over.
        let at_marks = (1..).map(|number| number * MARK_OFFSETS);
        for offset in at_marks.take_while(|offset| *offset < end).chain([end]) {
            let mut head = [0; 32];
            head[..8].copy_from_slice(&offset.to_le_bytes());
            chain.pass(offset, Head(head));
        }
        assert_eq!(chain.marks().count(), MARKS_MAX);
        let (first, _) = chain.marks().next().unwrap();
        assert_eq!(first, 4 * MARK_OFFSETS);
        assert_eq!(chain.known_at(first - 1), None);
        let (known, head) = chain.known_at(first + 1).unwrap();
        assert_eq!((known, &head.0[..8]), (first, &first.to_le_bytes()[..]));
        assert_eq!(chain.known_at(end + 9), Some((end, chain.head())));
    }

    #[test]
    fn text_that_is_no_head_is_refused_with_what_it_was() {
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
            let refused = bad.parse::<Head>().unwrap_err().to_string();
            assert!(refused.contains("64 hexadecimal digits"), "{refused}");
        }
    }

    #[test]
    fn numbers_of_kinds_are_those_of_the_log() {
        for number in 0..=255 {
            match EntryKind::of_number(number) {
                Some(kind) => assert_eq!(kind.number(), number),
                None => assert!(number > 2),
            }
        }
    }
}
