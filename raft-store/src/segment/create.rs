//! Creates a segment: first its space, then its header, then only records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, IoContext};
use crate::folder::{Layout, Options};
use crate::format::codec::Codec;
use crate::format::{HardState, SegmentHeader};
use crate::fs::{File, FileSystem, TEMPORARY_SUFFIX};
use crate::segment::summary::Index;
use crate::segment::table::OpenedFile;

/// The segment that is written to.
pub(crate) struct ActiveSegment<F: FileSystem> {
    pub(crate) number: u64,
    pub(crate) file: Arc<OpenedFile<F::File>>,
    /// Where the next record goes.
    pub(crate) offset: u64,
    pub(crate) codec: Codec,
    /// The key its payloads are encrypted with.
    pub(crate) key_id: Option<u32>,
}

/// Cuts a sealed segment to its seal, durably. A segment that ends with its seal promises that its successor has a
/// header.
pub(crate) fn trim(file: &impl File, path: &Path, end: u64) -> Result<(), Error> {
    file.set_len(end).during("trim", path)?;
    file.sync().during("sync", path)
}

fn blank_path(layout: &Layout) -> PathBuf {
    layout.wal.join(format!("next{TEMPORARY_SUFFIX}"))
}

/// A file for the next segment, with its space, under a temporary name. Nothing depends on it yet, so a
/// shortage of space, inodes or descriptors does no harm here.
pub(crate) fn blank_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
) -> Result<F::File, Error> {
    let path = blank_path(layout);
    let file = fs.create(&path).during("create", &path)?;
    // Set the length before the header is written. After that, a shorter file has lost data.
    let reserved = file
        .preallocate(options.segment_bytes)
        .during("preallocate", &path)
        .and_then(|()| file.sync().during("sync", &path));
    match reserved {
        Ok(()) => Ok(file),
        Err(error) => {
            // Remove the file now, because it takes up space on a full disk. If that fails, the next start removes
            // it.
            let _ = fs.remove(&path);
            Err(error)
        }
    }
}

/// Creates a segment. It is durable with its header before any record is written.
pub(crate) fn create_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
) -> Result<(ActiveSegment<F>, Index), Error> {
    let blank = blank_segment(fs, layout, options)?;
    begin_segment(fs, layout, options, number, state, blank)
}

/// The second half of [`create_segment`].
pub(crate) fn begin_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
    file: F::File,
) -> Result<(ActiveSegment<F>, Index), Error> {
    let path = layout.segment(number);
    let key = options.keys.for_new_file()?;
    let (key, cipher) = key.unzip();
    let header = SegmentHeader {
        cluster_id: options.cluster_id,
        segment: number,
        created_ms: options.now_ms(),
        state,
        allocated: options.segment_bytes,
        key,
    };
    let bytes = header.encode();
    debug_assert_eq!(
        SegmentHeader::decode(&bytes),
        Ok((header, bytes.len())),
        "the header would be read as another"
    );
    fs.rename(&blank_path(layout), &path)
        .during("rename", &path)?;
    file.write_all_at(&bytes, 0).during("write", &path)?;
    file.sync().during("sync", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)?;
    let mut index = Index::default();
    index.summary.number = number;
    index.summary.header_crc = crc32c::crc32c(&bytes);
    index.summary.bytes = bytes.len() as u64;
    index.summary.last_ms = header.created_ms;
    let active = ActiveSegment {
        number,
        codec: options.codec(cipher.clone())?,
        file: Arc::new(OpenedFile { file, cipher }),
        offset: bytes.len() as u64,
        key_id: key.map(|key| key.key_id),
    };
    Ok((active, index))
}
