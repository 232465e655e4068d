//! Any bytes as the only segment of a log, through everything that reads one: the visitor, `verify`, and a start. They
//! may refuse it; they never panic, and what they reserve is bounded by what they were given.

use std::path::{Path, PathBuf};

use rstmdb_raft_store::fs::File;
use rstmdb_raft_store::replay::{self, RecordVisitor};
use rstmdb_raft_store::{
    FileSystem, Keyring, LogPosition, LogRecord, MemFs, Options, Payload, Store, verify,
};

const DIR: &str = "/data";
/// What a start makes of the last segment, at least.
const SEGMENT_BYTES: u64 = 64 << 10;
/// A compressed payload is at most so many times as long as what is stored of it.
const RATIO_MAX: usize = 255;

const HEADER_BYTES: usize = 192;
const RECORD_HEADER_BYTES: usize = 12;
const SEGMENT: u64 = 1;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    // Few inputs have right checksums by chance: most are given them.
    if choice % 4 != 0 {
        mend(&mut bytes);
    }
    let fs = MemFs::new(0);
    write(&fs, &bytes);
    let mut decoder = Decoder {
        payload_bytes_max: bytes.len() * RATIO_MAX,
    };
    let dir = Path::new(DIR);
    let _ = replay::visit(&fs, dir, &Keyring::default(), &mut decoder);
    let _ = verify(&fs, dir, &Keyring::default(), false);
    start(fs);
}

fn write(fs: &MemFs, bytes: &[u8]) {
    let wal = PathBuf::from(DIR).join("wal");
    fs.create_dir_all(&wal).expect("the disk has room");
    let path = wal.join(format!("{SEGMENT:016}.wal"));
    let file = fs.create(&path).expect("the disk has room");
    file.write_all_at(bytes, 0).expect("the disk has room");
}

/// Opens the store on it, and reads what it then holds.
fn start(fs: MemFs) {
    let mut options = Options::new(DIR);
    options.catalog = false;
    options.segment_bytes = SEGMENT_BYTES;
    if let Ok((store, _writer)) = Store::open(fs, options) {
        let _ = store.read(store.earliest_index(), 4096, 1 << 20);
        let _ = store.stats();
    }
}

/// Decodes every entry.
struct Decoder {
    payload_bytes_max: usize,
}

impl RecordVisitor for Decoder {
    fn record(&mut self, _at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        if let LogRecord::Entry(entry) = record
            && let Payload::Normal(data) = entry.to_entry()?.payload
        {
            assert!(data.0.len() <= self.payload_bytes_max);
        }
        Ok(())
    }
}

/// Gives the header and the records behind it what every segment has: magic, version, lengths that fit, checksums.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    bytes[..8].copy_from_slice(b"RSTMWAL\n");
    bytes[8..10].copy_from_slice(&1_u16.to_le_bytes());
    bytes[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
    bytes[32..40].copy_from_slice(&SEGMENT.to_le_bytes());
    // The length it was made with, below what it may have; and no key, which no input would match.
    bytes[122..132].fill(0);
    let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    let mut at = HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        // Short bodies, so that there are several records; an empty header ends the log.
        bytes[at + 5..at + 8].fill(0);
        let body = usize::from(bytes[at + 4]);
        let end = at + (RECORD_HEADER_BYTES + body).next_multiple_of(8);
        if end > bytes.len()
            || bytes[at..at + RECORD_HEADER_BYTES]
                .iter()
                .all(|byte| *byte == 0)
        {
            return;
        }
        let mut place = [0; 16];
        place[..8].copy_from_slice(&SEGMENT.to_le_bytes());
        place[8..].copy_from_slice(&(at as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &bytes[at + 4..end]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}
