//! Lists the segments, and decides what recovery does with each: accept, repair or refuse.

use crate::crypto::Keyring;
use crate::error::{Error, IoContext, damaged};
use crate::folder::Layout;
use crate::format::{HeaderFault, SegmentHeader};
use crate::fs::{self, File, FileSystem};
use crate::segment::rebuild::Rebuild;
use crate::segment::scan::{FileEnd, Scan, ScannedFile, scan};

/// What recovery does with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentAction {
    /// Take it as it is.
    Accept,
    /// Cut it to its seal; a crash prevented that.
    Trim,
    /// Create its successor and trim it; a crash prevented that.
    Succeed,
    /// Overwrite everything after its last good record with zeros, sync, continue.
    Clear,
    /// Ignore it: a crash came before it held anything. The start creates it again.
    Ignore,
    /// Refuse to start: an acknowledged write is lost.
    Refuse,
}

/// The whole decision. The writer seals a segment, creates its successor, and trims the segment to its seal.
/// Each step is durable before the next. So three things hold when the machine stops: only the last segment
/// can have an unfinished write; that write is above every mark in the segment; and a trimmed segment has a
/// successor with a header.
///
/// | how the file ends | last segment | any other |
/// |---|---|---|
/// | open | accept | refuse |
/// | sealed | succeed | trim |
/// | trimmed | refuse | accept |
/// | short | refuse | refuse |
/// | torn | clear | refuse |
/// | bad below a mark | refuse | refuse |
/// | no header, nothing marked | ignore | refuse |
/// | bad header below a mark | refuse | refuse |
pub(crate) fn action(file_end: &FileEnd, last: bool) -> SegmentAction {
    match (file_end, last) {
        (FileEnd::Open, true) | (FileEnd::Trimmed, false) => SegmentAction::Accept,
        (FileEnd::Sealed, true) => SegmentAction::Succeed,
        (FileEnd::Sealed, false) => SegmentAction::Trim,
        (FileEnd::Torn(_), true) => SegmentAction::Clear,
        (FileEnd::Headless, true) => SegmentAction::Ignore,
        (FileEnd::Open | FileEnd::Torn(_) | FileEnd::Headless, false)
        | (FileEnd::Trimmed, true)
        | (FileEnd::Short | FileEnd::BelowMark(_) | FileEnd::HeaderBelowMark(_), _) => {
            SegmentAction::Refuse
        }
    }
}

/// The segments in the folder.
#[derive(Default)]
pub(crate) struct Segments {
    /// The segments with a header, and those to be refused because they lack one, ascending.
    numbers: Vec<u64>,
    /// The segment after them, if it has no header and may have been in creation.
    headless: Option<u64>,
    /// The last valid header.
    pub(crate) header: Option<SegmentHeader>,
}

impl Segments {
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().copied()
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.numbers.last().copied()
    }

    /// [`action`] for a scanned segment; a refusal is the error.
    pub(crate) fn decide(
        &self,
        number: u64,
        found: &Scan,
        layout: &Layout,
    ) -> Result<SegmentAction, Error> {
        let is_last = self.last() == Some(number);
        let action = action(&found.file_end, is_last);
        if let Some(headless) = self
            .headless
            .filter(|_| is_last && action != SegmentAction::Succeed)
        {
            // A segment can lack its header only while its predecessor is not trimmed.
            let path = layout.segment(headless);
            return Err(damaged(&path, 0, FileEnd::Headless.why()));
        }
        match action {
            SegmentAction::Refuse => {
                let path = layout.segment(number);
                Err(damaged(&path, found.end, found.file_end.why()))
            }
            action => Ok(action),
        }
    }
}

/// The numbers of the segments in the folder, ascending. It is an error if one is missing between them.
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

/// The segments, and the header of the last one.
pub(crate) fn find_segments<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Segments, Error> {
    let mut numbers = list_segments(fs, layout)?;
    let mut headless = None;
    let mut header = match numbers.last() {
        Some(last) => peek(fs, layout, *last)?,
        None => None,
    };
    if let Some(last) = numbers.last().copied()
        && header.is_none()
        && is_unused(fs, layout, last)?
    {
        numbers.pop();
        headless = Some(last);
        header = match numbers.last() {
            Some(last) => peek(fs, layout, *last)?,
            None => None,
        };
    }
    if let Some(number) = headless.filter(|number| numbers.is_empty() && *number != 1) {
        let path = layout.segment(number);
        return Err(damaged(&path, 0, FileEnd::Headless.why()));
    }
    Ok(Segments {
        numbers,
        headless,
        header,
    })
}

/// Whether a file without a header holds no acknowledged write.
fn is_unused<F: FileSystem>(fs: &F, layout: &Layout, number: u64) -> Result<bool, Error> {
    let path = layout.segment(number);
    let mut buf = Vec::new();
    fs::read_into(fs, &path, &mut buf)?;
    let source = ScannedFile {
        number,
        path: &path,
        keys: &Keyring::default(),
    };
    let found = scan(&buf, source, &mut Rebuild::default())?;
    Ok(action(&found.file_end, true) == SegmentAction::Ignore)
}

/// The header of a segment; `None` where it has no valid one.
pub(crate) fn peek<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    number: u64,
) -> Result<Option<SegmentHeader>, Error> {
    let path = layout.segment(number);
    let file = fs.open(&path).during("open", &path)?;
    let mut bytes = vec![0; 4096];
    let mut len = 0;
    while len < bytes.len() {
        match file
            .read_at(&mut bytes[len..], len as u64)
            .during("read", &path)?
        {
            0 => break,
            n => len += n,
        }
    }
    match SegmentHeader::decode(&bytes[..len]) {
        Ok((header, _)) => Ok(Some(header)),
        Err(HeaderFault::Damaged(_)) => Ok(None),
        Err(HeaderFault::Unsupported(what)) => Err(Error::Unsupported { file: path, what }),
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
