//! The locks that are held: for LOCK_GET and LOCK_LIST, and for the leader that ends those whose time is over.

use super::StepBudget;
use crate::api::check_text;
use crate::api::command::{ExpireLock, ListLocks};
use crate::api::reply::{LockReply, LockView, Reply};
use crate::limits::{LIST_ITEMS_DEFAULT, LOCK_NAME_BYTES_MAX, LOCKS_LISTED_MAX};
use crate::state::locks::HeldLock;
use crate::view::View;
use crate::{Refusal, State};

/// How many locks LOCK_LIST looks at for one page. Behind them it goes on with the next page.
const LOOKED_AT_MAX: usize = 10_000;

impl State {
    /// How many locks are held.
    pub fn locks_held(&self) -> u64 {
        self.locks.len() as u64
    }

    /// How many owners wait for locks, also those that have lost their place and may yet find it.
    pub fn locks_waiting(&self) -> u64 {
        self.locks.waiting() as u64
    }

    /// When the first lock expires, Unix milliseconds.
    pub fn next_lock_expiry_ms(&self) -> Option<u64> {
        self.locks.first_expiry_ms()
    }

    /// The first locks whose time is over at this time: `most` at most, without those that are to be left out.
    pub fn expired_locks(
        &self,
        now_ms: u64,
        most: usize,
        leave_out: impl Fn(&ExpireLock) -> bool,
    ) -> Vec<ExpireLock> {
        let expired = self.locks.by_expiry();
        let expired = expired.take_while(|lock| lock.has_expired(now_ms));
        let expired = expired.map(|lock| ExpireLock {
            name: lock.name.to_string(),
            token: lock.token,
            expires_ms: lock.expires_ms,
        });
        expired.filter(|lock| !leave_out(lock)).take(most).collect()
    }

    /// Who holds a lock and with which token, and until when this owner waits for it: for a node whose client waits.
    pub fn lock_turn(&self, name: &str, owner: &str) -> LockTurn {
        let Some(lock) = self.locks.get(name) else {
            return LockTurn::Free;
        };
        if *lock.owner == *owner {
            return LockTurn::Held;
        }
        match lock.waits(owner) {
            true => LockTurn::Waits,
            false => LockTurn::Neither,
        }
    }
}

/// What an owner has of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockTurn {
    /// The lock is free.
    Free,
    /// The owner holds it.
    Held,
    /// The owner waits for it.
    Waits,
    /// Another one holds it, and the owner does not wait.
    Neither,
}

pub(super) fn get(view: View<'_>, name: &str, now_ms: u64) -> Result<Reply, Refusal> {
    check_text("name", name, LOCK_NAME_BYTES_MAX)?;
    let now_ms = now_ms.max(view.state.last_time_ms());
    let lock = view.lock(name).filter(|lock| !lock.has_expired(now_ms));
    Ok(Reply::Lock(LockReply::Found {
        name: name.into(),
        lock: lock.map(|lock| shown(&lock, now_ms)),
    }))
}

/// A page of locks of the applied state. `None` when it takes too many steps.
pub(super) fn list(
    view: View<'_>,
    list: &ListLocks,
    steps: &mut StepBudget,
) -> Result<Option<Reply>, Refusal> {
    let limit = list.limit.unwrap_or(LIST_ITEMS_DEFAULT);
    let limit = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .clamp(1, LOCKS_LISTED_MAX);
    let now_ms = list.now_ms.max(view.state.last_time_ms());
    let prefix = list.prefix.as_deref().unwrap_or_default();
    let after = list.after.as_deref();
    let from = after.map_or(prefix, |after| after.max(prefix));
    let locks = view.state.locks.since(from);
    let locks = locks
        .take_while(|lock| lock.name.starts_with(prefix))
        .filter(|lock| after.is_none_or(|after| *lock.name != *after));
    let (mut items, mut next, mut last) = (Vec::new(), None, None);
    for (looked_at, lock) in locks.enumerate() {
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            next = last;
            break;
        }
        if steps.take(1).is_none() {
            return Ok(None);
        }
        last = Some(lock.name.to_string());
        if !lock.has_expired(now_ms) {
            items.push(shown(lock, now_ms));
        }
    }
    Ok(Some(Reply::Lock(LockReply::Listed { items, next })))
}

fn shown(lock: &HeldLock, now_ms: u64) -> LockView {
    LockView {
        name: lock.name.clone(),
        owner: lock.owner.clone(),
        token: lock.token,
        expires_ms: lock.expires_ms,
        ttl_ms: lock.ttl_ms,
        waiting: lock.waiting(now_ms),
    }
}
