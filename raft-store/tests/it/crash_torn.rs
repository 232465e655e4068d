//! Torn and corrupt are told apart at every byte of the last segment, of a log that was closed and of
//! one that was killed: what lies below a durable mark is refused, what lies above it is cut off and
//! exactly what was acknowledged survives. A segment that is shorter than it was made is refused too:
//! no crash does that.

use std::path::Path;

use crate::support::entry;
use crate::support::log::{Log, options, outcome};
use crate::support::model::Model;
use crate::support::story::{identity, stop};
use rstmdb_raft_store::{Error, FileSystem, LogRecord, MemFs, Vote};

const SEGMENT_BYTES: u64 = 2048;

/// A log as its process left it, and the allowed results of a start.
struct Left {
    name: &'static str,
    log: Log,
    /// The allowed logs: up to each record that no mark covers, and the whole log.
    allowed: Vec<Model>,
    /// Everything below was durable for sure.
    marked: u64,
    /// Where the last record ends.
    end: u64,
}

fn begin() -> Log {
    let mut options = options();
    options.segment_bytes = SEGMENT_BYTES;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    log.store.write_identity(&identity()).unwrap();
    (0..3).for_each(|index| log.write(index));
    log.vote(Vote::new(2, 1)).unwrap();
    log
}

fn end_of(log: &Log) -> u64 {
    log.verify().end.offset
}

/// Killed when its last batch was written and its sync under way: no mark covers that batch.
fn killed() -> Left {
    let mut log = begin();
    let marked = end_of(&log);
    let mut model = Model::of(&mut log);
    let mut allowed = vec![model.clone()];
    let batch: Vec<_> = (3..6).map(|index| entry(2, index, "unfinished")).collect();
    for entry in &batch {
        model.entries.push(entry.clone());
        model.last = Some(entry.log_id);
        allowed.push(model.clone());
    }
    drop(log.append(batch).unwrap());
    log.writer.step();
    Left {
        name: "killed",
        end: end_of(&log),
        log,
        allowed,
        marked,
    }
}

/// Closed: the mark at its end covers everything but itself.
fn closed() -> Left {
    let mut log = stop(begin()).unwrap();
    let mut close = Close::default();
    rstmdb_raft_store::replay::visit(&log.fs, &log.options.dir, &log.options.keys, &mut close)
        .unwrap();
    Left {
        name: "closed",
        end: end_of(&log),
        allowed: vec![Model::of(&mut log)],
        marked: close.0,
        log,
    }
}

/// Where the closing mark is.
#[derive(Default)]
struct Close(u64);

impl rstmdb_raft_store::replay::RecordVisitor for Close {
    fn record(
        &mut self,
        at: rstmdb_raft_store::LogPosition,
        record: &LogRecord<'_>,
    ) -> Result<(), String> {
        if matches!(record, LogRecord::Close(_)) {
            self.0 = at.offset;
        }
        Ok(())
    }
}

impl Left {
    fn content(&self) -> Vec<u8> {
        self.log.fs.content(&self.log.segment(1)).unwrap()
    }

    /// Starts on a copy of the folder whose last segment has this content.
    fn start_with(&self, content: &[u8]) -> Result<Log, Error> {
        let fs = MemFs::new(0);
        let names = ["identity.json", "wal/0000000000000001.wal"];
        for path in names.map(|name| Path::new("/data").join(name)) {
            drop(fs.create(&path).unwrap());
            let same = self.log.fs.content(&path).unwrap();
            fs.set_content(&path, &same).unwrap();
        }
        fs.set_content(&self.log.segment(1), content).unwrap();
        Log::open(&fs, &self.log.options)
    }

    fn assert_refused(&self, content: &[u8], what: &str) {
        let name = self.name;
        match self.start_with(content).map(drop) {
            Err(Error::Damaged { .. }) => {}
            other => panic!("{name}: {what}: {other:?}"),
        }
    }

    /// Checks that the log is one of the allowed states, and takes new entries.
    fn assert_cut(&self, content: &[u8], what: &str) {
        let name = self.name;
        let mut log = self
            .start_with(content)
            .unwrap_or_else(|error| panic!("{name}: {what}: {error}"));
        let mut found = Model::of(&mut log);
        assert!(self.allowed.contains(&found), "{name}: {what}: {found:?}");
        let next = entry(2, found.last.unwrap().index + 1, "the next");
        let completion = log.append(vec![next.clone()]).unwrap();
        log.writer.step();
        outcome(completion).unwrap().unwrap();
        found.last = Some(next.log_id);
        found.entries.push(next);
        let mut log = log.reopen().unwrap();
        assert_eq!(
            Model::of(&mut log),
            found,
            "{name}: {what}, at the next start"
        );
    }
}

fn both() -> [Left; 2] {
    [killed(), closed()]
}

#[test]
fn a_last_segment_shorter_than_it_was_made_is_refused_at_every_length() {
    for left in both() {
        let content = left.content();
        assert_eq!(content.len() as u64, SEGMENT_BYTES);
        for len in 0..content.len() {
            left.assert_refused(&content[..len], &format!("cut to {len} bytes"));
        }
    }
}

#[test]
fn a_flip_is_refused_below_a_mark_and_cut_above_it() {
    for left in both() {
        let content = left.content();
        for place in 0..left.end as usize {
            for bit in [0x01, 0x80] {
                let mut flipped = content.clone();
                flipped[place] ^= bit;
                let what = format!("byte {place} with bit {bit:#x} flipped");
                match (place as u64) < left.marked {
                    true => left.assert_refused(&flipped, &what),
                    false => left.assert_cut(&flipped, &what),
                }
            }
        }
    }
}

#[test]
fn zeros_are_refused_below_a_mark_and_cut_above_it() {
    for left in both() {
        let content = left.content();
        // From every byte on to the end of the log, as a write that was torn leaves it.
        for place in left.marked as usize..=left.end as usize {
            let mut torn = content.clone();
            torn[place..].fill(0);
            left.assert_cut(&torn, &format!("zeros from {place} on"));
        }
        // A hole below a mark that stays.
        for place in 0..left.marked as usize {
            let mut holed = content.clone();
            let end = (place + 8).min(left.marked as usize);
            holed[place..end].fill(0);
            if holed != content {
                left.assert_refused(&holed, &format!("a hole at {place}"));
            }
        }
    }
}

#[test]
fn garbage_behind_the_end_is_cut_off() {
    for left in both() {
        let content = left.content();
        for place in left.end as usize..content.len() {
            let mut dirty = content.clone();
            dirty[place] = 0xa5;
            left.assert_cut(&dirty, &format!("garbage at {place}"));
        }
    }
}
