//! Reading a log from its files: the one decoder that recovery, `verify`, cold reads and dumps
//! share, so that they cannot disagree about what a file says.

use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::format::{self, HeaderFault, Position, Record, RecordFault, SegmentHeader};
use crate::fs::{self, FileSystem};
use crate::options::Layout;

/// Is shown every record, in the order written.
pub trait Visitor {
    /// A segment begins.
    fn segment(&mut self, _header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    /// A record; an error ends the replay as damage at this record.
    fn record(&mut self, at: Position, record: &Record<'_>) -> Result<(), String>;
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With its last record, or with untouched space behind it.
    Clean,
    /// With bytes that are no record, at or above everything known to be durable.
    Torn(&'static str),
    /// With bytes that are no record, below a position known to be durable.
    BelowMark(&'static str),
    /// Before it began: no header, and nothing behind it that was ever acknowledged.
    Headless,
    /// The header is bad but records behind it were acknowledged.
    HeaderBelowMark(&'static str),
}

/// What [`scan`] found.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) header_crc: u32,
    /// Where the last good record ends.
    pub(crate) end: u64,
    pub(crate) tail: Tail,
}

/// Why a scan stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    Unsupported(String),
    Refused { offset: u64, what: String },
}

impl Stop {
    pub(crate) fn into_error(self, path: &Path) -> Error {
        match self {
            Stop::Unsupported(what) => Error::Unsupported {
                file: path.to_owned(),
                what,
            },
            Stop::Refused { offset, what } => damaged(path, offset, what),
        }
    }
}

pub(crate) const ADVICE: &str = "restore the file, or the whole folder, from a backup; never delete single segments; with other \
                     nodes that hold the data, empty this one with `rstmdb rejoin`";

pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Error {
    Error::Damaged {
        file: path.to_owned(),
        offset,
        what: what.into(),
        covers: "acknowledged entries from there on".into(),
        advice: ADVICE,
    }
}

/// Decodes one segment file, showing each record to `visitor`.
pub(crate) fn scan(
    bytes: &[u8],
    number: u64,
    path: &Path,
    visitor: &mut dyn Visitor,
) -> Result<Scan, Stop> {
    let (header, header_bytes) = match SegmentHeader::decode(bytes) {
        Ok((header, _)) if header.segment != number => {
            let what = format!("its header says segment {}", header.segment);
            return Err(Stop::Refused { offset: 0, what });
        }
        Ok(found) => found,
        Err(HeaderFault::Unsupported(what)) => return Err(Stop::Unsupported(what)),
        Err(HeaderFault::Damaged(why)) => return Ok(headless(bytes, number, why)),
    };
    let refused = |what| Stop::Refused { offset: 0, what };
    visitor.segment(&header, path).map_err(refused)?;
    let (end, tail) = scan_records(bytes, number, header_bytes, visitor)?;
    let header_crc = crc32c::crc32c(&bytes[..header_bytes]);
    Ok(Scan {
        header: Some(header),
        header_crc,
        end: end as u64,
        tail,
    })
}

/// Decodes a file that is no longer written to: anything but a clean end is damage.
pub(crate) fn scan_whole(
    bytes: &[u8],
    number: u64,
    path: &Path,
    visitor: &mut dyn Visitor,
) -> Result<Scan, Error> {
    let found = scan(bytes, number, path, visitor).map_err(|stop| stop.into_error(path))?;
    crate::recovery::decide(&found, false, bytes.len() as u64)
        .map_err(|why| damaged(path, found.end, why))?;
    Ok(found)
}

fn scan_records(
    bytes: &[u8],
    number: u64,
    start: usize,
    visitor: &mut dyn Visitor,
) -> Result<(usize, Tail), Stop> {
    let mut at = start;
    loop {
        let offset = at as u64;
        match format::decode_record(&bytes[at.min(bytes.len())..], number, offset) {
            Ok((record, len)) => {
                let position = Position {
                    segment: number,
                    offset,
                };
                let refused = |what| Stop::Refused { offset, what };
                visitor.record(position, &record).map_err(refused)?;
                at += len;
            }
            Err(RecordFault::Unsupported(what)) => return Err(Stop::Unsupported(what)),
            Err(RecordFault::End) if bytes[at..].iter().all(|byte| *byte == 0) => {
                return Ok((at, Tail::Clean));
            }
            Err(RecordFault::End) => {
                let why = "there are bytes behind the end of the log";
                return Ok((at, torn_or_damaged(bytes, number, at, why)));
            }
            Err(RecordFault::Bad(why)) => {
                return Ok((at, torn_or_damaged(bytes, number, at, why)));
            }
        }
    }
}

fn headless(bytes: &[u8], number: u64, why: &'static str) -> Scan {
    let tail = match torn_or_damaged(bytes, number, 0, why) {
        Tail::BelowMark(why) => Tail::HeaderBelowMark(why),
        _ => Tail::Headless,
    };
    Scan {
        header: None,
        header_crc: 0,
        end: 0,
        tail,
    }
}

/// The question of the whole format: was what is bad at `at` ever known to be durable? Every
/// batch says what was durable before it, so a mark behind the bad place tells.
fn torn_or_damaged(bytes: &[u8], number: u64, at: usize, why: &'static str) -> Tail {
    let bad = Position {
        segment: number,
        offset: at as u64,
    };
    let first = at.next_multiple_of(format::RECORD_ALIGN_BYTES);
    for place in (first..bytes.len()).step_by(format::RECORD_ALIGN_BYTES) {
        let durable = format::mark_here(&bytes[place..], number, place as u64);
        if durable.is_some_and(|durable| durable > bad) {
            return Tail::BelowMark(why);
        }
    }
    Tail::Torn(why)
}

/// The numbers of the segments in the folder, ascending, and that none is missing between them.
pub(crate) fn list_segments<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Vec<u64>, Error> {
    let names = fs.list(&layout.wal).during("list", &layout.wal)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            let missing = layout.segment(pair[0] + 1);
            return Err(damaged(&missing, 0, "the segment is missing"));
        }
    }
    Ok(numbers)
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 16).then(|| digits.parse().ok())?
}

/// Shows every readable record of the log in `dir` to `visitor`. A torn tail of the last
/// segment ends the replay; damage is an error.
pub fn visit<F: FileSystem>(fs: &F, dir: &Path, visitor: &mut dyn Visitor) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let numbers = list_segments(fs, &layout)?;
    let mut buf = Vec::new();
    for (n, number) in numbers.iter().enumerate() {
        let path: PathBuf = layout.segment(*number);
        fs::read_into(fs, &path, &mut buf)?;
        let found = scan(&buf, *number, &path, visitor).map_err(|stop| stop.into_error(&path))?;
        let last = n + 1 == numbers.len();
        crate::recovery::decide(&found, last, buf.len() as u64)
            .map_err(|why| damaged(&path, found.end, why))?;
    }
    Ok(())
}
