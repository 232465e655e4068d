//! The committed log of a run. Every node must apply the same entries.
//!
//! Each entry comes from the first node that shows it, and is compared with those of the other nodes as they
//! show theirs. Nothing is compared twice. The engine applies the chain once more, so that each node's digest
//! can be compared at the node's offset. The head of the chain over the entries is computed from the entries alone,
//! without the state that holds a node's.

use openraft::EntryPayload;
use rstmdb_engine::chain::{EntryHash, EntryKind, Head, Logged};
use rstmdb_engine::fact::{Entry as FactEntry, Message};
use rstmdb_engine::{EntryOutcome, State};
use rstmdb_raft_store::{Entry, encode_membership};

use super::facts::Facts;

/// A violation: the invariant, and what was seen instead.
pub type ChainViolation = (&'static str, String);

/// The committed log, and the state that it gives.
pub struct CommittedChain {
    entries: Vec<Entry>,
    /// Behind each offset, from 0 on.
    digests: Vec<u128>,
    /// The head behind each offset, from 0 on; `None` before the chain begins.
    heads: Vec<Option<Head>>,
    state: State,
    facts: Facts,
    stale: u64,
    /// Digests at offsets that the chain has not reached.
    early: Vec<(u64, u64, u128)>,
    /// Heads at such offsets.
    early_heads: Vec<(u64, u64, Option<Head>)>,
}

impl Default for CommittedChain {
    fn default() -> Self {
        let state = State::new();
        Self {
            entries: Vec::new(),
            digests: vec![state.digest()],
            heads: vec![None],
            state,
            facts: Facts::default(),
            stale: 0,
            early: Vec::new(),
            early_heads: Vec::new(),
        }
    }
}

impl CommittedChain {
    /// The last offset.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    /// From now on, what clients say about their writes is compared with the rule of [`super::said`].
    pub fn expect_said(&mut self) {
        self.facts.expect_said();
    }

    /// What the entries mean.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The log's time, in milliseconds.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.state.last_time_ms()
    }

    /// How many entries were stale: their premises no longer held.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// The entries from an offset on.
    #[must_use]
    pub fn from(&self, offset: u64) -> &[Entry] {
        let before = usize::try_from(offset.saturating_sub(1)).unwrap_or(usize::MAX);
        self.entries.get(before..).unwrap_or_default()
    }

    /// Takes the entries that a node has applied, in ascending order.
    ///
    /// # Errors
    /// When other nodes have applied something else, or the entries are invalid.
    pub fn applied(&mut self, node: u64, entries: &[Entry]) -> Result<(), ChainViolation> {
        for entry in entries {
            let offset = entry.log_id.index;
            match self.from(offset).first() {
                Some(known) if offset > 0 && known != entry => {
                    return Err((
                        "committed logs agree",
                        format!(
                            "node {node} has {} at {offset}, others {}",
                            entry.log_id, known.log_id
                        ),
                    ));
                }
                Some(_) => {}
                None if offset == self.end() + 1 => self.extend(node, entry)?,
                None => {
                    return Err((
                        "committed logs have no gap",
                        format!("node {node} shows {offset} behind {}", self.end()),
                    ));
                }
            }
        }
        Ok(())
    }

    fn extend(&mut self, node: u64, entry: &Entry) -> Result<(), ChainViolation> {
        let offset = entry.log_id.index;
        if let Some(last) = self.entries.last()
            && entry.log_id.committed_leader_id() < last.log_id.committed_leader_id()
        {
            let seen = format!("node {node}: {} behind {}", entry.log_id, last.log_id);
            return Err(("terms rise along the log", seen));
        }
        match &entry.payload {
            EntryPayload::Normal(data) => {
                let facts = FactEntry::decode(data.0.clone())
                    .map_err(|error| ("entries can be read", error.to_string()))?;
                let outcome = self.state.apply(&facts, offset);
                let outcome = outcome.map_err(|error| ("entries apply", error.to_string()))?;
                self.stale += u64::from(outcome == EntryOutcome::Stale);
                let effective = outcome == EntryOutcome::Applied;
                let taken = self.facts.take(&facts, offset, effective);
                taken.map_err(|wrong| ("facts follow the model", wrong))?;
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => self.state.skip(offset),
        }
        self.entries.push(entry.clone());
        self.digests.push(self.state.digest());
        let before = self.heads.last().copied().flatten();
        let begun = self.state.chain().is_some();
        let head = begun.then(|| before.unwrap_or(Head::BEGIN).then(&hash(entry)));
        self.heads.push(head);
        let due = |(_, at, _): &mut (u64, u64, u128)| *at == offset;
        let early: Vec<_> = self.early.extract_if(.., due).collect();
        for (node, offset, digest) in early {
            self.digest(node, offset, digest)?;
        }
        let due = |(_, at, _): &mut (u64, u64, Option<Head>)| *at == offset;
        let early: Vec<_> = self.early_heads.extract_if(.., due).collect();
        for (node, offset, head) in early {
            self.head(node, offset, head)?;
        }
        Ok(())
    }

    /// Compares the head of a node's chain over the log.
    ///
    /// # Errors
    /// When it differs from the one that the entries up to there give.
    pub fn head(
        &mut self,
        node: u64,
        offset: u64,
        head: Option<Head>,
    ) -> Result<(), ChainViolation> {
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.heads.get(place) {
            None => {
                self.early_heads.push((node, offset, head));
                Ok(())
            }
            Some(expected) if *expected == head => Ok(()),
            Some(expected) => Err((
                "heads of the chain agree",
                format!("node {node} at {offset}: {head:?}, the log gives {expected:?}"),
            )),
        }
    }

    /// Compares the digest of a node's state.
    ///
    /// # Errors
    /// When it differs from the log's digest up to there.
    pub fn digest(&mut self, node: u64, offset: u64, digest: u128) -> Result<(), ChainViolation> {
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.digests.get(place) {
            None => {
                self.early.push((node, offset, digest));
                Ok(())
            }
            Some(expected) if *expected == digest => Ok(()),
            Some(expected) => Err((
                "digests agree",
                format!("node {node} at {offset}: {digest:032x}, the log gives {expected:032x}"),
            )),
        }
    }
}

/// The hash of an entry.
fn hash(entry: &Entry) -> EntryHash {
    let membership;
    let (kind, payload): (_, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, &[]),
        EntryPayload::Normal(data) => (EntryKind::Normal, &data.0),
        EntryPayload::Membership(members) => {
            membership = encode_membership(members);
            (EntryKind::Membership, &membership)
        }
    };
    let logged = Logged {
        term: entry.log_id.leader_id.term,
        offset: entry.log_id.index,
        kind,
        payload,
    };
    logged.hash()
}
