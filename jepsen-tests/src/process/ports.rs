//! Ports for nodes.
//!
//! A node that is killed and started again must find its port free. Ports of the range for outgoing
//! connections do not work: a client that reconnects while the node is down could get the same port, and on
//! loopback even connect to itself. So these come from below that range.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// First to last, inclusive; Linux takes ports for outgoing connections from 32768 on.
const RANGE: std::ops::RangeInclusive<u16> = 20_000..=31_999;

static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that is free now and that this function gives out once in this process.
///
/// # Errors
/// When every port of the range is in use.
pub fn free() -> Result<u16, Error> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = taken.get_or_insert_default();
    let count = u32::from(RANGE.end() - RANGE.start()) + 1;
    // Two test processes at the same time begin at different places.
    let first = std::process::id().wrapping_mul(97) % count;
    for step in 0..count {
        let offset = u16::try_from((first + step) % count).unwrap_or_default();
        let port = RANGE.start() + offset;
        let is_free = || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !taken.contains(&port) && is_free() {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(Error::Binaries(format!("no free port in {RANGE:?}")))
}
