//! Writes the entries of the log into files.
//!
//! A backup that runs every minute would collect many tiny files, so a small last file is merged into the new
//! one. The backup also reads the last entry that it has once more. If the cluster was restored to an earlier
//! state and has grown again, it has a different entry there.

use bytes::{Bytes, BytesMut};
use rstmdb_backup::writer::FileWriter;
use rstmdb_backup::{FileInfo, LogEntry, LogFile, folder, stream};
use rstmdb_rcp::message::storage::backup::BackupLog;

use super::source::{BackupSource, CopyStop, DescribedLog};
use super::target::BackupTarget;
use crate::Error;

/// A file is closed once it holds this much.
const FILE_BYTES: u64 = 64 << 20;
/// A last file that holds less is merged into the next one.
const SMALL_BYTES: u64 = 4 << 20;

/// Copies what is behind the last offset of the last run, up to the head.
pub(super) async fn copy(
    target: &mut BackupTarget,
    source: &BackupSource,
    head: &DescribedLog,
) -> Result<(), CopyStop> {
    let Some(last) = target.last_offset() else {
        return Err(CopyStop::Gap);
    };
    let known = last_entry(target)?;
    let mut pieces = LogPieces::new(head.last_offset);
    if let Some(known) = &known {
        match pieces.next_entry(source, last).await {
            Ok(again) if again == *known => {}
            Ok(_) => return Err(another_history(last)),
            // Retention has just dropped the backup's last entry, so there is nothing to compare.
            Err(CopyStop::Gap) => {}
            Err(stop) => return Err(stop),
        }
    }
    if last == head.last_offset {
        return Ok(());
    }
    let mut writer = LogFileWriter::begin(target)?;
    let mut term = known.map_or(0, |entry| entry.term);
    for offset in last + 1..=head.last_offset {
        let entry = pieces.next_entry(source, offset).await?;
        if entry.offset != offset || entry.term < term {
            let what = format!("the server sent entry {} instead of {offset}", entry.offset);
            return Err(Error::unexpected(what).into());
        }
        term = entry.term;
        writer.push(&entry)?;
        if writer.file.bytes() >= FILE_BYTES && offset < head.last_offset {
            writer.finish(target).await?;
            eprintln!("copied up to offset {offset} of {}", head.last_offset);
            writer = LogFileWriter::begin(target)?;
        }
    }
    writer.log.digest = Some(head.state_digest.to_string());
    writer.log.chain_head = head.chain_head.as_deref().map(ToOwned::to_owned);
    writer.finish(target).await
}

/// The last entry of the last run. Its whole file is read and checked on the way.
fn last_entry(target: &BackupTarget) -> Result<Option<LogEntry>, CopyStop> {
    let Some(log) = target.manifest.runs.last().and_then(|run| run.log.last()) else {
        return Ok(None);
    };
    folder::verify(&target.dir, &log.info)?;
    let mut last = None;
    for entry in folder::log_entries(&target.dir, log)? {
        last = Some(entry?);
    }
    Ok(last)
}

fn another_history(offset: u64) -> CopyStop {
    let message = format!(
        "the entry at offset {offset} is not the one in the backup: the cluster lost or replaced its \
         log since; back up into another folder"
    );
    CopyStop::Failed(Error::Usage(message))
}

/// The log, read from the server piece by piece.
struct LogPieces {
    arrived: BytesMut,
    /// Where the next piece begins, if one was requested.
    next: Option<(u64, u64)>,
    to_offset: u64,
}

impl LogPieces {
    fn new(to_offset: u64) -> Self {
        Self {
            arrived: BytesMut::new(),
            next: None,
            to_offset,
        }
    }

    /// The next entry, which is the one at `offset` if nothing has arrived yet.
    async fn next_entry(
        &mut self,
        source: &BackupSource,
        offset: u64,
    ) -> Result<LogEntry, CopyStop> {
        loop {
            if let Some(body) = self.take_frame()? {
                return Ok(LogEntry::decode(body).map_err(Error::unexpected)?);
            }
            let (from_offset, from_byte) = self.next.unwrap_or((offset, 0));
            let wanted = BackupLog {
                from_offset,
                from_byte,
                to_offset: self.to_offset,
            };
            let piece = source.log(wanted).await?;
            if piece.data.0.is_empty() {
                return Err(Error::unexpected("a piece of the log is empty").into());
            }
            self.arrived.extend_from_slice(&piece.data.0);
            self.next = Some((piece.next_offset, piece.next_byte));
        }
    }

    fn take_frame(&mut self) -> Result<Option<Bytes>, Error> {
        stream::take_frame(&mut self.arrived).map_err(Error::unexpected)
    }
}

/// A file of the log that is being written.
struct LogFileWriter {
    file: FileWriter,
    log: LogFile,
    /// Whether it includes the last file of the run, which is removed when this one is published.
    replaces_last: bool,
    frame: Vec<u8>,
}

impl LogFileWriter {
    fn begin(target: &BackupTarget) -> Result<Self, CopyStop> {
        let mut file = FileWriter::create(&target.dir)?;
        file.write(folder::LOG_MAGIC)?;
        let next = target.last_offset().map_or(1, |last| last + 1);
        let last = target.manifest.runs.last().and_then(|run| run.log.last());
        let small = last.filter(|log| log.info.bytes < SMALL_BYTES);
        let mut writer = Self {
            file,
            log: LogFile {
                info: FileInfo {
                    file: String::new(),
                    bytes: 0,
                    sha256: String::new(),
                },
                first_offset: small.map_or(next, |log| log.first_offset),
                last_offset: 0,
                first_time_ms: None,
                last_time_ms: None,
                digest: None,
                chain_head: None,
            },
            replaces_last: small.is_some(),
            frame: Vec::new(),
        };
        if let Some(small) = small {
            for entry in folder::log_entries(&target.dir, small)? {
                writer.push(&entry?)?;
            }
        }
        Ok(writer)
    }

    fn push(&mut self, entry: &LogEntry) -> Result<(), CopyStop> {
        self.frame.clear();
        entry.encode(&mut self.frame);
        self.file.write(&self.frame)?;
        let log = &mut self.log;
        log.last_offset = entry.offset;
        if entry.time_ms > 0 {
            let time = entry.time_ms;
            log.first_time_ms = Some(log.first_time_ms.map_or(time, |first| first.min(time)));
            log.last_time_ms = log.last_time_ms.max(Some(time));
        }
        Ok(())
    }

    /// Publishes the file and the manifest that names it.
    async fn finish(self, target: &mut BackupTarget) -> Result<(), CopyStop> {
        let Self { file, mut log, .. } = self;
        let name = folder::log_name(log.first_offset, log.last_offset);
        log.info = file.publish(&name)?;
        if let Some(run) = target.manifest.runs.last_mut() {
            if self.replaces_last {
                run.log.pop();
            }
            run.log.push(log);
        }
        target.write_manifest().await?;
        target.remove_unnamed()?;
        Ok(())
    }
}
