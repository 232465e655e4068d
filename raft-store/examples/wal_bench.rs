//! How fast this machine appends: `cargo run --release -p rstmdb-raft-store --example wal_bench`.
//!
//! One writer thread, entries of 300 bytes, at several queue depths (appends in flight, one entry
//! each). Prints entries per second and what a sync took.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::RaftTypeConfig;
use openraft::async_runtime::{AsyncRuntime, Oneshot};
use openraft::storage::{IOFlushed, RaftLogStorage};
use rstmdb_raft_store::{Data, Entry, LogStore, Options, RealFs, Store, log_id};

openraft::declare_raft_types!(
    Config:
        D = Data,
        R = (),
        NodeId = u64,
        Node = rstmdb_raft_store::NodeInfo,
        Term = u64,
        LeaderId = rstmdb_raft_store::LeaderId,
        Vote = rstmdb_raft_store::Vote,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

type Channel = <<Config as RaftTypeConfig>::AsyncRuntime as AsyncRuntime>::Oneshot;

const RUN_FOR: Duration = Duration::from_secs(2);

fn entry(index: u64, payload: &Bytes) -> Entry {
    Entry {
        log_id: log_id(1, index),
        payload: EntryPayload::Normal(Data(payload.clone())),
    }
}

async fn run(depth: usize, batch: u64) {
    let dir = tempfile::tempdir_in(std::env::args().nth(1).unwrap_or_else(|| ".".into())).unwrap();
    let (store, writer) = Store::open(RealFs, Options::new(dir.path())).unwrap();
    let writer = std::thread::spawn(|| writer.run());
    let mut log: LogStore<Config, RealFs> = store.log_store();
    let payload = Bytes::from(vec![7; 300]);
    let mut in_flight = VecDeque::new();
    let (mut next, begin) = (0, Instant::now());
    while begin.elapsed() < RUN_FOR {
        while in_flight.len() < depth {
            let (done, completion) = Channel::channel::<Result<(), std::io::Error>>();
            let entries: Vec<_> = (next..next + batch).map(|i| entry(i, &payload)).collect();
            log.append(entries, IOFlushed::signal(done)).await.unwrap();
            log.save_committed(Some(log_id(1, next))).await.unwrap();
            next += batch;
            in_flight.push_back(completion);
        }
        in_flight.pop_front().unwrap().await.unwrap().unwrap();
    }
    let took = begin.elapsed().as_secs_f64();
    let stats = store.stats();
    println!(
        "depth {depth:>5} x {batch:>3}: {:>9.0} entries/s, {:>6} syncs of {:>5} us, {:>6.1} entries each",
        next as f64 / took,
        stats.fsyncs,
        stats.fsync_us_sum / stats.fsyncs.max(1),
        next as f64 / stats.fsyncs.max(1) as f64,
    );
    drop((log, store));
    writer.join().unwrap();
    let begin = Instant::now();
    let (store, _writer) = Store::open(RealFs, Options::new(dir.path())).unwrap();
    let entries = store.stats().entry_count;
    println!(
        "              start with {entries} entries: {:?}",
        begin.elapsed()
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (depth, batch) in [(1, 1), (64, 1), (1024, 1), (64, 64)] {
        runtime.block_on(run(depth, batch));
    }
}
