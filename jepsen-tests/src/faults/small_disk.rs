//! A small disk that can be filled, under the data folder of a node.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

const MIB: u64 = 1 << 20;
/// The file that takes the room.
const BALLAST: &str = "ballast";

/// A tmpfs, mounted until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

/// The reason why this machine cannot have such a disk, if it cannot.
pub fn unavailable() -> Option<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then_some("mounting a tmpfs needs root")
}

impl SmallDisk {
    /// Mounts an empty disk of this size.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(dir: &Path, mib: u64) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::io("a mount point"))?;
        let size = format!("size={mib}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir);
        let done = command.output().map_err(Error::io("mount"))?;
        if !done.status.success() {
            let reason = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(Error::Protocol(format!(
                "mount {}: {reason}",
                dir.display()
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Takes room until only this much is left.
    ///
    /// # Errors
    /// When it cannot.
    pub fn fill(&self, leave_mib: u64) -> Result<(), Error> {
        let mut ballast = File::create(self.dir.join(BALLAST)).map_err(Error::io(BALLAST))?;
        let megabyte = vec![1; 1 << 20];
        while self.free()? > leave_mib * MIB {
            ballast.write_all(&megabyte).map_err(Error::io(BALLAST))?;
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it cannot.
    pub fn empty(&self) -> Result<(), Error> {
        std::fs::remove_file(self.dir.join(BALLAST)).map_err(Error::io(BALLAST))
    }

    fn free(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.dir);
        let stat = stat.map_err(|error| Error::io("statvfs")(error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Unmount lazily: a node that is still running must not block it.
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
