//! A log on a simulated disk, its writer stepped by hand: every interleaving is the test's own.
#![allow(dead_code, clippy::unwrap_used)]

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::task::noop_waker;
use openraft::RaftTypeConfig;
use openraft::async_runtime::{AsyncRuntime, Oneshot};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use rstmdb_raft_store::replay::{self, RecordVisitor};
use rstmdb_raft_store::{
    Entry, Error, LogId, LogPosition, LogRecord, LogStore, MemFs, Options, Store, VerifyReport,
    Vote, Writer, verify,
};

use super::{OnTokio, entry};

type OneshotOf = <<OnTokio as RaftTypeConfig>::AsyncRuntime as AsyncRuntime>::Oneshot;
pub type Completion = <OneshotOf as Oneshot>::Receiver<Result<(), io::Error>>;

pub struct Log {
    pub fs: MemFs,
    pub options: Options,
    pub store: Store<MemFs>,
    pub writer: Writer<MemFs>,
    pub raft: LogStore<OnTokio, MemFs>,
}

/// Small segments, no memory beyond what is unwritten: everything is exercised early.
pub fn options() -> Options {
    let mut options = Options::new("/data");
    options.catalog = false;
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 0;
    options.clock = Arc::new(|| 1_000);
    options
}

impl Log {
    pub fn open(fs: &MemFs, options: &Options) -> Result<Log, Error> {
        let (store, writer) = Store::open(fs.clone(), options.clone())?;
        let raft = store.log_store();
        Ok(Log {
            fs: fs.clone(),
            options: options.clone(),
            store,
            writer,
            raft,
        })
    }

    pub fn new() -> Log {
        Log::open(&MemFs::new(0), &options()).unwrap()
    }

    /// Kills the process and starts it again. The end writes nothing.
    pub fn reopen(self) -> Result<Log, Error> {
        self.fs.kill();
        let Log {
            fs,
            options,
            store,
            writer,
            raft,
        } = self;
        drop((store, writer, raft));
        Log::open(&fs, &options)
    }

    pub fn append(&mut self, entries: Vec<Entry>) -> io::Result<Completion> {
        let (done, completion) = OneshotOf::channel();
        let flushed = IOFlushed::signal(done);
        self.raft.append(entries, flushed).now_or_never().unwrap()?;
        Ok(completion)
    }

    /// Appends one entry and writes it as a batch of its own.
    pub fn write(&mut self, index: u64) {
        let completion = self
            .append(vec![entry(1, index, format!("payload {index}"))])
            .unwrap();
        self.writer.step();
        assert!(outcome(completion).unwrap().is_ok());
    }

    /// Writes what is queued, on a larger disk if this one has no room for the next segment.
    pub fn step_with_room(&mut self) {
        self.writer.step();
        if self.store.shortage().is_some() {
            assert!(self.store.failed().is_none());
            self.fs.set_capacity_bytes(u64::MAX);
            self.writer.step();
        }
    }

    pub fn truncate(&mut self, keep: Option<LogId>) -> io::Result<()> {
        self.raft.truncate_after(keep).now_or_never().unwrap()
    }

    pub fn purge(&mut self, id: LogId) -> io::Result<()> {
        self.raft.purge(id).now_or_never().unwrap()
    }

    pub fn commit(&mut self, id: LogId) -> io::Result<()> {
        self.raft.save_committed(Some(id)).now_or_never().unwrap()
    }

    pub fn vote(&mut self, vote: Vote) -> io::Result<()> {
        let mut saving = pin!(self.raft.save_vote(&vote));
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(done) = saving.as_mut().poll(&mut context) {
            return done;
        }
        if !self.writer.step() {
            self.fs.set_capacity_bytes(u64::MAX);
            self.writer.step();
        }
        saving.now_or_never().expect("the step completes the vote")
    }

    pub fn verify(&self) -> VerifyReport {
        verify(&self.fs, &self.options.dir, &self.options.keys, false)
    }

    pub fn entries(&mut self) -> Vec<Entry> {
        self.raft
            .try_get_log_entries(..)
            .now_or_never()
            .unwrap()
            .unwrap()
    }

    pub fn last_index(&self) -> Option<u64> {
        self.store.last_log_id().map(|id| id.index)
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("/data/wal/{number:016}.wal"))
    }

    /// Where each record starts, and the index of those that are entries, by replay.
    pub fn records(&self) -> Vec<(LogPosition, Option<u64>)> {
        let mut seen = Records::default();
        replay::visit(&self.fs, &self.options.dir, &self.options.keys, &mut seen).unwrap();
        seen.0
    }
}

/// What became of an append, if it is known.
pub fn outcome(completion: Completion) -> Option<io::Result<()>> {
    completion
        .now_or_never()
        .map(|told| told.expect("a completion is never dropped silently"))
}

#[derive(Default)]
struct Records(Vec<(LogPosition, Option<u64>)>);

impl RecordVisitor for Records {
    fn record(&mut self, at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        let index = match record {
            LogRecord::Entry(entry) => Some(entry.log_id.index),
            _ => None,
        };
        self.0.push((at, index));
        Ok(())
    }
}
