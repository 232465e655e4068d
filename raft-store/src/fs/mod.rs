//! The one seam between this crate and a disk: files and folders behind a trait, so that the test double can
//! lose, tear and refuse writes, which a real disk rarely does.

#[cfg(any(test, feature = "testing"))]
mod mem;
mod real;

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Error, IoContext};

#[cfg(any(test, feature = "testing"))]
pub use mem::{Cut, DiskFault, FaultOp, MemFile, MemFs, Moment, Recording};
pub use real::{RealFile, RealFs};

/// A file system as the store needs it. All paths are absolute or relative to one fixed folder.
pub trait FileSystem: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// A held lock; dropping it releases the lock.
    type Lock: Send + Sync + 'static;

    /// Creates the file, empty, replacing any that exists, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens an existing file for reading. This also works on a read-only folder.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open_to_write(&self, path: &Path) -> io::Result<Self::File>;
    /// The names of the files in `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates `dir` and its parents.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file another name in the same file system, replacing any that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all it holds; absent is fine.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Locks the file (created when absent), or fails with `WouldBlock` when another holds it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
    /// As [`FileSystem::lock`], but without creating the file, and also on a read-only folder. `None` when
    /// there is no such file, so that no process holds it.
    fn lock_existing(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
    /// Whether the file at `path` still is the one that was locked. It is not when the folder was removed, or
    /// replaced by another, under the process that holds the lock.
    fn is_locked_file(&self, lock: &Self::Lock, path: &Path) -> io::Result<bool>;
    /// Free space where `dir` is.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Positions are explicit, so a handle can be shared between threads.
pub trait File: Send + Sync + 'static {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file at least `len` bytes long, zero-filled, with the space reserved.
    fn preallocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes the content durable, and also the length if reading the content needs it.
    fn sync(&self) -> io::Result<()>;

    /// Fills `buf` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// Opens a file for reading and reads all of it into `buf` (cleared first).
pub(crate) fn read_into<F: FileSystem>(
    fs: &F,
    path: &Path,
    buf: &mut Vec<u8>,
) -> Result<F::File, Error> {
    let file = fs.open(path).during("open", path)?;
    read_content(&file, path, buf)?;
    Ok(file)
}

/// Reads all of an open file into `buf` (cleared first).
pub(crate) fn read_content(file: &impl File, path: &Path, buf: &mut Vec<u8>) -> Result<(), Error> {
    let len = file.len().during("measure", path)?;
    let len = usize::try_from(len).map_err(|_| {
        Error::io(
            "read",
            path,
            io::Error::other("larger than the address space"),
        )
    })?;
    buf.clear();
    buf.resize(len, 0);
    file.read_exact_at(buf, 0).during("read", path)
}

/// Whether `dir` holds a file called `name`.
pub(crate) fn exists<F: FileSystem>(fs: &F, dir: &Path, name: &str) -> Result<bool, Error> {
    let names = fs.list(dir).during("list", dir)?;
    Ok(names.iter().any(|n| n == name))
}

/// Creates `dir` and what is missing above it, so that a power cut does not take it away again
/// with all that was synced inside.
pub(crate) fn create_dir<F: FileSystem>(fs: &F, dir: &Path) -> Result<(), Error> {
    let is_missing =
        |dir: &Path| matches!(fs.list(dir), Err(error) if error.kind() == ErrorKind::NotFound);
    let above = dir.ancestors().skip(1);
    let missing = above.clone().take_while(|dir| is_missing(dir)).count();
    fs.create_dir_all(dir).during("create", dir)?;
    // Sync even if no folder was missing: a process that was killed may have created the folder without
    // making its name durable.
    for parent in above.take(missing + 1) {
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        match fs.sync_dir(parent) {
            // A process that may not sync a folder has not changed it either: the folder existed already.
            Err(error) if cannot_be_synced(error.kind()) => {}
            done => done.during("sync", parent)?,
        }
    }
    Ok(())
}

fn cannot_be_synced(kind: ErrorKind) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(
        kind,
        InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported
    )
}

/// Where a file is written before it is published under its name.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Publishes `content` under `dir/name`: temporary file, sync, rename, directory sync. A crash
/// leaves the old file or the new one, never a mixture.
pub(crate) fn publish<F: FileSystem>(
    fs: &F,
    dir: &Path,
    name: &str,
    content: &[u8],
) -> Result<(), Error> {
    let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    let file = fs.create(&temporary).during("create", &temporary)?;
    file.write_all_at(content, 0).during("write", &temporary)?;
    publish_written(fs, &file, &temporary, dir, name)
}

/// The second half of [`publish`], for a file that was written piece by piece.
pub(crate) fn publish_written<F: FileSystem>(
    fs: &F,
    file: &F::File,
    temporary: &Path,
    dir: &Path,
    name: &str,
) -> Result<(), Error> {
    // The content before the name: a name that survives a crash must never show other bytes.
    file.sync().during("sync", temporary)?;
    fs.rename(temporary, &dir.join(name))
        .during("rename", temporary)?;
    fs.sync_dir(dir).during("sync", dir)
}
