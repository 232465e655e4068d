//! The nodes' logs, read from their folders with the product's own decoder, compared with each other, and
//! put together into one truth.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use rstmdb_engine::chain::{EntryKind, Head, Logged};
use rstmdb_engine::fact::{self, Body, Message, level};
use rstmdb_engine::{EntryOutcome, State};
use rstmdb_raft_store::replay::{self, RecordVisitor};
use rstmdb_raft_store::{
    Entry, Keyring, LogId, LogPosition, LogRecord, RealFs, SegmentHeader, encode_membership,
};

use super::error::Error;
use super::{LocksOfLog, TimersOfLog, TrueFact, Truth, meta, of_engine};

/// The kind of an entry for the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EntryContent {
    Nothing,
    /// As it is in the log.
    Membership(Bytes),
    Facts(Bytes),
}

/// Every entry that any node holds or held, by its log id: there must be one content for each.
type Contents = BTreeMap<LogId, EntryContent>;

/// One node's log, as its folder has it.
#[derive(Debug)]
struct NodeLog {
    node: u64,
    entries: BTreeMap<u64, LogId>,
    /// The last entry that the node knew to be committed. The node may not hold that entry yet.
    committed: Option<LogId>,
    /// The last entry that the node held and knew to be committed. The same is true of every entry before it.
    settled: Option<u64>,
}

impl Truth {
    /// The truth of the nodes' data folders. The nodes must be stopped, or the folders be copies. The caller gives
    /// every folder that exists, those of removed nodes too.
    ///
    /// # Errors
    /// When a folder cannot be read, or together they lack a committed entry.
    pub fn from_folders(folders: &[(u64, PathBuf)], keys: &Keyring) -> Result<Self, Error> {
        let mut contents = Contents::new();
        let mut disagreements = Vec::new();
        let mut logs = Vec::new();
        for (node, folder) in folders {
            let log = NodeLog::read(*node, folder, keys, &mut contents, &mut disagreements)
                .map_err(|source| Error::Log {
                    node: *node,
                    source,
                })?;
            logs.push(log);
        }
        let committed = agree(&logs, &mut disagreements);
        let mut truth = apply(&committed, &contents)?;
        truth.disagreements.splice(0..0, disagreements);
        truth.nodes = logs.len();
        Ok(truth)
    }
}

impl NodeLog {
    fn read(
        node: u64,
        folder: &Path,
        keys: &Keyring,
        contents: &mut Contents,
        disagreements: &mut Vec<String>,
    ) -> Result<Self, rstmdb_raft_store::Error> {
        let mut reader = NodeLogReader {
            log: NodeLog::new(node),
            contents,
            disagreements,
        };
        replay::visit(&RealFs, folder, keys, &mut reader)?;
        let log = std::mem::replace(&mut reader.log, NodeLog::new(node));
        replay::visit_history(&RealFs, folder, keys, &mut reader)?;
        let history = std::mem::replace(&mut reader.log, log);
        reader.join(history);
        Ok(reader.log)
    }

    fn new(node: u64) -> Self {
        NodeLog {
            node,
            entries: BTreeMap::new(),
            committed: None,
            settled: None,
        }
    }

    /// Notes a committed log id, if the node holds that entry. The leader may tell it before the entry
    /// arrives, or while the node still holds another entry there.
    fn settle(&mut self, id: Option<LogId>) {
        let held = id.filter(|id| self.entries.get(&id.index) == Some(id));
        self.settled = self.settled.max(held.map(|id| id.index));
    }
}

/// Follows the records of one node.
struct NodeLogReader<'a> {
    log: NodeLog,
    contents: &'a mut Contents,
    disagreements: &'a mut Vec<String>,
}

impl NodeLogReader<'_> {
    fn entry(&mut self, entry: Entry) {
        let id = entry.log_id;
        let node = self.log.node;
        let content = match entry.payload {
            EntryPayload::Blank => EntryContent::Nothing,
            EntryPayload::Membership(membership) => {
                EntryContent::Membership(encode_membership(&membership).into())
            }
            EntryPayload::Normal(data) => EntryContent::Facts(data.0),
        };
        match self.contents.entry(id) {
            Slot::Vacant(slot) => {
                slot.insert(content);
            }
            Slot::Occupied(slot) if *slot.get() != content => self.disagreements.push(format!(
                "node {node} holds another entry {id} than a node before it"
            )),
            Slot::Occupied(_) => {}
        }
        let before = self.log.entries.insert(id.index, id);
        if let Some(before) = before.filter(|before| *before != id)
            && self.log.settled >= Some(id.index)
        {
            self.disagreements.push(format!(
                "node {node} replaced {before}, which it knew to be committed, by {id}"
            ));
        }
        if self.log.committed == Some(id) {
            self.log.settle(Some(id));
        }
    }

    fn truncate(&mut self, keep: Option<LogId>) {
        let from = keep.map_or(0, |id| id.index + 1);
        if let Some(settled) = self.log.settled.filter(|settled| *settled >= from) {
            let node = self.log.node;
            self.disagreements.push(format!(
                "node {node} cut off its log from {from} on although it knew {settled} to be committed"
            ));
            self.log.settled = from.checked_sub(1);
        }
        drop(self.log.entries.split_off(&from));
    }

    fn commit(&mut self, id: Option<LogId>) {
        self.log.committed = self.log.committed.max(id);
        self.log.settle(id);
    }

    fn purge(&mut self, id: LogId) {
        self.commit(Some(id));
        let last = self.log.entries.keys().next_back();
        if last.is_none_or(|last| *last < id.index) {
            // A snapshot replaced the log. Entries known to be committed stay committed.
            let settled = self.log.settled;
            let keeps = |index: u64| settled.is_some_and(|settled| index <= settled);
            self.log.entries.retain(|index, _| keeps(*index));
        }
    }
}

impl NodeLogReader<'_> {
    /// Adds history from other nodes. Nodes pass on only committed entries.
    fn join(&mut self, history: NodeLog) {
        for (index, id) in history.entries {
            self.log.settled = self.log.settled.max(Some(index));
            let before = self.log.entries.insert(index, id);
            if let Some(before) = before.filter(|before| *before != id) {
                let node = self.log.node;
                self.disagreements.push(format!(
                    "node {node} was given {id} as history, but has {before} itself"
                ));
            }
        }
    }
}

impl RecordVisitor for NodeLogReader<'_> {
    fn segment(&mut self, header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        self.commit(header.state.committed);
        self.commit(header.state.purged);
        Ok(())
    }

    fn record(&mut self, _at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Entry(entry) => self.entry(entry.to_entry()?),
            LogRecord::Committed(id) => self.commit(Some(*id)),
            LogRecord::Truncate(keep) => self.truncate(*keep),
            LogRecord::Purge(id) => self.purge(*id),
            LogRecord::Batch(_) | LogRecord::Close(_) | LogRecord::Seal(_) | LogRecord::Vote(_) => {
            }
        }
        Ok(())
    }
}

/// The committed entries of all nodes, and the contradictions between nodes.
fn agree(logs: &[NodeLog], disagreements: &mut Vec<String>) -> BTreeMap<u64, LogId> {
    let mut committed: BTreeMap<u64, (LogId, u64)> = BTreeMap::new();
    for log in logs {
        let Some(settled) = log.settled else {
            continue;
        };
        for (index, id) in log.entries.range(..=settled) {
            let (other, node) = *committed.entry(*index).or_insert((*id, log.node));
            if other != *id {
                disagreements.push(format!(
                    "node {} has committed {id}, node {node} {other}",
                    log.node
                ));
                // Later entries differ as well, but add nothing new.
                break;
            }
        }
    }
    let mut committed: BTreeMap<u64, LogId> = committed
        .into_iter()
        .map(|(index, (id, _))| (index, id))
        .collect();
    // An entry that every node holds can no longer be lost, even if no node has recorded that it is
    // committed.
    let mut next = committed.keys().next_back().map_or(0, |last| last + 1);
    while let Some(id) = held_by_all(logs, next) {
        committed.insert(next, id);
        next += 1;
    }
    committed
}

fn held_by_all(logs: &[NodeLog], index: u64) -> Option<LogId> {
    let first = logs.first()?.entries.get(&index)?;
    let same = |log: &NodeLog| log.entries.get(&index) == Some(first);
    logs.iter().all(same).then_some(*first)
}

/// Applies the entries, and keeps the facts that took effect.
fn apply(committed: &BTreeMap<u64, LogId>, contents: &Contents) -> Result<Truth, Error> {
    let mut state = State::new();
    let mut found = FoundFacts::default();
    let mut disagreements = Vec::new();
    let mut chain = TruthChain::default();
    let mut next = *committed.keys().next().ok_or(Error::NoLog)?;
    // Entry 0 is the first membership; without it nothing is missing.
    if next > 1 {
        return Err(Error::Missing(next - 1));
    }
    for (index, id) in committed {
        if *index != next {
            return Err(Error::Missing(next));
        }
        next = index + 1;
        let content = contents.get(id).unwrap_or(&EntryContent::Nothing);
        let EntryContent::Facts(bytes) = content else {
            state.skip(*index);
            chain.add(&state, *id, content);
            continue;
        };
        let failed = |what: String| Error::Entry {
            offset: *index,
            what,
        };
        let entry =
            fact::Entry::decode(bytes.clone()).map_err(|error| failed(error.to_string()))?;
        let needed = level::needed_by(&entry);
        if needed > state.level() {
            let what = format!("the cluster was at {}", state.level());
            disagreements.push(format!("entry {id} needs feature level {needed}: {what}"));
        }
        let applied = state.apply(&entry, *index);
        chain.add(&state, *id, content);
        match applied {
            Ok(EntryOutcome::Stale) => continue,
            Ok(EntryOutcome::Applied) => {}
            Err(error) => {
                // A node that applied this entry has stopped, or has a state that differs from the log's.
                disagreements.push(format!("entry {id} cannot take effect: {error}"));
                break;
            }
        }
        found.take(*index, &entry)?;
    }
    let mut truth = Truth::from_facts(found.facts);
    truth.times = found.times;
    truth.levels = found.levels;
    truth.automation = found.automation;
    truth.timers = Arc::new(found.timers);
    truth.locks = Arc::new(found.locks);
    truth.last_offset = next.saturating_sub(1);
    truth.digest = format!("{:032x}", state.digest());
    truth.heads = chain.heads;
    truth.disagreements = disagreements;
    Ok(truth)
}

/// What the entries that took effect hold.
#[derive(Default)]
struct FoundFacts {
    facts: Vec<TrueFact>,
    times: Vec<(u64, u64)>,
    levels: Vec<(u64, u32)>,
    automation: Vec<(u64, bool, String)>,
    timers: TimersOfLog,
    locks: LocksOfLog,
}

impl FoundFacts {
    fn take(&mut self, index: u64, entry: &fact::Entry) -> Result<(), Error> {
        self.times.push((index, entry.time_ms));
        self.timers.take(index, entry);
        self.locks.take(index, entry);
        let said = meta(entry);
        for (position, fact) in entry.facts.iter().enumerate() {
            match &fact.body {
                Some(Body::SetLevel(set)) => self.levels.push((index, set.level)),
                Some(Body::SetAutomation(set)) => {
                    let reason = set.reason.clone();
                    self.automation.push((index, set.paused, reason));
                }
                _ => {}
            }
            let fact = of_engine(index, position, fact)?;
            self.facts.extend(fact.map(|fact| TrueFact {
                meta: said.clone(),
                ..fact
            }));
        }
        Ok(())
    }
}

/// The chain over the log, without the state that holds a node's.
#[derive(Default)]
struct TruthChain {
    newest: Option<Head>,
    heads: BTreeMap<u64, String>,
}

impl TruthChain {
    /// Adds the entry that was just applied to `state`, once the chain has begun there.
    fn add(&mut self, state: &State, id: LogId, content: &EntryContent) {
        if state.chain().is_none() {
            return;
        }
        let (kind, payload) = match content {
            EntryContent::Nothing => (EntryKind::Blank, Bytes::new()),
            EntryContent::Facts(bytes) => (EntryKind::Normal, bytes.clone()),
            EntryContent::Membership(bytes) => (EntryKind::Membership, bytes.clone()),
        };
        let logged = Logged {
            term: id.leader_id.term,
            offset: id.index,
            kind,
            payload: &payload,
        };
        let head = self.newest.unwrap_or(Head::BEGIN).then(&logged.hash());
        self.newest = Some(head);
        self.heads.insert(id.index, head.to_string());
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
