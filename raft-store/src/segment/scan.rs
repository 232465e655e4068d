//! Reads a log from its files. Recovery, `verify`, cold reads and dumps share this decoder, so that they
//! cannot disagree about a file's content.

use std::path::Path;
use std::sync::Arc;

use crate::crypto::{Cipher, Keyring};
use crate::error::{Error, damaged};
use crate::format::{self, HeaderFault, LogPosition, LogRecord, RecordFault, SegmentHeader};

/// Gets every record, in the order written.
pub trait RecordVisitor {
    /// A segment begins.
    fn segment(&mut self, _header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    /// A record; an error ends the replay as damage at this record.
    fn record(&mut self, at: LogPosition, record: &LogRecord<'_>) -> Result<(), String>;
}

/// A file with records.
#[derive(Clone, Copy)]
pub(crate) struct ScannedFile<'a> {
    pub(crate) number: u64,
    pub(crate) path: &'a Path,
    pub(crate) keys: &'a Keyring,
}

impl ScannedFile<'_> {
    fn at(&self, offset: u64) -> LogPosition {
        LogPosition {
            segment: self.number,
            offset,
        }
    }
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileEnd {
    /// With its last record, and untouched space behind it.
    Open,
    /// With a seal and untouched space after it: its successor was being created.
    Sealed,
    /// The file ends with its seal: its successor was created.
    Trimmed,
    /// Short of the length that it was created with, although it is not sealed.
    Short,
    /// With bytes that are no record, at or above everything known to be durable.
    Torn(&'static str),
    /// With bytes that are no record, below a position known to be durable.
    BelowMark(&'static str),
    /// Without a header, and with nothing that was ever acknowledged.
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
    pub(crate) file_end: FileEnd,
}

/// Decodes one segment file, showing each record to `visitor`.
pub(crate) fn scan(
    bytes: &[u8],
    source: ScannedFile<'_>,
    visitor: &mut dyn RecordVisitor,
) -> Result<Scan, Error> {
    let ScannedFile { number, path, keys } = source;
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
    let (end, file_end) = records.scan(header_bytes, visitor)?;
    let is_short = (bytes.len() as u64) < header.allocated;
    let file_end = match file_end {
        FileEnd::Open | FileEnd::Torn(_) if is_short => FileEnd::Short,
        file_end => file_end,
    };
    let header_crc = crc32c::crc32c(&bytes[..header_bytes]);
    Ok(Scan {
        header: Some(header),
        header_crc,
        cipher,
        end: end as u64,
        file_end,
    })
}

/// Decodes a file that is no longer written to: anything but a clean end is damage.
pub(crate) fn scan_whole(
    bytes: &[u8],
    source: ScannedFile<'_>,
    visitor: &mut dyn RecordVisitor,
) -> Result<Scan, Error> {
    let found = scan(bytes, source, visitor)?;
    match found.file_end {
        FileEnd::Trimmed => Ok(found),
        file_end => Err(damaged(source.path, found.end, file_end.why())),
    }
}

/// The part of a file that is still to be decoded.
struct Records<'a> {
    bytes: &'a [u8],
    source: ScannedFile<'a>,
    cipher: Option<&'a Cipher>,
}

impl Records<'_> {
    fn scan(
        &self,
        start: usize,
        visitor: &mut dyn RecordVisitor,
    ) -> Result<(usize, FileEnd), Error> {
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
                    sealed = matches!(record, LogRecord::Seal(_));
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

    /// Classifies the bytes after the last record.
    fn behind(&self, at: usize, sealed: bool) -> FileEnd {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match (rest.iter().all(|byte| *byte == 0), sealed) {
            (true, true) if rest.is_empty() => FileEnd::Trimmed,
            (true, true) => FileEnd::Sealed,
            (true, false) => FileEnd::Open,
            // The writer writes nothing after a seal.
            (false, true) => FileEnd::BelowMark("there are bytes after the end of the segment"),
            (false, false) => {
                let why = "there are bytes after the end of the log";
                torn_or_damaged(self.bytes, self.source.number, at, why)
            }
        }
    }
}

impl FileEnd {
    /// The error for a segment that must not end like this.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            FileEnd::Open => "the segment ends early: it has no seal",
            FileEnd::Sealed => "there is space after the end of the segment",
            FileEnd::Trimmed => "the segment that follows it is missing",
            FileEnd::Short => "the file is shorter than when it was created: its end is missing",
            FileEnd::Headless => "the segment has no header",
            FileEnd::Torn(why) | FileEnd::BelowMark(why) | FileEnd::HeaderBelowMark(why) => why,
        }
    }
}

fn unsupported(path: &Path, what: String) -> Error {
    Error::Unsupported {
        file: path.to_owned(),
        what,
    }
}

fn headless(bytes: &[u8], source: ScannedFile<'_>, why: &'static str) -> Scan {
    let file_end = match torn_or_damaged(bytes, source.number, 0, why) {
        FileEnd::BelowMark(why) => FileEnd::HeaderBelowMark(why),
        _ => FileEnd::Headless,
    };
    Scan {
        header: None,
        header_crc: 0,
        cipher: None,
        end: 0,
        file_end,
    }
}

/// Decides whether the bad bytes at `at` were ever known to be durable. Every batch records what was durable
/// before it, so a mark after the bad place answers this.
fn torn_or_damaged(bytes: &[u8], number: u64, at: usize, why: &'static str) -> FileEnd {
    let position = |at: usize| LogPosition {
        segment: number,
        offset: at as u64,
    };
    let first = at.next_multiple_of(format::RECORD_ALIGN_BYTES);
    for place in (first..bytes.len()).step_by(format::RECORD_ALIGN_BYTES) {
        let durable = format::mark_here(&bytes[place..], position(place));
        if durable.is_some_and(|durable| durable > position(at)) {
            return FileEnd::BelowMark(why);
        }
    }
    FileEnd::Torn(why)
}
