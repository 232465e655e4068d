//! What the in-memory disk holds: the content as programs see it, and what of it would survive.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The unit in which a real disk tears a write.
const SECTOR_BYTES: usize = 512;

/// A small seeded generator (splitmix64): the same seed gives the same faults, everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Debug)]
enum Change {
    Write { at: usize, data: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Inode {
    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        write(&mut self.content, at, data);
        self.unsynced.push(Change::Write {
            at,
            data: data.to_vec(),
        });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.content.resize(len, 0);
        self.unsynced.push(Change::SetLen(len));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { at, data } => write(&mut self.durable, at, &data),
                Change::SetLen(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// Any subset of the unsynced changes may have reached the disk, and of each write any
    /// subset of its sectors: the write-back cache owes no order.
    fn crash(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.unsynced) {
            match (change, random.below(3)) {
                (_, 0) => {}
                (Change::SetLen(len), _) => self.durable.resize(len, 0),
                (Change::Write { at, data }, 1) => write(&mut self.durable, at, &data),
                (Change::Write { at, data }, _) => tear(&mut self.durable, at, &data, random),
            }
        }
        self.content.clone_from(&self.durable);
    }
}

fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data);
}

fn tear(content: &mut Vec<u8>, at: usize, data: &[u8], random: &mut Random) {
    let mut done = 0;
    while done < data.len() {
        let room = SECTOR_BYTES - (at + done) % SECTOR_BYTES;
        let end = (done + room).min(data.len());
        if random.below(2) == 0 {
            write(content, at + done, &data[done..end]);
        }
        done = end;
    }
}

#[derive(Debug)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Set(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (NameChange::Set(path, _) | NameChange::Remove(path) | NameChange::Rename(_, path)) =
            self;
        path.parent() == Some(dir)
    }
}

/// Files and names, as seen and as durable.
#[derive(Debug, Default)]
pub(super) struct Disk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    inode_next: u64,
}

impl Disk {
    pub(super) fn create(&mut self, path: &Path) -> u64 {
        let inode = self.inode_next;
        self.inode_next += 1;
        self.inodes.insert(inode, Inode::default());
        self.change(NameChange::Set(path.to_owned(), inode));
        inode
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.find(from)?;
        self.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> Vec<String> {
        let inside = self.names.keys().filter(|path| path.parent() == Some(dir));
        inside
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect()
    }

    pub(super) fn paths_under(&self, dir: &Path) -> Vec<PathBuf> {
        self.names
            .keys()
            .filter(|path| path.starts_with(dir))
            .cloned()
            .collect()
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced_names)
            .into_iter()
            .partition(|change| change.is_in(dir));
        for change in &synced {
            change.apply(&mut self.durable_names);
        }
        self.unsynced_names = rest;
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let files = self
            .names
            .values()
            .filter_map(|inode| self.inodes.get(inode));
        files.map(|inode| inode.content.len() as u64).sum()
    }

    /// A power cut. Name changes survive as a prefix (the file systems meant journal them in
    /// order); data survives in any combination.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.unsynced_names);
        let kept = random.below(pending.len() as u64 + 1) as usize;
        for change in &pending[..kept] {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        let names = &self.names;
        self.inodes
            .retain(|inode, _| names.values().any(|named| named == inode));
        for inode in self.inodes.values_mut() {
            inode.crash(random);
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}
