//! What LZ4 and zstd make of the payloads in a log: the choice behind `storage.compression`.
//!
//! `cargo run --release -p rstmdb-raft-store --example payload_codecs -- DATA_DIR`

use std::path::Path;
use std::time::Instant;

use openraft::EntryPayload;
use rstmdb_raft_store::replay::{self, RecordVisitor};
use rstmdb_raft_store::{Keyring, LogPosition, LogRecord, RealFs};

/// As in the log: shorter ones are stored as they are.
const COMPRESS_BYTES_MIN: usize = 256;

#[derive(Default)]
struct Payloads(Vec<Vec<u8>>);

impl RecordVisitor for Payloads {
    fn record(&mut self, _at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        if let LogRecord::Entry(entry) = record
            && let EntryPayload::Normal(data) = entry.to_entry()?.payload
        {
            self.0.push(data.0.to_vec());
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("which data folder?")?;
    let mut payloads = Payloads::default();
    replay::visit(&RealFs, Path::new(&dir), &Keyring::default(), &mut payloads)?;
    let payloads = payloads.0;
    let total: usize = payloads.iter().map(Vec::len).sum();
    println!(
        "{} payloads, {} bytes on average, {} MB",
        payloads.len(),
        total / payloads.len().max(1),
        total / 1_000_000
    );
    let mut zstd = zstd::bulk::Compressor::new(1)?;
    measure("lz4", &payloads, |payload| {
        Ok(lz4_flex::block::compress(payload))
    });
    measure("zstd 1", &payloads, |payload| zstd.compress(payload));
    Ok(())
}

fn measure(
    name: &str,
    payloads: &[Vec<u8>],
    mut compress: impl FnMut(&[u8]) -> std::io::Result<Vec<u8>>,
) {
    let begun = Instant::now();
    let (mut before, mut after, mut count) = (0, 0, 0_u32);
    for payload in payloads {
        before += payload.len();
        if payload.len() < COMPRESS_BYTES_MIN {
            after += payload.len();
            continue;
        }
        count += 1;
        let stored = compress(payload).map_or(payload.len(), |stored| stored.len() + 4);
        after += stored.min(payload.len());
    }
    println!(
        "{name:>8}: {:.1} % of the size, {:.2} us for each of {count}",
        100.0 * after as f64 / before.max(1) as f64,
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count.max(1))
    );
}
