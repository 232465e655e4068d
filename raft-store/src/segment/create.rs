//! Making a segment: its space first, then its header, then nothing but records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, IoContext};
use crate::folder::{Layout, Options};
use crate::format::codec::Codec;
use crate::format::{HardState, SegmentHeader};
use crate::fs::{File, FileSystem, TEMPORARY_SUFFIX};
use crate::segment::summary::Index;
use crate::segment::table::Opened;

/// The segment that is written to.
pub(crate) struct Active<F: FileSystem> {
    pub(crate) number: u64,
    pub(crate) file: Arc<Opened<F::File>>,
    /// Where the next record goes.
    pub(crate) offset: u64,
    pub(crate) codec: Codec,
    /// The key its payloads are encrypted with.
    pub(crate) key_id: Option<u32>,
}

/// Cuts a sealed segment to its seal, durably: the promise that its successor has a header.
pub(crate) fn trim(file: &impl File, path: &Path, end: u64) -> Result<(), Error> {
    file.set_len(end).during("trim", path)?;
    file.sync().during("sync", path)
}

fn blank_path(layout: &Layout) -> PathBuf {
    layout.wal.join(format!("next{TEMPORARY_SUFFIX}"))
}

/// A file for a segment to come, with its space, under a temporary name. Nothing depends on it yet, so that want
/// of space, inodes or descriptors costs nothing here.
pub(crate) fn blank_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
) -> Result<F::File, Error> {
    let path = blank_path(layout);
    let file = fs.create(&path).during("create", &path)?;
    // The length before the header: from then on a shorter file has lost something.
    let reserved = file
        .preallocate(options.segment_bytes)
        .during("preallocate", &path)
        .and_then(|()| file.sync().during("sync", &path));
    match reserved {
        Ok(()) => Ok(file),
        Err(error) => {
            // What stayed behind would make a full disk fuller; the next start removes it otherwise.
            let _ = fs.remove(&path);
            Err(error)
        }
    }
}

/// Creates a segment, durable with its header before anything is written to it.
pub(crate) fn create_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
) -> Result<(Active<F>, Index), Error> {
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
) -> Result<(Active<F>, Index), Error> {
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
    let active = Active {
        number,
        codec: options.codec(cipher.clone())?,
        file: Arc::new(Opened { file, cipher }),
        offset: bytes.len() as u64,
        key_id: key.map(|key| key.key_id),
    };
    Ok((active, index))
}
