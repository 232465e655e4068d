//! Reading a log from its files: the one decoder that recovery, `verify`, cold reads and dumps
//! share, so that they cannot disagree about what a file says.

use std::path::Path;
use std::sync::Arc;

use crate::crypto::{Cipher, Keyring};
use crate::error::{Error, IoContext};
use crate::format::{self, HeaderFault, Position, Record, RecordFault, SegmentHeader};
use crate::fs::{self, FileSystem};
use crate::history;
use crate::options::Layout;
use crate::segment::HISTORY_BIT;
use crate::survey;

/// Is shown every record, in the order written.
pub trait Visitor {
    /// A segment begins.
    fn segment(&mut self, _header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    /// A record; an error ends the replay as damage at this record.
    fn record(&mut self, at: Position, record: &Record<'_>) -> Result<(), String>;
}

/// A file with records.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) number: u64,
    pub(crate) path: &'a Path,
    pub(crate) keys: &'a Keyring,
}

impl Source<'_> {
    fn at(&self, offset: u64) -> Position {
        Position {
            segment: self.number,
            offset,
        }
    }
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With its last record, and untouched space behind it.
    Open,
    /// With a seal, and untouched space behind it: its successor was being created.
    Sealed,
    /// With a seal, and the file with it: its successor was created.
    Trimmed,
    /// Short of the length that it was created with, although it is not sealed.
    Short,
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
    /// What the payloads are encrypted with.
    pub(crate) cipher: Option<Arc<Cipher>>,
    /// Where the last good record ends.
    pub(crate) end: u64,
    pub(crate) tail: Tail,
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
    source: Source<'_>,
    visitor: &mut dyn Visitor,
) -> Result<Scan, Error> {
    let Source { number, path, keys } = source;
    let (header, header_bytes) = match SegmentHeader::decode(bytes) {
        Ok((header, _)) if header.segment != number => {
            let what = format!("its header says segment {}", header.segment);
            return Err(damaged(path, 0, what));
        }
        Ok(found) => found,
        Err(HeaderFault::Unsupported(what)) => return Err(unsupported(path, what)),
        Err(HeaderFault::Damaged(why)) => return Ok(headless(bytes, source, why)),
    };
    let cipher = keys.for_file(header.key.as_ref(), path)?;
    visitor
        .segment(&header, path)
        .map_err(|what| damaged(path, 0, what))?;
    let records = Records {
        bytes,
        source,
        cipher: cipher.as_deref(),
    };
    let (end, tail) = records.scan(header_bytes, visitor)?;
    let is_short = (bytes.len() as u64) < header.allocated;
    let tail = match tail {
        Tail::Open | Tail::Torn(_) if is_short => Tail::Short,
        tail => tail,
    };
    let header_crc = crc32c::crc32c(&bytes[..header_bytes]);
    Ok(Scan {
        header: Some(header),
        header_crc,
        cipher,
        end: end as u64,
        tail,
    })
}

/// Decodes a file that is no longer written to: anything but a clean end is damage.
pub(crate) fn scan_whole(
    bytes: &[u8],
    source: Source<'_>,
    visitor: &mut dyn Visitor,
) -> Result<Scan, Error> {
    let found = scan(bytes, source, visitor)?;
    match found.tail {
        Tail::Trimmed => Ok(found),
        tail => Err(damaged(source.path, found.end, tail.why())),
    }
}

/// What is left of a file's bytes to decode.
struct Records<'a> {
    bytes: &'a [u8],
    source: Source<'a>,
    cipher: Option<&'a Cipher>,
}

impl Records<'_> {
    fn scan(&self, start: usize, visitor: &mut dyn Visitor) -> Result<(usize, Tail), Error> {
        let Records { bytes, source, .. } = *self;
        let mut at = start;
        let mut sealed = false;
        while !sealed {
            let position = source.at(at as u64);
            let rest = &bytes[at.min(bytes.len())..];
            match format::decode_record(rest, position, self.cipher) {
                Ok((record, len)) => {
                    visitor
                        .record(position, &record)
                        .map_err(|what| damaged(source.path, position.offset, what))?;
                    sealed = matches!(record, Record::Seal(_));
                    at += len;
                }
                Err(RecordFault::Unsupported(what)) => return Err(unsupported(source.path, what)),
                Err(RecordFault::End) => break,
                Err(RecordFault::Bad(why)) => {
                    return Ok((at, torn_or_damaged(bytes, source.number, at, why)));
                }
            }
        }
        Ok((at, self.behind(at, sealed)))
    }

    /// What the bytes behind the last record say.
    fn behind(&self, at: usize, sealed: bool) -> Tail {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match (rest.iter().all(|byte| *byte == 0), sealed) {
            (true, true) if rest.is_empty() => Tail::Trimmed,
            (true, true) => Tail::Sealed,
            (true, false) => Tail::Open,
            // Nothing is ever written behind a seal.
            (false, true) => Tail::BelowMark("there are bytes behind the end of the segment"),
            (false, false) => {
                let why = "there are bytes behind the end of the log";
                torn_or_damaged(self.bytes, self.source.number, at, why)
            }
        }
    }
}

impl Tail {
    /// What is wrong with a segment that ends like this where it must not.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Tail::Open => "the segment ends early: it has no seal",
            Tail::Sealed => "there is space behind the end of the segment",
            Tail::Trimmed => "the segment that follows it is missing",
            Tail::Short => "the file is shorter than it was made: its end is missing",
            Tail::Headless => "the segment has no header",
            Tail::Torn(why) | Tail::BelowMark(why) | Tail::HeaderBelowMark(why) => why,
        }
    }
}

fn unsupported(path: &Path, what: String) -> Error {
    Error::Unsupported {
        file: path.to_owned(),
        what,
    }
}

fn headless(bytes: &[u8], source: Source<'_>, why: &'static str) -> Scan {
    let tail = match torn_or_damaged(bytes, source.number, 0, why) {
        Tail::BelowMark(why) => Tail::HeaderBelowMark(why),
        _ => Tail::Headless,
    };
    Scan {
        header: None,
        header_crc: 0,
        cipher: None,
        end: 0,
        tail,
    }
}

/// The question of the whole format: was what is bad at `at` ever known to be durable? Every
/// batch says what was durable before it, so a mark behind the bad place tells.
fn torn_or_damaged(bytes: &[u8], number: u64, at: usize, why: &'static str) -> Tail {
    let position = |at: usize| Position {
        segment: number,
        offset: at as u64,
    };
    let first = at.next_multiple_of(format::RECORD_ALIGN_BYTES);
    for place in (first..bytes.len()).step_by(format::RECORD_ALIGN_BYTES) {
        let durable = format::mark_here(&bytes[place..], position(place));
        if durable.is_some_and(|durable| durable > position(at)) {
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
/// segment ends the replay; damage is an error, and so is a key that `keys` lacks.
pub fn visit<F: FileSystem>(
    fs: &F,
    dir: &Path,
    keys: &Keyring,
    visitor: &mut dyn Visitor,
) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let segments = survey::find_segments(fs, &layout)?;
    let mut buf = Vec::new();
    for number in segments.numbers() {
        let path = layout.segment(number);
        fs::read_into(fs, &path, &mut buf)?;
        let source = Source {
            number,
            path: &path,
            keys,
        };
        let found = scan(&buf, source, visitor)?;
        segments.decide(number, &found, &layout)?;
    }
    Ok(())
}

/// Shows every record of the history files in `dir`, which came from other nodes, to `visitor`: oldest
/// first, and before any of [`visit`]. Files may overlap, and need not join the log.
pub fn visit_history<F: FileSystem>(
    fs: &F,
    dir: &Path,
    keys: &Keyring,
    visitor: &mut dyn Visitor,
) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let mut ranges = history::list(fs, &layout)?;
    ranges.sort_unstable();
    let mut buf = Vec::new();
    for (first, last) in ranges {
        let path = layout.history_file(first, last);
        fs::read_into(fs, &path, &mut buf)?;
        let source = Source {
            number: HISTORY_BIT | first,
            path: &path,
            keys,
        };
        scan_whole(&buf, source, visitor)?;
    }
    Ok(())
}
