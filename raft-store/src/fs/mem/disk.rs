//! What the in-memory disk holds: files and names as programs see them, what of both is durable,
//! and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that changes the disk.
#[derive(Clone, Debug)]
pub(super) enum DiskOperation {
    /// A file's content or length.
    Data(u64, DataChange),
    /// Makes a file's changes durable.
    Sync(u64),
    /// A name.
    Name(NameChange),
    /// Makes the changes of a folder's names durable.
    SyncDir(PathBuf),
}

/// A change of a file, as small as it was asked for.
#[derive(Clone, Debug)]
pub(super) enum DataChange {
    Write { at: usize, data: Arc<[u8]> },
    SetLen(usize),
}

/// A change of one folder.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Folder(PathBuf),
    File(PathBuf, u64),
    Remove(PathBuf),
    RemoveFolder(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    /// The folder that it changes.
    fn folder(&self) -> &Path {
        let (NameChange::Folder(path)
        | NameChange::File(path, _)
        | NameChange::Remove(path)
        | NameChange::RemoveFolder(path)
        | NameChange::Rename(_, path)) = self;
        path.parent().unwrap_or(path)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<DataChange>,
}

impl Inode {
    fn of(durable: Vec<u8>) -> Self {
        Inode {
            content: durable.clone(),
            durable,
            unsynced: Vec::new(),
        }
    }

    fn change(&mut self, change: &DataChange) {
        change.apply(&mut self.content);
        self.unsynced.push(change.clone());
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }
}

impl DataChange {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            DataChange::Write { at, data } => write(content, *at, data),
            DataChange::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// Writes into a file's bytes; what lies between its end and `at` becomes zeros.
pub(super) fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data);
}

/// Files by path. Folders count only where they were created: all others were always there.
#[derive(Clone, Debug, Default)]
pub(super) struct DiskNames {
    pub(super) files: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
}

impl DiskNames {
    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Folder(path) => {
                self.folders.insert(path.clone());
            }
            NameChange::File(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Remove(path) => {
                self.files.remove(path);
            }
            NameChange::RemoveFolder(path) => {
                self.files.retain(|file, _| !file.starts_with(path));
                self.folders.retain(|folder| !folder.starts_with(path));
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                }
            }
        }
    }

    fn knows(&self, dir: &Path) -> bool {
        let mut paths = self.files.keys().chain(&self.folders);
        dir.parent().is_none() || paths.any(|path| path.starts_with(dir))
    }
}

/// The disk. Every change goes through [`MemDisk::perform`], so that a recording misses none.
#[derive(Clone, Debug, Default)]
pub(super) struct MemDisk {
    inodes: BTreeMap<u64, Inode>,
    names: DiskNames,
    durable_names: DiskNames,
    unsynced_names: Vec<NameChange>,
    inode_next: u64,
    recorded: Option<Vec<DiskOperation>>,
}

impl MemDisk {
    pub(super) fn perform(&mut self, operation: DiskOperation) {
        match &operation {
            DiskOperation::Data(inode, change) => {
                if let Some(inode) = self.inodes.get_mut(inode) {
                    inode.change(change);
                }
            }
            DiskOperation::Sync(inode) => {
                if let Some(inode) = self.inodes.get_mut(inode) {
                    inode.sync();
                }
            }
            DiskOperation::Name(change) => {
                if let NameChange::File(_, inode) = change {
                    self.inodes.insert(*inode, Inode::default());
                    self.inode_next = inode + 1;
                }
                self.names.apply(change);
                self.unsynced_names.push(change.clone());
            }
            DiskOperation::SyncDir(dir) => self.sync_dir(dir),
        }
        if let Some(recorded) = &mut self.recorded {
            recorded.push(operation);
        }
    }

    fn sync_dir(&mut self, dir: &Path) {
        let unsynced = std::mem::take(&mut self.unsynced_names);
        for change in unsynced {
            if change.folder() == dir {
                self.durable_names.apply(&change);
            } else {
                self.unsynced_names.push(change);
            }
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> u64 {
        let inode = self.inode_next;
        self.name(NameChange::File(path.to_owned(), inode));
        inode
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        let missing: Vec<_> = dir
            .ancestors()
            .take_while(|dir| !self.names.knows(dir))
            .map(Path::to_owned)
            .collect();
        for dir in missing.into_iter().rev() {
            self.name(NameChange::Folder(dir));
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let inode = self.names.files.get(path);
        inode.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode(&self, inode: u64) -> io::Result<&Inode> {
        let inode = self.inodes.get(&inode);
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Replaces a file's content, durably and unrecorded.
    pub(super) fn replace(&mut self, inode: u64, content: &[u8]) {
        self.inodes.insert(inode, Inode::of(content.to_vec()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.find(from)?;
        self.name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    /// Removes one file after the other, as the operating system does, and the last one first. The real order
    /// is arbitrary; this one is the hardest for a start to notice, because it leaves a log that only ends
    /// too early.
    pub(super) fn remove_dir_all(&mut self, dir: &Path) {
        if !self.names.knows(dir) {
            return;
        }
        let inside = self.names.files.keys().filter(|path| path.starts_with(dir));
        for path in inside.rev().cloned().collect::<Vec<_>>() {
            self.name(NameChange::Remove(path));
        }
        self.name(NameChange::RemoveFolder(dir.to_owned()));
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.names.knows(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = self.names.files.keys();
        let inside = paths.filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    /// Every named file with its content.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.names.files.iter().filter_map(|(path, inode)| {
            let inode = self.inodes.get(inode)?;
            Some((path.as_path(), inode.content.as_slice()))
        })
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.files().map(|(_, content)| content.len() as u64).sum()
    }

    pub(super) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    pub(super) fn recorded(&self) -> &[DiskOperation] {
        self.recorded.as_deref().unwrap_or_default()
    }

    /// The name changes that a power cut may lose, by the folder they are in. (File systems
    /// journal the changes of one folder in order; between folders some promise nothing.)
    pub(super) fn unsynced_names(&self) -> BTreeMap<&Path, Vec<&NameChange>> {
        let mut by_folder = BTreeMap::<_, Vec<_>>::new();
        for change in &self.unsynced_names {
            by_folder.entry(change.folder()).or_default().push(change);
        }
        by_folder
    }

    /// The names that survive if the first unsynced changes of each folder do; `kept` says how many. If a folder is
    /// lost, everything in it is lost, durable or not.
    pub(super) fn surviving_names(&self, kept: &[usize]) -> DiskNames {
        let mut names = self.durable_names.clone();
        for (changes, kept) in self.unsynced_names().values().zip(kept) {
            changes[..*kept]
                .iter()
                .for_each(|change| names.apply(change));
        }
        let lost: Vec<_> = self.names.folders.difference(&names.folders).collect();
        names
            .files
            .retain(|file, _| !lost.iter().any(|folder| file.starts_with(folder)));
        names
    }

    /// A disk with these names and, of what was on this one, these contents; all of it durable.
    pub(super) fn with(&self, names: DiskNames, contents: BTreeMap<u64, Vec<u8>>) -> MemDisk {
        let inodes = contents.into_iter();
        MemDisk {
            inodes: inodes.map(|(n, bytes)| (n, Inode::of(bytes))).collect(),
            names: names.clone(),
            durable_names: names,
            unsynced_names: Vec::new(),
            inode_next: self.inode_next,
            recorded: None,
        }
    }

    fn name(&mut self, change: NameChange) {
        self.perform(DiskOperation::Name(change));
    }
}
