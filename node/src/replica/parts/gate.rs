//! Whether this node serves, and what it refuses: to write, to show its state, to wait for a cluster
//! that it is not part of.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::replica::error::Error;

/// See the module documentation.
#[derive(Default)]
pub(crate) struct Gate {
    shutting_down: AtomicBool,
    diverged: AtomicBool,
    lost_leader: AtomicBool,
    removed: AtomicBool,
    silent: AtomicBool,
    no_room: RwLock<NoRoom>,
}

/// Why there is no room to write, for people.
#[derive(Default)]
struct NoRoom {
    /// On this node's disk.
    here: Option<String>,
    /// On the disks of so many others that nothing would be confirmed; only a leader knows.
    elsewhere: Option<String>,
}

impl Gate {
    /// The error a write gets now, if this node refuses to write.
    pub(crate) fn read_only(&self) -> Option<Error> {
        let no_room = self.no_room.read();
        let reason = no_room
            .here
            .as_ref()
            .or(no_room.elsewhere.as_ref())?
            .clone();
        Some(Error::ReadOnly { reason })
    }

    /// Why this node's own disk has no room, if it has none.
    pub(crate) fn no_room_here(&self) -> Option<String> {
        self.no_room.read().here.clone()
    }

    /// This node's disk has no room, or has again; `true` when that changed.
    pub(crate) fn set_no_room_here(&self, reason: Option<String>) -> bool {
        replace(&mut self.no_room.write().here, reason)
    }

    /// So many of the others have no room, or have again; `true` when that changed.
    pub(crate) fn set_no_room_elsewhere(&self, reason: Option<String>) -> bool {
        replace(&mut self.no_room.write().elsewhere, reason)
    }

    /// This node's state is wrong: it serves nobody any more.
    pub(crate) fn set_diverged(&self) {
        self.diverged.store(true, Ordering::Release);
    }

    pub(crate) fn is_diverged(&self) -> bool {
        self.diverged.load(Ordering::Acquire)
    }

    /// Whether nothing was heard of the leader, or of a majority, for too long.
    pub(crate) fn set_lost_leader(&self, lost: bool) {
        self.lost_leader.store(lost, Ordering::Release);
    }

    pub(crate) fn has_lost_leader(&self) -> bool {
        self.lost_leader.load(Ordering::Acquire)
    }

    /// This leader keeps quiet so that the others elect another one: it sends no heartbeats, and confirms no
    /// reads, because each of those sends some.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Release);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    /// Whether this node was taken out of its cluster, which it is told by nobody.
    pub(crate) fn set_removed(&self, removed: bool) {
        self.removed.store(removed, Ordering::Release);
    }

    /// Refuses what needs the cluster, on a node that was taken out of it.
    pub(crate) fn belong(&self) -> Result<(), Error> {
        if self.removed.load(Ordering::Acquire) {
            return Err(Error::NoLeader);
        }
        Ok(())
    }

    /// Refuses whatever shows or changes a state that is wrong.
    pub(crate) fn trust(&self) -> Result<(), Error> {
        if self.is_diverged() {
            return Err(Error::Diverged);
        }
        Ok(())
    }

    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Release);
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }
}

fn replace(current: &mut Option<String>, reason: Option<String>) -> bool {
    let changed = current.is_some() != reason.is_some();
    *current = reason;
    changed
}
