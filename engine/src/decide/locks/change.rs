//! A change of a lock in the making.

use std::sync::Arc;

use crate::api::command::AcquireLock;
use crate::api::reply::LockView;
use crate::fact::{LockChanged, LockEnded, LockHolder, LockWaiter};
use crate::limits::{LOCK_CLAIM_MS_MAX, LOCK_PLACE_LATE_MS_MAX};
use crate::state::locks::{HeldLock, QueuedOwner};

pub(super) struct LockChange<'l> {
    lock: Option<&'l HeldLock>,
    name: &'l str,
    now_ms: u64,
    ended: Option<LockEnded>,
    /// Who holds the lock after the change; token 0 if it is granted now.
    pub(super) holder: Option<LockHolder>,
    /// The owners that are in the queue after the change, by place, also those whose place has run out.
    queue: Vec<(u64, &'l QueuedOwner)>,
    gone: Vec<u64>,
    waiter: Option<LockWaiter>,
}

impl<'l> LockChange<'l> {
    /// No change yet.
    pub(super) fn begin(lock: Option<&'l HeldLock>, name: &'l str, now_ms: u64) -> Self {
        let queue = lock.iter().flat_map(|lock| lock.waiters.iter());
        Self {
            lock,
            name,
            now_ms,
            ended: None,
            holder: lock.map(|lock| LockHolder {
                owner: lock.owner.to_string(),
                token: lock.token,
                expires_ms: lock.expires_ms,
                ttl_ms: lock.ttl_ms,
            }),
            queue: queue.collect(),
            gone: Vec::new(),
            waiter: None,
        }
    }

    /// Ends the holding, and gives the lock to the first owner that waits. The owner `asks` is asking now, so it still
    /// waits even if its place has run out.
    pub(super) fn end(&mut self, expired: bool, asks: Option<&str>) {
        let Some(held) = self.holder.take() else {
            return;
        };
        self.ended = Some(LockEnded {
            owner: held.owner,
            token: held.token,
            expired,
        });
        let now_ms = self.now_ms;
        let waits = |waiter: &QueuedOwner| now_ms < waiter.until_ms || asks == Some(&*waiter.owner);
        let first = self.queue.iter().position(|(_, waiter)| waits(waiter));
        // If no owner waits any more, the lock is free, and all places are given up.
        let passed = first.map_or(self.queue.len(), |first| first + 1);
        let mut passed: Vec<(u64, &QueuedOwner)> = self.queue.drain(..passed).collect();
        self.gone.extend(passed.iter().map(|(place, _)| *place));
        if let Some((_, waiter)) = passed.pop().filter(|_| first.is_some()) {
            self.holder = Some(LockHolder {
                owner: waiter.owner.to_string(),
                token: 0,
                expires_ms: now_ms.saturating_add(waiter.ttl_ms.min(LOCK_CLAIM_MS_MAX)),
                ttl_ms: waiter.ttl_ms,
            });
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The place of an owner.
    pub(super) fn place_of(&self, owner: &str) -> Option<(u64, &'l QueuedOwner)> {
        let mut queue = self.queue.iter();
        queue.find(|(_, waiter)| *waiter.owner == *owner).copied()
    }

    /// Those go that have lost their place at least `late_ms` ago. A lock that never changes hands must not keep the
    /// places of all that have ever waited for it.
    pub(super) fn let_go(&mut self, late_ms: u64) {
        let from_ms = self.now_ms.saturating_sub(late_ms);
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(_, waiter)| from_ms < waiter.until_ms);
        self.queue = stay;
        self.gone.extend(go.iter().map(|(place, _)| *place));
    }

    /// Takes an owner's place away if it is lost by `ends_ms`; whether it was taken.
    pub(super) fn give_up(&mut self, owner: &str, ends_ms: u64) -> bool {
        let ends = |waiter: &QueuedOwner| *waiter.owner == *owner && waiter.until_ms <= ends_ms;
        let Some(at) = self.queue.iter().position(|(_, waiter)| ends(waiter)) else {
            return false;
        };
        let (place, _) = self.queue.remove(at);
        self.gone.push(place);
        true
    }

    /// How many owners are in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many wait no longer.
    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Whether the holding becomes longer. It goes on, so the places go that were lost long ago.
    pub(super) fn extend(&mut self, until_ms: u64, ttl_ms: u64) -> bool {
        let goes_on = !self.has_ended();
        let Some(holder) = &mut self.holder else {
            return false;
        };
        if until_ms <= holder.expires_ms {
            return false;
        }
        (holder.expires_ms, holder.ttl_ms) = (until_ms, ttl_ms);
        if goes_on {
            self.let_go(LOCK_PLACE_LATE_MS_MAX);
        }
        true
    }

    /// How many owners wait before a place; 0 stands for the place that is given now.
    pub(super) fn ahead(&self, place: u64) -> u64 {
        let before = self.queue.iter().filter(|(other, waiter)| {
            (place == 0 || *other < place) && self.now_ms < waiter.until_ms
        });
        before.count() as u64
    }

    /// Gives the owner a place, or prolongs the one that it has.
    pub(super) fn wait(&mut self, acquire: &AcquireLock, place: u64, until_ms: u64) {
        self.waiter = Some(LockWaiter {
            owner: acquire.owner.clone(),
            place,
            ttl_ms: acquire.ttl_ms,
            until_ms,
        });
    }

    /// The lock after the change.
    pub(super) fn shown(&self, now_ms: u64) -> LockView {
        let asks = self.waiter.as_ref();
        let others = self.queue.iter().filter(|(place, waiter)| {
            now_ms < waiter.until_ms && asks.is_none_or(|asks| asks.place != *place)
        });
        let waiting = others.count() as u64 + u64::from(asks.is_some());
        let holder = self.holder.clone().unwrap_or_default();
        LockView {
            name: Arc::from(self.name),
            owner: Arc::from(holder.owner),
            token: holder.token,
            expires_ms: holder.expires_ms,
            ttl_ms: holder.ttl_ms,
            waiting,
        }
    }

    pub(super) fn fact(mut self) -> LockChanged {
        self.gone.sort_unstable();
        LockChanged {
            name: self.name.to_owned(),
            prev_offset: self.lock.map_or(0, |lock| lock.last_offset),
            ended: self.ended,
            holder: self.holder,
            waiter: self.waiter,
            gone: self.gone,
        }
    }
}
