//! What a client asks of locks.

use std::fmt;

/// A request that may change a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockCommand {
    /// LOCK_ACQUIRE.
    Acquire(AcquireLock),
    /// LOCK_RENEW.
    Renew(RenewLock),
    /// LOCK_RELEASE.
    Release(ReleaseLock),
    /// End a lock that has expired. Only the leader submits it, to itself.
    Expire(ExpireLock),
}

/// Acquire a lock, or get a place in its queue.
///
/// Asking again does no harm. An owner that holds the lock gets the same token, and the expiry moves forward, never
/// back. An owner that waits keeps its place. So an owner must be the name of one process: two processes that share a
/// name share the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcquireLock {
    /// The lock's name, 1 to 1,024 bytes.
    pub name: String,
    /// Who asks, 1 to 1,024 bytes.
    pub owner: String,
    /// How long the owner holds the lock unless it renews, 1,000 to 86,400,000 milliseconds.
    pub ttl_ms: u64,
    /// For how long the owner waits in the queue if another one holds the lock. The engine keeps a place for
    /// [`LOCK_PLACE_MS_MAX`](crate::limits::LOCK_PLACE_MS_MAX) at most, so that a client that has gone away loses its
    /// place; its node asks again in time. `None` or 0: it does not wait.
    pub wait_ms: Option<u64>,
}

/// Extend the time of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewLock {
    /// The lock's name.
    pub name: String,
    /// The token that the lock was granted with.
    pub token: u64,
    /// How long from now; when absent, the time that the owner asked for last. The expiry never moves back.
    pub ttl_ms: Option<u64>,
}

/// Give a lock back. The same fact gives it to the first owner that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseLock {
    /// The lock's name.
    pub name: String,
    /// The token that the lock was granted with.
    pub token: u64,
}

/// End a lock that has expired. The same fact gives it to the first owner that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExpireLock {
    /// The lock's name.
    pub name: String,
    /// The token that the lock was granted with.
    pub token: u64,
    /// When it expires, Unix milliseconds. If it was renewed meanwhile, nothing happens.
    pub expires_ms: u64,
}

/// A page of locks, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListLocks {
    /// Only names that begin like this.
    pub prefix: Option<String>,
    /// At most this many: 100 when absent, never more than 1000.
    pub limit: Option<u64>,
    /// Only names after this one.
    pub after: Option<String>,
    /// The log's time: locks that have expired by then are not shown. [`Query::ask_as`](super::Query::ask_as) sets it.
    pub now_ms: u64,
}

impl LockCommand {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Acquire(acquire) => &acquire.name,
            Self::Renew(renew) => &renew.name,
            Self::Release(release) => &release.name,
            Self::Expire(expire) => &expire.name,
        }
    }
}

impl fmt::Display for LockCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire(it) => write!(f, "acquire lock {} for {}", it.name, it.owner),
            Self::Renew(it) => write!(f, "renew lock {} with token {}", it.name, it.token),
            Self::Release(it) => write!(f, "release lock {} with token {}", it.name, it.token),
            Self::Expire(it) => write!(f, "expire lock {} of token {}", it.name, it.token),
        }
    }
}
