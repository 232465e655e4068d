//! Builds a state from a snapshot and the entries after it, and checks it against the digests that the cluster had.
//!
//! A restore and the check of a backup both go through here. So the check refuses exactly what a restore would
//! refuse.

use bytes::Bytes;
use prost::Message;

use crate::apply::EntryOutcome;
use crate::chain::{Chain, EntryKind, Logged};
use crate::fact::Entry;
use crate::state::{self, State, StateLoader};

/// Why a replay cannot go on. The caller knows the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A record of the snapshot, or an entry, does not fit.
    #[error("it cannot be applied: {0}")]
    Engine(#[from] state::Error),
    /// An entry does not hold facts.
    #[error("the entry at offset {offset} cannot be decoded: {reason}")]
    Undecodable {
        /// Where it is.
        offset: u64,
        /// What the decoder says.
        reason: String,
    },
    /// The snapshot is of another offset.
    #[error("it holds the state at offset {found}, not at offset {named}")]
    Offset {
        /// The offset in it.
        found: u64,
        /// The offset that it should have.
        named: u64,
    },
    /// The state differs from the one that the cluster had.
    #[error(
        "it does not lead to the state that the cluster had at offset {offset}: the digest is {found:032x}, the \
         cluster's was {known}"
    )]
    Digest {
        /// The offset of both states.
        offset: u64,
        /// The digest of the state here.
        found: u128,
        /// The digest that the cluster had, in hex.
        known: String,
    },
    /// The entries are not those that the cluster had.
    #[error(
        "an entry up to offset {offset} is not the one that the cluster had: the head of the chain is {found}, the \
         cluster's was {known}"
    )]
    Chain {
        /// The offset of both heads.
        offset: u64,
        /// The head here.
        found: String,
        /// The head that the cluster had.
        known: String,
    },
}

/// Which entries are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All of them.
    End,
    /// Those up to this offset, inclusive.
    Offset(u64),
    /// Those up to this time, Unix milliseconds, inclusive. An entry is not later than the state before it, whatever
    /// time it carries.
    TimeMs(u64),
}

/// What a replay did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayedEntry {
    /// The snapshot has it already.
    Covered,
    /// It was applied.
    Applied,
    /// It comes after the requested end, and so do all later entries.
    Beyond,
}

/// A snapshot that is being read.
pub struct SnapshotBeginning {
    loader: StateLoader,
    offset: u64,
    digest: String,
}

impl SnapshotBeginning {
    /// A snapshot of the state at `offset`, which had this digest, in hex.
    pub fn new(offset: u64, digest: &str) -> Self {
        Self {
            loader: StateLoader::new(),
            offset,
            digest: digest.to_owned(),
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn push(&mut self, record: Bytes) -> Result<(), Error> {
        Ok(self.loader.push(record)?)
    }

    /// The replay that goes on from the snapshot.
    ///
    /// # Errors
    /// When the snapshot is not whole, or not the one that it should be.
    pub fn finish(self, until: Until) -> Result<Replay, Error> {
        let state = self.loader.finish()?;
        if state.last_applied() != self.offset {
            return Err(Error::Offset {
                found: state.last_applied(),
                named: self.offset,
            });
        }
        compare(&state, &self.digest)?;
        Ok(Replay { state, until })
    }
}

/// A state that entries are applied to, in the order of the log.
pub struct Replay {
    state: State,
    until: Until,
}

impl Replay {
    /// From before the first entry.
    pub fn new(until: Until) -> Self {
        Self {
            state: State::new(),
            until,
        }
    }

    /// Takes the next entry, as it is in the log.
    ///
    /// # Errors
    /// When it does not fit; the replay is over then.
    pub fn entry(&mut self, logged: &Logged<'_>) -> Result<ReplayedEntry, Error> {
        let step = self.apply(logged)?;
        if step == ReplayedEntry::Applied {
            self.state.link(logged.offset, &logged.hash())?;
        }
        Ok(step)
    }

    fn apply(&mut self, logged: &Logged<'_>) -> Result<ReplayedEntry, Error> {
        let offset = logged.offset;
        if offset <= self.state.last_applied() {
            return Ok(ReplayedEntry::Covered);
        }
        if matches!(self.until, Until::Offset(last) if offset > last) {
            return Ok(ReplayedEntry::Beyond);
        }
        if logged.kind != EntryKind::Normal {
            self.state.skip(offset);
            return Ok(ReplayedEntry::Applied);
        }
        let entry = Entry::decode(logged.payload).map_err(|error| Error::Undecodable {
            offset,
            reason: error.to_string(),
        })?;
        if self.is_in_time(&entry) {
            self.state.apply(&entry, offset)?;
            return Ok(ReplayedEntry::Applied);
        }
        // A stale entry has no effect at any time. Entries within the requested time may still follow it.
        let mut ahead = self.state.clone();
        if ahead.apply(&entry, offset)? == EntryOutcome::Applied {
            return Ok(ReplayedEntry::Beyond);
        }
        self.state = ahead;
        Ok(ReplayedEntry::Applied)
    }

    fn is_in_time(&self, entry: &Entry) -> bool {
        let time_ms = entry.time_ms.max(self.state.last_time_ms());
        !matches!(self.until, Until::TimeMs(last_ms) if time_ms > last_ms)
    }

    /// Compares the state with the digest, in hex, that the cluster had at `offset`, if the replay is there and the
    /// digest is known.
    ///
    /// # Errors
    /// When it is another one.
    pub fn compare(&self, offset: u64, known: Option<&str>) -> Result<(), Error> {
        match known {
            Some(known) if offset == self.state.last_applied() => compare(&self.state, known),
            _ => Ok(()),
        }
    }

    /// Compares the chain with the head, in hex, that the cluster had at `offset`, if the replay is there and the head
    /// is known.
    ///
    /// # Errors
    /// When it is another one.
    pub fn compare_head(&self, offset: u64, known: Option<&str>) -> Result<(), Error> {
        let Some(known) = known.filter(|_| offset == self.state.last_applied()) else {
            return Ok(());
        };
        let found = self.state.chain().map(Chain::head);
        if found.is_some() && known.parse().ok() == found {
            return Ok(());
        }
        Err(Error::Chain {
            offset,
            found: found.map_or_else(|| "none".to_owned(), |head| head.to_string()),
            known: known.to_owned(),
        })
    }

    /// Compares state and chain at the end of a file of entries, as [`Replay::compare`] and [`Replay::compare_head`] do.
    ///
    /// # Errors
    /// When one of them is another one.
    pub fn compare_end(
        &self,
        offset: u64,
        digest: Option<&str>,
        head: Option<&str>,
    ) -> Result<(), Error> {
        self.compare(offset, digest)?;
        self.compare_head(offset, head)
    }

    /// The state so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state that it has come to.
    pub fn into_state(self) -> State {
        self.state
    }
}

fn compare(state: &State, known: &str) -> Result<(), Error> {
    let found = state.digest();
    if format!("{found:032x}") == known {
        return Ok(());
    }
    Err(Error::Digest {
        offset: state.last_applied(),
        found,
        known: known.to_owned(),
    })
}
