//! What is answered about locks.

use std::sync::Arc;

/// The answer to a command or a query about locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockReply {
    /// The owner holds the lock: it was granted now or before, or was renewed.
    Held {
        /// The lock and its holder.
        lock: LockView,
        /// The offset of the fact that granted or renewed it; `None` when nothing was written.
        wal_offset: Option<u64>,
    },
    /// Another owner holds the lock, and this owner has a place in the queue. Only the node that asks for its client
    /// sees this reply. It asks again until the client has the lock or no longer waits.
    Waits {
        /// The lock and its holder.
        lock: LockView,
        /// The offset of the fact that gave the place. It stays the same when the owner asks again.
        place: u64,
        /// How many owners wait before it.
        ahead: u64,
        /// When the place is lost unless the owner asks again, Unix milliseconds.
        until_ms: u64,
        /// The offset of the fact that was written; `None` when nothing was.
        wal_offset: Option<u64>,
    },
    /// The lock was released.
    Released {
        /// The lock's name.
        name: Arc<str>,
        /// Who held it.
        owner: Arc<str>,
        /// The token that is no longer the lock's.
        token: u64,
        /// Who holds it now: the first owner that waited.
        next: Option<Arc<str>>,
        /// The offset of the fact.
        wal_offset: u64,
    },
    /// What became of a lock whose time is over.
    Expired(LockExpiry),
    /// LOCK_GET: the lock, if one holds it.
    Found {
        /// The lock's name.
        name: Arc<str>,
        /// The lock; `None` when it is free.
        lock: Option<LockView>,
    },
    /// A page of locks that are held, by name.
    Listed {
        /// The page.
        items: Vec<LockView>,
        /// The name after which the next page begins, if there is one.
        next: Option<String>,
    },
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// The lock's name.
    pub name: Arc<str>,
    /// Who holds it.
    pub owner: Arc<str>,
    /// The offset of the fact that granted it: greater than every earlier token of the lock.
    pub token: u64,
    /// Until when, Unix milliseconds, exclusive.
    pub expires_ms: u64,
    /// For how long it was asked for, in milliseconds.
    pub ttl_ms: u64,
    /// How many owners wait for it.
    pub waiting: u64,
}

/// What became of a lock whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockExpiry {
    /// It was ended. `granted`: the first owner that waited holds it now.
    Done {
        /// Whether another owner holds it now.
        granted: bool,
    },
    /// It was renewed or released meanwhile.
    Void,
    /// Its time is not over yet.
    Waits,
}
