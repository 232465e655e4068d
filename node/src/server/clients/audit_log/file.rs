//! A file that is put aside when it is full.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// For the owner alone.
const MODE: u32 = 0o600;

/// The file of this name, and those before it: `NAME.1` is the newest of them.
pub(super) struct RotatedFile {
    path: PathBuf,
    bytes_max: u64,
    keep: usize,
    /// None after a failure: the next line opens it again.
    open: Option<OpenedFile>,
}

struct OpenedFile {
    file: File,
    bytes: u64,
}

impl RotatedFile {
    pub(super) fn open(path: &Path, bytes_max: u64, keep: usize) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            bytes_max,
            keep,
            open: Some(opened(path)?),
        })
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => opened(&self.path)?,
        };
        let bytes = lines.len() as u64;
        if open.bytes > 0 && open.bytes + bytes > self.bytes_max {
            drop(open);
            self.put_aside()?;
            open = opened(&self.path)?;
        }
        open.file.write_all(lines)?;
        open.bytes += bytes;
        self.open = Some(open);
        Ok(())
    }

    fn put_aside(&self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let (from, to) = (self.earlier(number), self.earlier(number + 1));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        std::fs::rename(&self.path, self.earlier(1))
    }

    fn earlier(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn opened(path: &Path) -> io::Result<OpenedFile> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(MODE).open(path)?;
    // It may have been there with other permissions.
    let found = file.metadata()?;
    if found.is_file() && found.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    let bytes = found.len();
    Ok(OpenedFile { file, bytes })
}
