//! Checks a proof, with nothing but the proof and a head that was kept.
//!
//! The hashes lead from some head to the head at the end. It is not feasible to find other entries, or another order of
//! them, that lead to the same head. So if that head is the head that was kept, the log had the entries that the proof
//! shows whole, at the offsets that the proof gives.
//!
//! Nothing in between can be missing. Each fact of a life names the instance's fact before it. And each hash says whether
//! its entry creates or deletes instances. For such an entry the proof has to name them, by hashes of their ids. So a
//! proof cannot pass over a whole life either.

use std::io::{BufRead, Read};

use bytes::Bytes;
use rstmdb_engine::chain::{EntryHash, EntryKind, HASH_BYTES, Head, Life, Logged, OpenedEntry};
use rstmdb_engine::fact::{Body, Entry, Fact, Message};
use rstmdb_rcp::message::storage::audit::AuditEntry;

use super::facts::{ShownFact, said, wal_entry};
use super::format::{Begin, FORMAT, LINE_BYTES_MAX, ProofEnd, ProofLine, VERSION};

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is wrong.
    #[error("line {line}: {what}")]
    Line {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// Where the shown history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofBeginning {
    /// With the creation of the instance.
    Created,
    /// Behind a fact at this offset, which is not shown.
    Behind(u64),
}

/// What a proof shows, if its head is the right one.
#[derive(Debug)]
pub struct Proven {
    /// Whose history it is.
    pub instance_id: String,
    /// The cluster that the log is of, as the proof says.
    pub cluster_id: String,
    /// The first entry that is covered.
    pub from_offset: u64,
    /// The entry of the last fact that is shown.
    pub last_fact: u64,
    /// The last entry that is covered.
    pub to_offset: u64,
    /// The head there.
    pub head: Head,
    /// Where the history begins.
    pub beginning: ProofBeginning,
    /// The instance's facts, oldest first.
    pub facts: Vec<ShownFact>,
    /// Entries that create or delete the instance, and that had no effect by the word of the node only.
    pub said_stale: Vec<u64>,
}

/// Follows the lines of a proof to its end.
///
/// # Errors
/// When it contradicts itself, or does not show a history without gaps.
pub fn check(mut proof: impl BufRead) -> Result<Proven, ProofFault> {
    let mut number = 0;
    let mut text = String::new();
    let mut following: Option<Following> = None;
    loop {
        text.clear();
        number += 1;
        let wrong = |what: String| ProofFault::Line { line: number, what };
        let length = (&mut proof).take(LINE_BYTES_MAX).read_line(&mut text)?;
        if length == 0 {
            return Err(wrong(
                "it ends without its last line, so it was cut off".to_owned(),
            ));
        }
        if length as u64 == LINE_BYTES_MAX {
            return Err(wrong(format!("at most {LINE_BYTES_MAX} bytes, got more")));
        }
        let Some(so_far) = &mut following else {
            following = Some(Following::begin(&text).map_err(wrong)?);
            continue;
        };
        let line: ProofLine =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match line {
            ProofLine {
                hashes: Some(hashes),
                lives: None,
                entry: None,
                end: None,
            } => so_far.hashes(&hashes.0).map_err(wrong)?,
            ProofLine {
                hashes: None,
                lives: Some(opened),
                entry: None,
                end: None,
            } => so_far.lives(&opened.0).map_err(wrong)?,
            ProofLine {
                hashes: None,
                lives: None,
                entry: Some(entry),
                end: None,
            } => so_far.entry(entry).map_err(wrong)?,
            ProofLine {
                hashes: None,
                lives: None,
                entry: None,
                end: Some(end),
            } => {
                let proven = so_far.end(&end).map_err(wrong)?;
                return nothing_follows(proof, number).map(|()| proven);
            }
            _ => {
                let one = "expected one of hashes, lives, entry and end";
                return Err(wrong(one.to_owned()));
            }
        }
    }
}

fn nothing_follows(mut proof: impl BufRead, last: u64) -> Result<(), ProofFault> {
    match proof.fill_buf()?.is_empty() {
        true => Ok(()),
        false => Err(ProofFault::Line {
            line: last + 1,
            what: "it follows the last line".to_owned(),
        }),
    }
}

/// A proof as far as it was followed.
struct Following {
    begin: Begin,
    next: u64,
    head: Head,
    beginning: Option<ProofBeginning>,
    /// The offset of the instance's last fact, while it lives.
    last: Option<u64>,
    last_fact: u64,
    facts: Vec<ShownFact>,
    said_stale: Vec<u64>,
}

impl Following {
    fn begin(text: &str) -> Result<Self, String> {
        let begin: Begin = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if begin.format != FORMAT {
            return Err(format!(
                "format: expected {FORMAT:?}, got {:?}",
                begin.format
            ));
        }
        if begin.version != VERSION {
            let version = begin.version;
            return Err(format!(
                "version: this program reads {VERSION}, got {version}"
            ));
        }
        if begin.from_offset == 0 {
            return Err("from_offset: expected an integer ≥ 1, got 0".to_owned());
        }
        let head = begin.head_before.parse();
        let head = head.map_err(|error| format!("head_before: {error}"))?;
        Ok(Self {
            next: begin.from_offset,
            head,
            beginning: None,
            last: None,
            last_fact: 0,
            facts: Vec::new(),
            said_stale: Vec::new(),
            begin,
        })
    }

    fn hashes(&mut self, hashes: &[u8]) -> Result<(), String> {
        let (hashes, rest) = hashes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || hashes.is_empty() {
            return Err(format!(
                "hashes: expected {HASH_BYTES} bytes for each of at least one entry"
            ));
        }
        hashes.iter().try_for_each(|hash| {
            let hash = EntryHash(*hash);
            if hash.has_lives() {
                return Err(format!(
                    "hashes: the entry at offset {} creates or deletes instances, and it is not said which",
                    self.next
                ));
            }
            self.step(&hash)
        })
    }

    /// An entry that creates or deletes instances, but not this one.
    fn lives(&mut self, opened: &[u8]) -> Result<(), String> {
        let offset = self.next;
        let opened = OpenedEntry::of_bytes(opened)
            .ok_or("lives: expected 32 bytes, and 16 for each of at least one instance")?;
        let own = [
            Life::of(offset, &self.begin.instance_id),
            Life::of_all(offset),
        ];
        if opened.lives.iter().any(|life| own.contains(life)) {
            return Err(format!(
                "lives: the entry at offset {offset} creates or deletes the instance, and is not shown"
            ));
        }
        self.step(&opened.hash())
    }

    fn step(&mut self, hash: &EntryHash) -> Result<(), String> {
        self.head = self.head.then(hash);
        self.next = self.next.checked_add(1).ok_or("offsets end here")?;
        Ok(())
    }

    fn entry(&mut self, entry: AuditEntry) -> Result<(), String> {
        if entry.offset != self.next {
            return Err(format!(
                "entry: expected the one at offset {}, got {}",
                self.next, entry.offset
            ));
        }
        let logged = Logged {
            term: entry.term,
            offset: entry.offset,
            kind: EntryKind::Normal,
            payload: &entry.data.0,
        };
        self.step(&logged.hash())?;
        let offset = entry.offset;
        let decoded = Entry::decode(Bytes::from(entry.data.0));
        let decoded = decoded.map_err(|error| format!("the entry at offset {offset}: {error}"))?;
        if decoded.index != offset && !entry.stale {
            return Err(format!(
                "the entry at offset {offset} was decided for offset {}, so it had no effect",
                decoded.index
            ));
        }
        if entry.stale {
            // An entry that was decided for another offset never has an effect. Of any other one only the node knows.
            if decoded.index == offset {
                self.said_stale.push(offset);
            }
            return Ok(());
        }
        for fact in &decoded.facts {
            let shown = self.fact(&decoded, fact, offset);
            shown.map_err(|what| format!("the entry at offset {offset}: {what}"))?;
        }
        Ok(())
    }

    /// Takes a fact, if it is about the instance.
    fn fact(&mut self, entry: &Entry, fact: &Fact, offset: u64) -> Result<(), String> {
        let id = &self.begin.instance_id;
        match &fact.body {
            Some(Body::FlushAll(_)) => self.last = None,
            Some(Body::CreateInstance(create)) if create.instance_id == *id => {
                if let Some(last) = self.last {
                    return Err(format!(
                        "it creates the instance, which was there since offset {last}"
                    ));
                }
                self.beginning.get_or_insert(match create.prev_offset {
                    0 => ProofBeginning::Created,
                    behind => ProofBeginning::Behind(behind),
                });
                self.last = Some(offset);
            }
            Some(Body::ApplyEvent(apply)) if apply.instance_id == *id => {
                self.follows(apply.prev_offset)?;
                self.last = Some(offset);
            }
            Some(Body::DeleteInstance(delete)) if delete.instance_id == *id => {
                self.follows(delete.prev_offset)?;
                self.last = None;
            }
            _ => return Ok(()),
        }
        let record = ShownFact {
            sequence: offset,
            offset,
            entry: wal_entry(entry, fact)?,
            meta: said(entry),
        };
        self.facts.push(record);
        self.last_fact = offset;
        Ok(())
    }

    /// A fact of an instance that lives names the one before it.
    fn follows(&mut self, prev_offset: u64) -> Result<(), String> {
        match (self.beginning, self.last) {
            (None, _) => self.beginning = Some(ProofBeginning::Behind(prev_offset)),
            (Some(_), Some(last)) if last == prev_offset => {}
            (Some(_), Some(last)) => {
                return Err(format!(
                    "it follows a fact at offset {prev_offset}, but the last one that the proof shows is at {last}"
                ));
            }
            (Some(_), None) => {
                return Err(format!(
                    "it follows a fact at offset {prev_offset}, but by the proof there was no instance then"
                ));
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &ProofEnd) -> Result<Proven, String> {
        let last = self.next - 1;
        if end.to_offset != last {
            return Err(format!(
                "to_offset: the lines lead to {last}, got {}",
                end.to_offset
            ));
        }
        if end.head.parse() != Ok(self.head) {
            return Err(format!(
                "head: the lines lead to {}, got {:?}",
                self.head, end.head
            ));
        }
        let beginning = self
            .beginning
            .ok_or("it shows no fact about the instance")?;
        Ok(Proven {
            instance_id: self.begin.instance_id.clone(),
            cluster_id: self.begin.cluster_id.clone(),
            from_offset: self.begin.from_offset,
            last_fact: self.last_fact,
            to_offset: last,
            head: self.head,
            beginning,
            facts: std::mem::take(&mut self.facts),
            said_stale: std::mem::take(&mut self.said_stale),
        })
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
