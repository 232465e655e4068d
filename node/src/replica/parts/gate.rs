//! Whether this node serves requests, and what it refuses: to write, to show its state, or to wait for a cluster that
//! it does not belong to.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::replica::error::{Error, Removal};

/// What this node serves now, and the reason for each refusal.
#[derive(Default)]
pub(crate) struct Gate {
    shutting_down: AtomicBool,
    diverged: AtomicBool,
    leads: AtomicBool,
    lost_leader: AtomicBool,
    is_removed: AtomicBool,
    removed: RwLock<Option<Removal>>,
    silent: AtomicBool,
    no_room: RwLock<NoRoom>,
}

/// Why there is no room for writes, for people.
#[derive(Default)]
struct NoRoom {
    /// On this node's disk.
    here: Option<String>,
    /// On the disks of so many other nodes that no majority would confirm an entry; only a leader knows this.
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

    /// Sets why this node's disk has no room, or that it has room again; `true` when that changed.
    pub(crate) fn set_no_room_here(&self, reason: Option<String>) -> bool {
        replace(&mut self.no_room.write().here, reason)
    }

    /// Sets why too many of the other nodes have no room, or that they have room again; `true` when that changed.
    pub(crate) fn set_no_room_elsewhere(&self, reason: Option<String>) -> bool {
        replace(&mut self.no_room.write().elsewhere, reason)
    }

    /// This node's state is wrong: from now on it serves no requests.
    pub(crate) fn set_diverged(&self) {
        self.diverged.store(true, Ordering::Release);
    }

    pub(crate) fn is_diverged(&self) -> bool {
        self.diverged.load(Ordering::Acquire)
    }

    /// Notes whether Raft has made this node the leader.
    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Release);
    }

    /// Whether this node leads, as far as it knows; a moment later than Raft's own metrics.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire) && !self.has_lost_leader()
    }

    /// Notes whether this node has heard nothing from the leader, or from a majority, for too long.
    pub(crate) fn set_lost_leader(&self, lost: bool) {
        self.lost_leader.store(lost, Ordering::Release);
    }

    pub(crate) fn has_lost_leader(&self) -> bool {
        self.lost_leader.load(Ordering::Acquire)
    }

    /// This leader keeps quiet so that the other nodes elect another one. It sends no heartbeats and confirms no reads,
    /// because each confirmation sends heartbeats.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Release);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    /// Notes whether this node was removed from its cluster. The node has to ask for this: it gets no message about it.
    pub(crate) fn set_removed(&self, removed: Option<Removal>) {
        *self.removed.write() = removed;
        // Every request looks at this flag alone.
        self.is_removed.store(removed.is_some(), Ordering::Release);
    }

    /// By which fact this node knows that it was removed from its cluster, if it was.
    pub(crate) fn removed(&self) -> Option<Removal> {
        *self.removed.read()
    }

    /// Refuses what needs the cluster, on a node that was removed from it.
    pub(crate) fn belong(&self) -> Result<(), Error> {
        if !self.is_removed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.removed()
            .map_or(Ok(()), |removal| Err(Error::Removed(removal)))
    }

    /// Refuses what shows or changes the state, if the state is wrong.
    pub(crate) fn trust(&self) -> Result<(), Error> {
        if self.is_diverged() {
            return Err(Error::Diverged);
        }
        Ok(())
    }

    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Release);
    }

    /// Refuses what waits for this replica, once it ends.
    pub(crate) fn run_on(&self) -> Result<(), Error> {
        if self.is_shutting_down() {
            return Err(Error::ShuttingDown);
        }
        Ok(())
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
