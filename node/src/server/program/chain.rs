//! The chain over a data folder's log: computed anew from the entries, and compared with the heads that are known.
//!
//! Checksums find what a disk has damaged. They do not find a change by a person who also computed the checksums anew.
//! The head of the chain at an offset depends on every entry up to there. So the entries between two known heads must
//! lead from the one to the other. Known are the heads that the snapshots hold, and those that the operator has kept
//! elsewhere. A person who can write to the folder can also change its snapshots: only a head that was kept elsewhere
//! proves that nothing was changed.

mod way;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use openraft::EntryPayload;
use rstmdb_engine::StateLoader;
use rstmdb_engine::chain::{EntryHash, Head};
use rstmdb_engine::fact::level::Feature;
use rstmdb_engine::fact::{self, Body, Message};
use rstmdb_raft_store::replay::{self, RecordVisitor};
use rstmdb_raft_store::{
    self as raft_store, Entry, Keyring, LogPosition, LogRecord, RealFs, SegmentHeader,
};

use crate::replica::entry_hash;
use way::FollowedChain;

/// A head that the operator has kept: `OFFSET:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptHead {
    offset: u64,
    head: Head,
}

impl FromStr for KeptHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (offset, head) = text
            .split_once(':')
            .ok_or_else(|| format!("expected OFFSET:HEAD, got {text:?}"))?;
        Ok(Self {
            offset: offset
                .parse()
                .map_err(|_| format!("expected an offset before the colon, got {offset:?}"))?,
            head: head
                .parse()
                .map_err(|error: rstmdb_engine::chain::NoHead| error.to_string())?,
        })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct CheckedChain {
    /// What is wrong.
    pub(super) faults: Vec<String>,
    /// Which kept heads were not compared, and why.
    pub(super) unproven: Vec<String>,
    /// What was compared, for the operator.
    pub(super) note: String,
}

/// A head, and where it comes from.
struct KnownHead {
    head: Head,
    source: String,
    /// Whether the operator has kept it, and may have written it down wrongly.
    is_kept: bool,
}

/// Gives the hashes of the entries from the first offset to the second one, which the folder does not have.
pub(super) type Older<'a> = &'a dyn Fn(u64, u64) -> Result<Vec<EntryHash>, String>;

/// Computes the chain over the log in `dir` and compares it with the heads of its snapshots and with those kept. If a kept
/// head lies before the log, the entries in between come from `older`.
pub(super) fn check(
    dir: &Path,
    keys: &Keyring,
    kept: &[KeptHead],
    older: Older<'_>,
) -> Result<CheckedChain, raft_store::Error> {
    let mut checked = CheckedChain::default();
    let mut known = BTreeMap::new();
    for KeptHead { offset, head } in kept {
        let source = "the one that you kept".to_owned();
        learn(&mut known, *offset, *head, source, &mut checked.faults);
        if let Some(known) = known.get_mut(offset) {
            known.is_kept = true;
        }
    }
    // Read before the log: so the log is at least as long, even if a node is writing it.
    learn_snapshots(dir, keys, &mut known, &mut checked.faults)?;
    let mut hashes = Hashes::default();
    replay::visit_history(&RealFs, dir, keys, &mut hashes)?;
    replay::visit(&RealFs, dir, keys, &mut hashes)?;
    if let Some(first) = hashes.begins {
        let source = "the beginning of the chain".to_owned();
        let head = Head::BEGIN;
        learn(&mut known, first - 1, head, source, &mut checked.faults);
    }
    let reached = reach_back(&mut hashes, &known, kept, older);
    let compared = follow(&hashes, &known, &mut checked);
    let (first, end) = (hashes.first, hashes.end());
    let why_not = |offset: u64| {
        if offset > end {
            Some(format!(
                "it lies beyond this log's end at {end}: this node had not got that far, or the end of its log was \
                 cut off. Compare it on another node"
            ))
        } else if offset < first.saturating_sub(1) {
            Some(match &reached {
                Err(why) => {
                    format!("the history before offset {first} is not in this folder: {why}")
                }
                Ok(()) => format!("this log begins at {first}"),
            })
        } else if !compared {
            Some("no other head is known within the log".to_owned())
        } else {
            None
        }
    };
    let unproven = kept.iter().filter_map(|kept| {
        let why = why_not(kept.offset)?;
        Some(format!(
            "the head at offset {} cannot be compared here: {why}",
            kept.offset
        ))
    });
    checked.unproven = unproven.collect();
    Ok(checked)
}

/// Adds the entries before the log, down to the known head at or before the first one that was kept. The error says why
/// they cannot be had.
fn reach_back(
    hashes: &mut Hashes,
    known: &BTreeMap<u64, KnownHead>,
    kept: &[KeptHead],
    older: Older<'_>,
) -> Result<(), String> {
    let Some(first_kept) = kept.iter().map(|kept| kept.offset).min() else {
        return Ok(());
    };
    let behind = hashes.first.saturating_sub(1);
    if first_kept >= behind {
        return Ok(());
    }
    // Without another head before it, the kept head itself is the beginning, and leads to the next known one.
    let is_kept = |offset: u64| kept.iter().any(|kept| kept.offset == offset);
    let mut before = known.range(..=first_kept).rev();
    let begin = before.find(|(offset, _)| !is_kept(**offset));
    let begin = begin.map_or(first_kept, |(offset, _)| *offset);
    hashes.prepend(begin + 1, older(begin + 1, behind)?);
    Ok(())
}

/// Notes a head. Two heads at one offset must be the same. If they differ, this is reported once, and the new head
/// replaces one that the operator kept.
fn learn(
    known: &mut BTreeMap<u64, KnownHead>,
    offset: u64,
    head: Head,
    source: String,
    faults: &mut Vec<String>,
) {
    let new = KnownHead {
        head,
        source,
        is_kept: false,
    };
    match known.get_mut(&offset) {
        Some(other) if other.head != head => {
            faults.push(format!(
                "at offset {offset} the head of {} is {head}, and {} is {}",
                new.source, other.source, other.head
            ));
            if other.is_kept {
                *other = new;
            }
        }
        Some(_) => {}
        None => {
            known.insert(offset, new);
        }
    }
}

fn learn_snapshots(
    dir: &Path,
    keys: &Keyring,
    known: &mut BTreeMap<u64, KnownHead>,
    faults: &mut Vec<String>,
) -> Result<(), raft_store::Error> {
    for file in raft_store::snapshot_files(&RealFs, dir)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut records = raft_store::read_snapshot_file(&RealFs, &file, keys)?;
        let Some(first) = records.next().transpose()? else {
            continue;
        };
        let mut loader = StateLoader::new();
        if let Err(error) = loader.push(first) {
            faults.push(format!("{name}: {error}"));
            continue;
        }
        let Some(chain) = loader.chain() else {
            continue;
        };
        let newest = (chain.last(), chain.head());
        let begin = (chain.first().saturating_sub(1), Head::BEGIN);
        for (offset, head) in [begin].into_iter().chain(chain.marks()).chain([newest]) {
            learn(known, offset, head, format!("snapshot {name}"), faults);
        }
    }
    Ok(())
}

/// Follows the entries from the first known head on. Says whether there was another one to compare with.
fn follow(hashes: &Hashes, known: &BTreeMap<u64, KnownHead>, checked: &mut CheckedChain) -> bool {
    let mut usable = known.range(hashes.first.saturating_sub(1)..=hashes.end());
    let Some((begin, first)) = usable.next() else {
        checked.note = match known.is_empty() {
            true => "the chain was not checked: no snapshot has a head of it".to_owned(),
            false => "the chain was not checked: no head is known within the log".to_owned(),
        };
        return false;
    };
    let mut way = FollowedChain::from(*begin, first.head);
    for (offset, known) in usable {
        way.reach(hashes, *offset, known, &mut checked.faults);
    }
    let (at, mut head) = way.end(&mut checked.faults);
    if at == *begin {
        checked.note = format!(
            "the chain was not checked: the head at offset {begin} is the only one that is known within the log"
        );
        return false;
    }
    head = hashes.lead(at, head, hashes.end());
    checked.note = format!(
        "chain: entries {} to {} lead from one known head to the next; the head at offset {} is {head}",
        begin + 1,
        at,
        hashes.end()
    );
    if hashes.first < begin + 1 {
        checked.note.push_str(&format!(
            "; entries {} to {begin} lie before the first known head and were not checked",
            hashes.first
        ));
    }
    true
}

/// The hashes of a log's entries, without a gap.
#[derive(Default)]
struct Hashes {
    first: u64,
    /// The entry at which the chain begins, if it is among them.
    begins: Option<u64>,
    hashes: Vec<EntryHash>,
}

impl Hashes {
    /// The last entry; one below the first when there is none.
    fn end(&self) -> u64 {
        (self.first + self.hashes.len() as u64).saturating_sub(1)
    }

    /// The head at `to` that follows from the head at `from`.
    fn lead(&self, from: u64, head: Head, to: u64) -> Head {
        let place = |offset: u64| usize::try_from(offset + 1 - self.first).unwrap_or(usize::MAX);
        let between = self.hashes.get(place(from)..place(to));
        let between = between.unwrap_or_default().iter();
        between.fold(head, |head, hash| head.then(hash))
    }

    /// Puts the hashes of the entries from `first` on before those of the log, which they reach.
    fn prepend(&mut self, first: u64, mut older: Vec<EntryHash>) {
        if first + older.len() as u64 != self.first {
            return;
        }
        older.append(&mut self.hashes);
        self.hashes = older;
        self.first = first;
    }

    fn cut(&mut self, len: u64) {
        self.begins = self.begins.filter(|begins| *begins < self.first + len);
        self.hashes
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
    }

    fn take(&mut self, index: u64, hash: EntryHash) {
        let end = self.first + self.hashes.len() as u64;
        if index < self.first || index > end || self.hashes.is_empty() {
            // What came before it cannot be reached: a snapshot has replaced it.
            self.first = index;
            self.begins = None;
            self.hashes.clear();
        } else {
            self.cut(index - self.first);
        }
        self.hashes.push(hash);
    }
}

/// Whether the entry raises the cluster to the feature level from which on there is a chain.
fn begins_chain(entry: &Entry, index: u64) -> bool {
    let EntryPayload::Normal(data) = &entry.payload else {
        return false;
    };
    let Ok(entry) = fact::Entry::decode(data.0.clone()) else {
        return false;
    };
    let raises = |fact: &fact::Fact| matches!(&fact.body, Some(Body::SetLevel(set)) if set.level >= Feature::Chain.level());
    entry.index == index && entry.facts.iter().any(raises)
}

impl RecordVisitor for Hashes {
    fn segment(&mut self, _: &SegmentHeader, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn record(&mut self, _: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Entry(record) => {
                let entry = record.to_entry()?;
                let index = record.log_id.index;
                self.take(index, entry_hash(&entry));
                if self.begins.is_none() && begins_chain(&entry, index) {
                    self.begins = Some(index);
                }
            }
            LogRecord::Truncate(keep) => {
                let end = keep.map_or(0, |keep| keep.index + 1);
                self.cut(end.saturating_sub(self.first));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
