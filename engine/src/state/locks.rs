//! The locks that are held: by name, and in the order in which they expire.
//!
//! A free lock is not here. An owner that waits has a place: the offset of the fact that gave it. Lower places get the
//! lock first. A place runs out at its time, unless the owner asks again. It stays in the queue for a while, so that an
//! owner that asks late still finds it: until another owner gets the lock, or a later fact of the lock removes it.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use xxhash_rust::xxh3::xxh3_128;

use super::invariants::{BrokenInvariant, ensure};
use crate::fact::{LockChanged, LockWaiter};

/// All locks that are held.
#[derive(Clone, Default)]
pub(crate) struct LockTable {
    by_name: OrdMap<Arc<str>, Arc<HeldLock>>,
    expiries: OrdSet<(u64, Arc<str>)>,
    waiting: usize,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldLock {
    pub(crate) name: Arc<str>,
    /// The offset of its last fact.
    pub(crate) last_offset: u64,
    pub(crate) owner: Arc<str>,
    pub(crate) token: u64,
    /// Exclusive.
    pub(crate) expires_ms: u64,
    pub(crate) ttl_ms: u64,
    pub(crate) waiters: WaitQueue,
}

/// An owner that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedOwner {
    pub(crate) owner: Arc<str>,
    pub(crate) ttl_ms: u64,
    /// Exclusive.
    pub(crate) until_ms: u64,
}

/// The owners that wait for a lock. Adding or removing one costs the same for few and for many owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaitQueue {
    by_place: OrdMap<u64, Arc<QueuedOwner>>,
    places: OrdMap<Arc<str>, u64>,
    /// The sum of the digests of all of them.
    digest: u128,
}

impl WaitQueue {
    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }

    /// By place.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &QueuedOwner)> {
        let waiters = self.by_place.iter();
        waiters.map(|(place, waiter)| (*place, &**waiter))
    }

    pub(crate) fn get(&self, place: u64) -> Option<&QueuedOwner> {
        self.by_place.get(&place).map(|waiter| &**waiter)
    }

    pub(crate) fn place_of(&self, owner: &str) -> Option<u64> {
        self.places.get(owner).copied()
    }

    fn last_place(&self) -> u64 {
        self.by_place.get_max().map_or(0, |(place, _)| *place)
    }

    /// Puts an owner at a place, in place of what is there.
    pub(super) fn insert(&mut self, place: u64, waiter: QueuedOwner) {
        self.remove(place);
        self.digest = self.digest.wrapping_add(waiter.digest(place));
        self.places.insert(waiter.owner.clone(), place);
        self.by_place.insert(place, Arc::new(waiter));
    }

    /// Whether an owner was there.
    fn remove(&mut self, place: u64) -> bool {
        let Some(waiter) = self.by_place.remove(&place) else {
            return false;
        };
        self.digest = self.digest.wrapping_sub(waiter.digest(place));
        self.places.remove(&waiter.owner);
        true
    }

    /// Checks that each owner leads to its place, and the digest.
    fn check(&self) -> bool {
        let sum = self.iter().fold(0_u128, |sum, (place, waiter)| {
            sum.wrapping_add(waiter.digest(place))
        });
        let mut waiters = self.iter();
        self.places.len() == self.len()
            && sum == self.digest
            && waiters.all(|(place, waiter)| self.place_of(&waiter.owner) == Some(place))
    }
}

impl QueuedOwner {
    fn digest(&self, place: u64) -> u128 {
        let mut text = vec![b'w'];
        for number in [place, self.ttl_ms, self.until_ms] {
            text.extend_from_slice(&number.to_le_bytes());
        }
        text.extend_from_slice(self.owner.as_bytes());
        xxh3_128(&text)
    }
}

impl HeldLock {
    /// Whether this token holds the lock at this time.
    pub(crate) fn is_held_with(&self, token: u64, now_ms: u64) -> bool {
        self.token == token && !self.has_expired(now_ms)
    }

    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }

    /// How many owners wait at this time.
    pub(crate) fn waiting(&self, now_ms: u64) -> u64 {
        let waiters = self.waiters.iter();
        waiters
            .filter(|(_, waiter)| now_ms < waiter.until_ms)
            .count() as u64
    }

    /// The lock after a fact; `None` if it is free then.
    ///
    /// # Errors
    /// What in the fact does not fit the lock.
    pub(crate) fn after(
        before: Option<&Self>,
        fact: &LockChanged,
        offset: u64,
        time_ms: u64,
    ) -> Result<Option<Self>, &'static str> {
        let mut waiters = before.map_or_else(WaitQueue::default, |lock| lock.waiters.clone());
        for place in &fact.gone {
            if !waiters.remove(*place) {
                return Err("an owner waits no longer that has not waited");
            }
        }
        let kept = Self::kept(before, fact, time_ms)?;
        let Some(holder) = &fact.holder else {
            let is_free = kept.is_none() && waiters.len() == 0 && fact.waiter.is_none();
            return match is_free {
                true => Ok(None),
                false => Err("a lock becomes free that is held, or that owners wait for"),
            };
        };
        let fits = kept.is_none_or(|lock| {
            lock.token == holder.token
                && *lock.owner == *holder.owner
                && lock.expires_ms <= holder.expires_ms
        });
        if !fits || kept.is_none() != (holder.token == 0) {
            return Err(
                "a lock is held by one owner and goes to another, or its expiry moves back",
            );
        }
        let mut lock = Self {
            name: before.map_or_else(|| fact.name.as_str().into(), |lock| lock.name.clone()),
            last_offset: offset,
            owner: kept.map_or_else(|| holder.owner.as_str().into(), |lock| lock.owner.clone()),
            token: kept.map_or(offset, |lock| lock.token),
            expires_ms: holder.expires_ms,
            ttl_ms: holder.ttl_ms,
            waiters,
        };
        if let Some(asked) = &fact.waiter {
            lock.queue(asked)?;
        }
        if kept.is_none() && lock.waits(&lock.owner) {
            return Err("an owner holds a lock and waits for it");
        }
        Ok(Some(lock))
    }

    /// The lock, if its holding goes on.
    fn kept<'l>(
        before: Option<&'l Self>,
        fact: &LockChanged,
        time_ms: u64,
    ) -> Result<Option<&'l Self>, &'static str> {
        let Some(ended) = &fact.ended else {
            return Ok(before);
        };
        match before {
            Some(lock) if lock.token == ended.token => match ended.expired {
                true if !lock.has_expired(time_ms) => Err("a lock expires before its time"),
                _ => Ok(None),
            },
            _ => Err("a lock ends that was not held with this token"),
        }
    }

    /// Whether an owner has a place.
    pub(crate) fn waits(&self, owner: &str) -> bool {
        self.waiters.place_of(owner).is_some()
    }

    /// Gives an owner a place, or prolongs the one that it has.
    fn queue(&mut self, asked: &LockWaiter) -> Result<(), &'static str> {
        let waiter = QueuedOwner {
            owner: Arc::from(asked.owner.as_str()),
            ttl_ms: asked.ttl_ms,
            until_ms: asked.until_ms,
        };
        let fits = match asked.place {
            0 => waiter.owner != self.owner && !self.waits(&waiter.owner),
            place => {
                let there = self.waiters.get(place);
                there.is_some_and(|there| there.owner == waiter.owner)
            }
        };
        if !fits {
            return Err(
                "an owner gets a second place, or asks again at a place that is not its own",
            );
        }
        let place = match asked.place {
            0 => self.last_offset,
            place => place,
        };
        self.waiters.insert(place, waiter);
        Ok(())
    }

    pub(in crate::state) fn digest(&self) -> u128 {
        let mut text = vec![b'L'];
        for number in [self.last_offset, self.token, self.expires_ms, self.ttl_ms] {
            text.extend_from_slice(&number.to_le_bytes());
        }
        text.extend_from_slice(&(self.name.len() as u64).to_le_bytes());
        text.extend_from_slice(self.name.as_bytes());
        text.extend_from_slice(self.owner.as_bytes());
        text.extend_from_slice(&self.waiters.digest.to_le_bytes());
        xxh3_128(&text)
    }
}

impl LockTable {
    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many owners wait, also those that have lost their place and may yet find it.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<HeldLock>> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<HeldLock>> {
        self.by_name.values()
    }

    /// By name, from the first that is not below `name`.
    pub(crate) fn since<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<HeldLock>> + use<'a> {
        let from: Arc<str> = Arc::from(name);
        self.by_name.range(from..).map(|(_, lock)| lock)
    }

    /// In the order in which they expire.
    pub(crate) fn by_expiry(&self) -> impl Iterator<Item = &Arc<HeldLock>> {
        let expiries = self.expiries.iter();
        expiries.filter_map(|(_, name)| self.by_name.get(name))
    }

    /// When the first of them expires.
    pub(crate) fn first_expiry_ms(&self) -> Option<u64> {
        self.expiries.get_min().map(|(expires_ms, _)| *expires_ms)
    }

    /// Puts a lock in place of the earlier one; gives the digests of what went and what came.
    pub(super) fn put(
        &mut self,
        name: &str,
        lock: Option<HeldLock>,
    ) -> (Option<u128>, Option<u128>) {
        let gone = self.by_name.remove(name).map(|gone| {
            self.expiries.remove(&(gone.expires_ms, gone.name.clone()));
            self.waiting -= gone.waiters.len();
            gone.digest()
        });
        let come = lock.map(|lock| {
            let digest = lock.digest();
            self.expiries.insert((lock.expires_ms, lock.name.clone()));
            self.waiting += lock.waiters.len();
            self.by_name.insert(lock.name.clone(), Arc::new(lock));
            digest
        });
        (gone, come)
    }

    /// Checks that the order of expiry holds exactly the locks, that nothing is newer than what was applied, and that no
    /// owner has two places.
    pub(super) fn check(&self, last_applied: u64) -> Result<(), BrokenInvariant> {
        let mut waiting = 0;
        for (name, lock) in &self.by_name {
            let place = (lock.expires_ms, name.clone());
            ensure(*name == lock.name && self.expiries.contains(&place), || {
                format!("lock {name:?} says {:?}, or does not expire", lock.name)
            })?;
            let newest = lock.token.max(lock.waiters.last_place());
            ensure(
                newest <= lock.last_offset && lock.last_offset <= last_applied,
                || {
                    format!(
                        "lock {name:?} was changed at {newest} and last at {}, {last_applied} was applied last",
                        lock.last_offset
                    )
                },
            )?;
            ensure(lock.waiters.check() && !lock.waits(&lock.owner), || {
                format!("an owner has two places at lock {name:?}")
            })?;
            waiting += lock.waiters.len();
        }
        let (kept, found) = (
            (self.expiries.len(), self.waiting),
            (self.by_name.len(), waiting),
        );
        ensure(kept == found, || {
            format!("locks and waiters count {kept:?} and are {found:?}")
        })
    }
}
