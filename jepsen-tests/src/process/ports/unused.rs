//! A port that nothing else uses, not even while its node is down. The tests of other crates include this file.
//!
//! A node that is killed and started again must find its port free. Ports of the range for outgoing connections do not
//! work: while the node is down, a client that connects to anything could get the same port, and on loopback even
//! connect to itself. So these come from below that range. Test processes run at the same time, so each port has a file
//! that the process that uses it keeps locked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// First to last, inclusive; Linux takes ports for outgoing connections from 32768 on.
pub const RANGE: std::ops::RangeInclusive<u16> = 20_000..=31_999;

/// The ports of this process, with their locked files.
static TAKEN: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// A port that is free now and that is given out once. `None`: there is none.
///
/// # Errors
/// The files that are locked cannot be made.
pub fn unused() -> io::Result<Option<u16>> {
    let folder = std::env::temp_dir().join("rstmdb-test-ports");
    fs::create_dir_all(&folder)?;
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = u32::from(RANGE.end() - RANGE.start()) + 1;
    // Processes begin at different places, so that they rarely meet a lock.
    let first = std::process::id().wrapping_mul(97) % count;
    for step in 0..count {
        let offset = u16::try_from((first + step) % count).unwrap_or_default();
        let port = RANGE.start() + offset;
        if taken.contains_key(&port) {
            continue;
        }
        let file = File::create(folder.join(port.to_string()))?;
        let is_free = || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if file.try_lock().is_ok() && is_free() {
            taken.insert(port, file);
            return Ok(Some(port));
        }
    }
    Ok(None)
}
