//! A separate file system for a node's data. Its power can be cut, as far as the kernel is concerned:
//! unsynced data is lost, and the next mount replays the journal.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::Error;
use crate::harness::wait::within;
use crate::process::node::Node;
use crate::process::program;

/// The size of the sparse image: more than the log of a run with large contexts takes.
const IMAGE_BYTES: u64 = 500 << 20;
/// Fewer inodes than by default: the kernel writes their tables in the background.
const INODES: &str = "32768";
/// How long a file system may be busy after its last user was killed.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(10);
/// `EXT4_IOC_SHUTDOWN` without flushing the journal: as near to a power cut as a running machine
/// comes. In Perl, because the ioctl has no safe wrapper.
const SHUTDOWN: &str = r#"
    open(my $folder, "<", $ARGV[0]) or die "open: $!";
    my $without_flush = pack("L", 2);
    ioctl($folder, 0x8004587D, $without_flush) or die "ioctl: $!";
"#;

/// An ext4 file system in a file. Dropping it unmounts and removes it; drop the node first.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// When this machine or user lacks something that it needs: root, mkfs.ext4, loop devices, Perl.
    pub fn mount_new() -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let disk = Self { folder };
        let image = std::fs::File::create(disk.image()).map_err(Error::io("an image"))?;
        image
            .set_len(IMAGE_BYTES)
            .map_err(Error::io("the length of an image"))?;
        std::fs::create_dir(disk.path()).map_err(Error::io("a mount point"))?;
        run(Command::new("perl").args(["-e", "1"]))?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-N", INODES])
            .arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Lets a node that was not started yet keep its data here.
    ///
    /// # Errors
    /// When it has data already.
    pub fn hold_data_of(&self, node: &Node) -> Result<(), Error> {
        std::os::unix::fs::symlink(self.path(), node.data_dir())
            .map_err(Error::io("a link to the file system"))
    }

    /// Fills the file system until only this much room is left, in MiB.
    ///
    /// # Errors
    /// When it cannot.
    pub fn fill(&self, leave_mib: u64) -> Result<(), Error> {
        let stat = rustix::fs::statvfs(self.path());
        let stat = stat.map_err(|error| Error::io("statvfs")(error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let take = free.saturating_sub(leave_mib << 20);
        if take == 0 {
            return Ok(());
        }
        let ballast = std::fs::File::create(self.ballast()).map_err(Error::io("ballast"))?;
        let mode = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&ballast, mode, 0, take)
            .map_err(|error| Error::io("ballast")(error.into()))
    }

    /// Gives back what [`Self::fill`] took.
    ///
    /// # Errors
    /// When it cannot.
    pub fn give_back(&self) -> Result<(), Error> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("ballast")(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }

    /// Cuts the power: from here on every operation of its users fails.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut_power(&self) -> Result<(), Error> {
        run(Command::new("perl").args(["-e", SHUTDOWN]).arg(self.path()))
    }

    /// Mounts it again after a power cut, when its users are gone.
    ///
    /// # Errors
    /// When it is in use, or cannot be mounted.
    pub fn remount(&self) -> Result<(), Error> {
        within(UNMOUNT_TIMEOUT, || {
            run(Command::new("umount").arg(self.path())).map_err(|error| error.to_string())
        })?;
        self.mount()?;
        // The removal may not have been durable yet.
        self.give_back()
    }

    fn mount(&self) -> Result<(), Error> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(self.path()))
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("mounted")
    }

    fn image(&self) -> std::path::PathBuf {
        self.folder.path().join("image")
    }

    fn is_mounted(&self) -> bool {
        let device = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some(std::os::unix::fs::MetadataExt::dev(&metadata))
        };
        device(&self.path()) != device(self.folder.path())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Unmount lazily if necessary: the file system then goes when its last user ends.
        if self.is_mounted() && run(Command::new("umount").arg(self.path())).is_err() {
            let forced = run(Command::new("umount").arg("-l").arg(self.path()));
            if let Err(error) = forced {
                eprintln!("cannot remove a file system: {error}");
            }
        }
    }
}

fn run(command: &mut Command) -> Result<(), Error> {
    // mkfs.ext4 is in a folder that not every user's PATH has.
    let path = std::env::var("PATH").unwrap_or_default();
    let ended = program::run(command.env("PATH", format!("{path}:/usr/sbin:/sbin")))?;
    if ended.status.success() {
        return Ok(());
    }
    let (status, said) = (ended.status, ended.everything());
    Err(Error::Command(format!("{command:?}: {status}: {said}")))
}
