//! History that has left the node for the archive: which entries are there, and the files of it that are being read.
//!
//! Only a reader that asks for an entry of the archive waits for the archive. The tasks in `upkeep/archiving.rs` list, write and
//! read the archive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rstmdb_raft_store::{ArchivedFile, ArchivedName, FileSystem};
use tokio::sync::{mpsc, oneshot};

use super::covered::CoveredRanges;
use super::damaged::Damaged;
use crate::replica::error::Error;
use crate::replica::parts::signal::Signal;

/// A file of the archive that can be read for as long as this lives.
pub(crate) type HeldArchive<F> = Arc<ArchivedFile<F>>;

/// What a caller that waits for a file gets: the file, or why there is none.
type Arrives<F> = oneshot::Sender<Result<HeldArchive<F>, String>>;

/// At most this many files are waited for at the same time.
const WANTED_MAX: usize = 64;

/// What is known of the archive.
pub(crate) struct ArchivedLog<F: FileSystem> {
    known: Mutex<KnownArchive<F>>,
    /// Changes with each attempt to list the archive.
    attempts: Signal,
    wanted: mpsc::UnboundedSender<ArchivedName>,
    cache_bytes: u64,
}

/// What has to be done before entries may be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Safety {
    /// Nothing: the archive has them.
    Safe,
    /// This object has to be read: it may have the next of them.
    Unverified(ArchivedName),
    /// They have to be put there.
    Missing,
}

struct KnownArchive<F: FileSystem> {
    /// The objects, by their first entry; `None` until the archive was listed once.
    names: Option<BTreeSet<ArchivedName>>,
    /// Where this node's own log began when it was listed last.
    listed_for: u64,
    /// Why the last attempt to list it has failed.
    unlisted: Option<String>,
    covered: CoveredRanges,
    damaged: Damaged,
    /// The objects that this process has read whole, and whose checksum was right. The node drops only entries that are in
    /// these: a listing does not show what an object holds.
    verified: BTreeSet<ArchivedName>,
    /// The file that was not used for longest is the first.
    files: VecDeque<HeldArchive<F>>,
    coming: BTreeMap<ArchivedName, Vec<Arrives<F>>>,
}

impl<F: FileSystem> ArchivedLog<F> {
    /// Also returns the end at which the wanted files are named.
    pub(crate) fn new(cache_bytes: u64) -> (Self, mpsc::UnboundedReceiver<ArchivedName>) {
        let (wanted, names) = mpsc::unbounded_channel();
        let known = KnownArchive {
            names: None,
            listed_for: 0,
            unlisted: None,
            covered: CoveredRanges::default(),
            damaged: Damaged::default(),
            verified: BTreeSet::new(),
            files: VecDeque::new(),
            coming: BTreeMap::new(),
        };
        let archived = Self {
            known: Mutex::new(known),
            attempts: Signal::default(),
            wanted,
            cache_bytes,
        };
        (archived, names)
    }

    /// The first entry of those in the archive that lead to `here` without a gap; `here` if none do.
    pub(crate) fn earliest_below(&self, here: u64) -> u64 {
        let known = self.known.lock();
        let range = known.covered.range_of(here.saturating_sub(1));
        range.map_or(here, |(first, _)| first.clamp(1, here))
    }

    /// What has to be done before these entries may be dropped.
    pub(crate) fn safety(&self, first: u64, last: u64) -> Safety {
        let known = self.known.lock();
        let mut next = first;
        for name in &known.verified {
            if (name.first..=name.last).contains(&next) {
                next = name.last + 1;
            }
        }
        if next > last {
            return Safety::Safe;
        }
        let name = known.name_of(next);
        name.map_or(Safety::Missing, Safety::Unverified)
    }

    /// How many files this process has read in the archive and found to be whole.
    pub(crate) fn verified_files(&self) -> usize {
        self.known.lock().verified.len()
    }

    /// Whether the archive is not known to have this entry.
    pub(crate) fn lacks(&self, offset: u64) -> bool {
        self.known.lock().covered.range_of(offset).is_none()
    }

    /// Whether the list is too old: this node's own log begins at `here` since it was made, and it does not lead there. A
    /// snapshot has taken the place of entries that other nodes have put into the archive meanwhile.
    pub(crate) fn is_behind(&self, here: u64) -> bool {
        self.known.lock().is_behind(here)
    }

    /// The archive was listed, when this node's own log began at `here`.
    pub(crate) fn listed(&self, found: impl Iterator<Item = ArchivedName>, here: u64) {
        let mut known = self.known.lock();
        let mut names: BTreeSet<_> = found.collect();
        known.damaged.retain_listed(&names);
        names.retain(|name| !known.damaged.contains(name));
        known.verified.retain(|name| names.contains(name));
        known.names = Some(names);
        known.listed_for = here;
        known.unlisted = None;
        known.cover();
        drop(known);
        self.attempts.change();
    }

    /// The archive could not be listed.
    pub(crate) fn not_listed(&self, reason: String) {
        self.known.lock().unlisted = Some(reason);
        self.attempts.change();
    }

    /// An object is in the archive, and its content is right. What lies below `here` has left the node already, so
    /// that is not asked for again. Says whether it was known to be damaged.
    pub(crate) fn verified(&self, name: ArchivedName, here: u64) -> bool {
        let mut known = self.known.lock();
        let is_mended = known.damaged.contains(&name);
        known.damaged.remove(&name);
        if let Some(names) = &mut known.names {
            names.insert(name.clone());
        }
        known.verified.retain(|name| name.last >= here);
        known.verified.insert(name);
        known.cover();
        is_mended
    }

    /// Waits until it is known what the archive has, for one attempt to list it. This node's own log begins at `here`.
    ///
    /// # Errors
    /// [`Error::ArchiveUnavailable`] when it still is not known.
    pub(crate) async fn wait_for_names(&self, wanted: u64, here: u64) -> Result<(), Error> {
        let attempts = self.attempts.count();
        let fails = {
            let known = self.known.lock();
            if known.names.is_some() && !known.is_behind(here) {
                return Ok(());
            }
            known.unlisted.is_some()
        };
        if attempts == 0 || !fails {
            self.attempts.past(attempts).await;
        }
        let known = self.known.lock();
        if known.names.is_some() && (known.unlisted.is_none() || !known.is_behind(here)) {
            return Ok(());
        }
        let reason = known.unlisted.clone().unwrap_or_default();
        Err(Error::ArchiveUnavailable { wanted, reason })
    }

    /// A file with this entry, which is read from the archive where it is not at hand; `None` when the archive does not
    /// have it.
    ///
    /// # Errors
    /// [`Error::ArchiveUnavailable`], [`Error::ArchiveDamaged`].
    pub(crate) async fn hold(&self, wanted: u64) -> Result<Option<HeldArchive<F>>, Error> {
        loop {
            let (coming, name) = {
                let mut known = self.known.lock();
                if let Some(file) = known.used(wanted) {
                    return Ok(Some(file));
                }
                let Some(name) = known.name_of(wanted) else {
                    return known.damage_at(wanted).map_or(Ok(None), Err);
                };
                (self.ask(&mut known, &name, wanted)?, name)
            };
            match coming.await {
                Ok(Ok(file)) => return Ok(Some(file)),
                // Another object may hold the entry too.
                Ok(Err(_)) if self.known.lock().damaged.contains(&name) => {}
                Ok(Err(reason)) => return Err(Error::ArchiveUnavailable { wanted, reason }),
                Err(_) => return Err(Error::ShuttingDown),
            }
        }
    }

    /// The file with this entry, if it is at hand.
    pub(crate) fn held(&self, offset: u64) -> Option<HeldArchive<F>> {
        self.known.lock().used(offset)
    }

    /// Why these entries cannot be read, if that is because an object is damaged: without the damage, all entries from
    /// `wanted` to `here` would be there.
    pub(crate) fn damage_between(&self, wanted: u64, here: u64) -> Option<Error> {
        let mut known = self.known.lock();
        let mut next = wanted;
        let mut found = None;
        while next < here {
            let last = match known.covered.range_of(next) {
                Some((_, last)) => last,
                None => {
                    let (name, _) = known.damaged.want(next)?;
                    let last = name.last;
                    found = found.or(Some(next));
                    last
                }
            };
            next = last.checked_add(1)?;
        }
        let error = known.damage_at(found?)?;
        Some(match error {
            Error::ArchiveDamaged { object, what, .. } => Error::ArchiveDamaged {
                wanted,
                object,
                what,
            },
            error => error,
        })
    }

    /// How many objects are known to be damaged.
    pub(crate) fn damaged_objects(&self) -> usize {
        self.known.lock().damaged.len()
    }

    /// Whether entries of a damaged object were asked for since it was read last.
    pub(crate) fn wants_damaged(&self) -> bool {
        self.known.lock().damaged.wants()
    }

    /// The damaged objects that are worth another look: `all`, or those that were asked for since the last one.
    pub(crate) fn take_damaged(&self, all: bool) -> Vec<ArchivedName> {
        self.known.lock().damaged.take_wanted(all)
    }

    /// Drops the copy of a file that can no longer be read, so that the archive is asked for it again.
    pub(crate) fn forget(&self, file: &HeldArchive<F>) {
        let mut known = self.known.lock();
        known.files.retain(|kept| !Arc::ptr_eq(kept, file));
    }

    fn ask(
        &self,
        known: &mut KnownArchive<F>,
        name: &ArchivedName,
        wanted: u64,
    ) -> Result<oneshot::Receiver<Result<HeldArchive<F>, String>>, Error> {
        let (arrives, coming) = oneshot::channel();
        if let Some(waiting) = known.coming.get_mut(name) {
            waiting.push(arrives);
            return Ok(coming);
        }
        if known.coming.len() >= WANTED_MAX {
            let reason = format!("clients already wait for {WANTED_MAX} of its files");
            return Err(Error::ArchiveUnavailable { wanted, reason });
        }
        let asked = self.wanted.send(name.clone());
        asked.map_err(|_| Error::ShuttingDown)?;
        known.coming.insert(name.clone(), vec![arrives]);
        Ok(coming)
    }

    /// A file that was asked for has come.
    pub(crate) fn arrived(&self, file: ArchivedFile<F>) {
        let name = file.name().clone();
        let file = Arc::new(file);
        let mut known = self.known.lock();
        known.files.push_back(file.clone());
        let dropped = known.make_room(self.cache_bytes);
        let waiting = known.coming.remove(&name).unwrap_or_default();
        drop(known);
        // This removes files, which takes its time.
        drop(dropped);
        for arrives in waiting {
            // One that no longer waits needs no answer.
            let _ = arrives.send(Ok(file.clone()));
        }
    }

    /// A file that was asked for cannot be had. One that is damaged is not given to anyone until it was found to be
    /// whole. Says whether this damage is news.
    pub(crate) fn failed(&self, name: &ArchivedName, reason: &str, damaged: bool) -> bool {
        let mut known = self.known.lock();
        let mut is_news = false;
        if damaged {
            is_news = known.damaged.add(name, reason);
            known.verified.remove(name);
            if let Some(names) = &mut known.names {
                names.remove(name);
            }
            known.cover();
        }
        let waiting = known.coming.remove(name).unwrap_or_default();
        drop(known);
        for arrives in waiting {
            let _ = arrives.send(Err(reason.to_owned()));
        }
        is_news
    }
}

impl<F: FileSystem> KnownArchive<F> {
    /// The error for an entry that only a damaged object holds.
    fn damage_at(&mut self, wanted: u64) -> Option<Error> {
        let (name, what) = self.damaged.want(wanted)?;
        Some(Error::ArchiveDamaged {
            wanted,
            object: name.to_string(),
            what: what.to_owned(),
        })
    }

    fn cover(&mut self) {
        self.covered = CoveredRanges::of(self.names.iter().flatten());
    }

    fn is_behind(&self, here: u64) -> bool {
        let is_gap = here > 1 && self.covered.range_of(here - 1).is_none();
        self.names.is_some() && is_gap && self.listed_for != here
    }

    fn name_of(&self, offset: u64) -> Option<ArchivedName> {
        let holds = |name: &&ArchivedName| (name.first..=name.last).contains(&offset);
        let names = self.names.as_ref()?;
        // Those that begin later come later: the one that begins next below is the likeliest.
        let behind = ArchivedName {
            first: offset + 1,
            last: 0,
            sha256: String::new(),
        };
        names.range(..behind).rev().find(holds).cloned()
    }

    /// The file with this entry, which is then the one that was used last.
    fn used(&mut self, offset: u64) -> Option<HeldArchive<F>> {
        let holds =
            |file: &HeldArchive<F>| (file.name().first..=file.name().last).contains(&offset);
        let at = self.files.iter().position(holds)?;
        let file = self.files.remove(at)?;
        self.files.push_back(file.clone());
        Some(file)
    }

    /// Takes out the files for which there is no room, but none that is being read.
    fn make_room(&mut self, bytes_max: u64) -> Vec<HeldArchive<F>> {
        let mut bytes: u64 = self.files.iter().map(|file| file.bytes()).sum();
        let newest = self.files.len().saturating_sub(1);
        let mut gone = Vec::new();
        let mut kept = VecDeque::new();
        for (at, file) in std::mem::take(&mut self.files).into_iter().enumerate() {
            if bytes > bytes_max && at != newest && Arc::strong_count(&file) == 1 {
                bytes -= file.bytes();
                gone.push(file);
            } else {
                kept.push_back(file);
            }
        }
        self.files = kept;
        gone
    }
}
