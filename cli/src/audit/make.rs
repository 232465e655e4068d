//! Makes a proof from the log of a running cluster.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rstmdb_engine::chain::{EntryHash, EntryKind, HASH_BYTES, Head, Logged, OpenedEntry};
use rstmdb_rcp::message::storage::audit::{AuditEntry, AuditLives, AuditReadResult};
use rstmdb_rcp::message::storage::backup::Blob;
use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::format::{Begin, FORMAT, LINE_HASHES, ProofEnd, ProofLine, VERSION};
use crate::session::CliSession;
use crate::{Error, args};

/// Writes the proof to the file, or to standard output.
pub(super) async fn make(
    session: &CliSession,
    args: &args::AuditProofArgs,
    instance_id: &str,
    kept: Option<Head>,
) -> Result<(), Error> {
    let Some(path) = &args.out else {
        let mut out = io::stdout().lock();
        return write(session, args, instance_id, kept, &mut out).await;
    };
    let failed =
        |error: io::Error| Error::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let written = write(session, args, instance_id, kept, &mut file).await;
    let written = written.and_then(|()| file.flush().map_err(failed));
    if written.is_err() {
        remove(path);
    }
    written
}

/// Removes a proof that is not whole, so that it is not mistaken for a whole one.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        eprintln!(
            "{} is not a whole proof, and cannot be removed: {error}",
            path.display()
        );
    }
}

async fn write(
    session: &CliSession,
    args: &args::AuditProofArgs,
    instance_id: &str,
    kept: Option<Head>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut page = super::read(session, args.from.unwrap_or(0), Some(instance_id), None).await?;
    let end = args.at.unwrap_or(page.last_applied);
    let first = page.first_offset;
    if end + 1 < first || end > page.last_applied {
        let message = format!(
            "--at: the log is provable from offset {first} to {}, got {end}",
            page.last_applied
        );
        return Err(Error::Usage(message));
    }
    let mut proof = Proof {
        out,
        instance_id,
        cluster_id: page.cluster_id.to_string(),
        next: first,
        head: head_of(&page)?,
        begun: None,
        hashes: Vec::new(),
        entries: 0,
    };
    if args.from.is_some() {
        proof.begin()?;
    }
    loop {
        proof.page(&page, end)?;
        if proof.next > end {
            break;
        }
        let from = proof.next;
        page = super::read(session, from, Some(instance_id), None).await?;
        if page.first_offset != from || head_of(&page)? != proof.head {
            return Err(Error::unexpected(format!(
                "its head before offset {from} is not the one that its own entries lead to: the log was changed, or \
                 another node answered that has another log"
            )));
        }
    }
    let head = proof.head;
    if let Some(kept) = kept.filter(|kept| *kept != head) {
        return Err(Error::Failed(format!(
            "the head at offset {end} is {head}; the head that you kept is {kept}. The history up to there was \
             changed, or your head is of another cluster or another offset"
        )));
    }
    proof.finish(end, first)
}

fn head_of(page: &AuditReadResult<'_>) -> Result<Head, Error> {
    page.head_before.parse().map_err(Error::unexpected)
}

/// A proof that is being written.
struct Proof<'a, W> {
    out: &'a mut W,
    instance_id: &'a str,
    cluster_id: String,
    /// The next entry.
    next: u64,
    /// The head before it.
    head: Head,
    /// The first entry in the proof.
    begun: Option<u64>,
    /// Of entries that are not shown, and not written yet.
    hashes: Vec<u8>,
    /// How many are shown.
    entries: u64,
}

impl<W: Write> Proof<'_, W> {
    /// Takes the page's entries up to `end`.
    fn page(&mut self, page: &AuditReadResult<'_>, end: u64) -> Result<(), Error> {
        let (hashes, rest) = page.hashes.0.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || (hashes.is_empty() && self.next <= end) {
            return Err(Error::unexpected("a page of hashes that is not whole"));
        }
        let mut shown = page.entries.iter().peekable();
        let mut lives = page.lives.iter().peekable();
        for hash in hashes {
            if self.next > end {
                break;
            }
            let hash = EntryHash(*hash);
            let opened = lives.next_if(|lives| lives.offset == self.next);
            match shown.next_if(|entry| entry.offset == self.next) {
                Some(entry) => self.show(entry, &hash)?,
                None if self.begun.is_none() => {}
                None if hash.has_lives() => self.name_lives(opened, &hash)?,
                None => {
                    self.hashes.extend_from_slice(&hash.0);
                    if self.hashes.len() == LINE_HASHES * HASH_BYTES {
                        self.write_hashes()?;
                    }
                }
            }
            self.head = self.head.then(&hash);
            self.next += 1;
        }
        Ok(())
    }

    fn show(&mut self, entry: &AuditEntry, hash: &EntryHash) -> Result<(), Error> {
        let logged = Logged {
            term: entry.term,
            offset: entry.offset,
            kind: EntryKind::Normal,
            payload: &entry.data.0,
        };
        if logged.hash() != *hash {
            let offset = entry.offset;
            return Err(Error::unexpected(format!(
                "the entry at offset {offset} has another hash"
            )));
        }
        if self.begun.is_none() {
            self.begin()?;
        }
        self.write_hashes()?;
        self.entries += 1;
        self.line(&ProofLine {
            entry: Some(entry.clone()),
            ..ProofLine::default()
        })
    }

    /// The proof begins with the next entry.
    fn begin(&mut self) -> Result<(), Error> {
        self.begun = Some(self.next);
        self.line(&Begin {
            format: FORMAT.to_owned(),
            version: VERSION,
            cluster_id: self.cluster_id.clone(),
            instance_id: self.instance_id.to_owned(),
            from_offset: self.next,
            head_before: self.head.to_string(),
        })
    }

    /// Shows of an entry which lives it begins and ends, none of them the instance's.
    fn name_lives(&mut self, lives: Option<&AuditLives>, hash: &EntryHash) -> Result<(), Error> {
        let opened = lives.and_then(|lives| OpenedEntry::of_bytes(&lives.opened.0));
        let opened = opened.filter(|opened| opened.hash() == *hash);
        let offset = self.next;
        let opened = opened.ok_or_else(|| {
            Error::unexpected(format!(
                "it does not tell what the hash of the entry at offset {offset} is made of"
            ))
        })?;
        self.write_hashes()?;
        self.line(&ProofLine {
            lives: Some(Blob(opened.to_bytes())),
            ..ProofLine::default()
        })
    }

    fn write_hashes(&mut self) -> Result<(), Error> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        let hashes = Some(Blob(std::mem::take(&mut self.hashes)));
        self.line(&ProofLine {
            hashes,
            ..ProofLine::default()
        })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(line).map_err(Error::unexpected)?;
        Ok(writeln!(self.out, "{text}")?)
    }

    fn finish(mut self, to_offset: u64, searched_from: u64) -> Result<(), Error> {
        let Some(from) = self.begun.filter(|_| self.entries > 0) else {
            return Err(Error::Failed(format!(
                "no entry from offset {searched_from} to {to_offset} has a fact about {:?}; entries before that are no \
                 longer kept, are not in the chain, or --from leaves them out",
                self.instance_id
            )));
        };
        self.write_hashes()?;
        let head = self.head.to_string();
        self.line(&ProofLine {
            end: Some(ProofEnd {
                to_offset,
                head: head.clone(),
            }),
            ..ProofLine::default()
        })?;
        self.out.flush()?;
        eprintln!(
            "{} about {:?} from offset {from} on, proven up to the head {head} at offset {to_offset}",
            counted(self.entries, "entry", "entries"),
            self.instance_id
        );
        Ok(())
    }
}
