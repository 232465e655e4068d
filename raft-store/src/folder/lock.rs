//! The lock that keeps a second process out of a data folder.

use crate::error::{Error, IoContext};
use crate::folder::layout::Layout;
use crate::fs::FileSystem;

/// Takes the lock of the folder, which no other process and no other store may hold.
pub(crate) fn take_lock<F: FileSystem>(fs: &F, layout: &Layout) -> Result<F::Lock, Error> {
    match fs.lock(&layout.lock) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(Error::Locked {
            path: layout.lock.clone(),
        }),
        other => other.during("lock", &layout.lock),
    }
}
