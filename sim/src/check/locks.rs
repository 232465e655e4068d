//! What the log says of locks, by an account of its own: at most one holder whose token counts, tokens that grow, owners
//! that get the lock in the order in which they came, and writes only under the token that holds.

use std::collections::BTreeMap;

use rstmdb_engine::fact::{Fence, LockChanged, LockEnded, LockHolder, LockWaiter};
use rstmdb_engine::limits::LOCK_PLACE_ENDS_MS;

/// The fault of a fact.
type Wrong = String;

/// All locks that were ever held.
#[derive(Debug, Default)]
pub struct LockAccount {
    locks: BTreeMap<String, LockModel>,
    /// Every owner that a lock was granted to, by the lock and the token.
    grants: BTreeMap<(String, u64), String>,
    /// How many were granted, how many of them to an owner that has waited, how many have expired.
    granted: u64,
    queued: u64,
    expired: u64,
    /// How many writes took effect under a lock.
    fenced: u64,
}

#[derive(Debug, Clone, Default)]
struct LockModel {
    /// The offset of the last fact; 0 while it is free.
    last: u64,
    holder: Option<Holder>,
    /// By place: the owner, and until when it waits.
    queue: BTreeMap<u64, (String, u64)>,
    last_token: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    owner: String,
    token: u64,
    expires_ms: u64,
}

impl LockAccount {
    /// How many locks were granted, how many of them to an owner that has waited, how many have expired, and how many
    /// writes took effect under one.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        [self.granted, self.queued, self.expired, self.fenced]
    }

    /// To whom a lock was granted with this token.
    #[must_use]
    pub fn granted_to(&self, name: &str, token: u64) -> Option<&str> {
        let grant = (name.to_owned(), token);
        self.grants.get(&grant).map(String::as_str)
    }

    /// When the first lock expires.
    #[must_use]
    pub fn first_ms(&self) -> Option<u64> {
        let holders = self.locks.values().filter_map(|lock| lock.holder.as_ref());
        holders.map(|holder| holder.expires_ms).min()
    }

    /// Whether a write may take effect at a time under this fence.
    #[must_use]
    pub fn honours(&self, fence: &Fence, time_ms: u64) -> bool {
        let lock = self.locks.get(&fence.lock);
        let holder = lock.and_then(|lock| lock.holder.as_ref());
        holder.is_some_and(|holder| holder.token == fence.token && time_ms < holder.expires_ms)
    }

    /// Counts a write that took effect under a lock.
    pub fn count_fenced(&mut self) {
        self.fenced += 1;
    }

    /// The offset of a lock's last fact; 0 while it is free.
    #[must_use]
    pub fn last(&self, name: &str) -> u64 {
        self.locks.get(name).map_or(0, |lock| lock.last)
    }

    /// Everything was removed. Tokens grow all the same.
    pub fn flush(&mut self) {
        for lock in self.locks.values_mut() {
            *lock = LockModel {
                last_token: lock.last_token,
                ..LockModel::default()
            };
        }
    }

    /// Takes a fact.
    ///
    /// # Errors
    /// What is wrong.
    pub fn take(&mut self, fact: &LockChanged, offset: u64, time_ms: u64) -> Result<(), Wrong> {
        let mut lock = self.locks.get(&fact.name).cloned().unwrap_or_default();
        if let Some(ended) = &fact.ended {
            lock.end(ended, time_ms)?;
            self.expired += u64::from(ended.expired);
        }
        let mut gone = Vec::new();
        for place in &fact.gone {
            let waiter = lock.queue.remove(place);
            gone.push(waiter.ok_or_else(|| format!("place {place} is not taken"))?);
        }
        match (&fact.holder, lock.holder.clone()) {
            (Some(holder), Some(held)) => lock.go_on(held, holder, time_ms)?,
            (Some(holder), None) => {
                let place = fact.gone.last().copied().unwrap_or_default();
                self.queued += in_turn(&lock, &gone, (&holder.owner, place), time_ms)?;
                self.granted += 1;
                lock.grant(holder, offset)?;
                let grant = (fact.name.clone(), offset);
                self.grants.insert(grant, holder.owner.clone());
                gone.retain(|(owner, _)| *owner != holder.owner);
            }
            (None, Some(held)) => return Err(format!("{held:?} loses the lock for no reason")),
            (None, None) if !lock.queue.is_empty() => {
                return Err(format!("the lock is free, and {:?} wait", lock.queue));
            }
            (None, None) => {}
        }
        // An owner whose wait has ended gives up its place.
        let gives_up = fact.ended.is_none() && fact.waiter.is_none();
        let ends_ms = time_ms + if gives_up { LOCK_PLACE_ENDS_MS } else { 0 };
        if let Some(early) = gone.iter().find(|(_, until_ms)| ends_ms < *until_ms) {
            return Err(format!("{early:?} loses its place at {time_ms}"));
        }
        if let Some(waiter) = &fact.waiter {
            lock.join(waiter, offset)?;
        }
        lock.last = match lock.holder {
            Some(_) => offset,
            None => 0,
        };
        self.locks.insert(fact.name.clone(), lock);
        Ok(())
    }
}

impl LockModel {
    fn end(&mut self, ended: &LockEnded, time_ms: u64) -> Result<(), Wrong> {
        let held = self.holder.take().ok_or("nobody holds what ends")?;
        if held.owner != ended.owner || held.token != ended.token {
            return Err(format!("{held:?} holds the lock, and it ends {ended:?}"));
        }
        if ended.expired && time_ms < held.expires_ms {
            return Err(format!("{held:?} expired at {time_ms}, before its time"));
        }
        if !ended.expired && held.expires_ms <= time_ms {
            return Err(format!(
                "{held:?} was released at {time_ms}, after its time"
            ));
        }
        Ok(())
    }

    /// The holder stays the same, and may have longer.
    fn go_on(&mut self, held: Holder, then: &LockHolder, time_ms: u64) -> Result<(), Wrong> {
        let same = then.owner == held.owner && then.token == held.token;
        if !same || then.expires_ms < held.expires_ms {
            return Err(format!("{held:?} holds the lock, and then {then:?}"));
        }
        if held.expires_ms <= time_ms {
            return Err(format!("{held:?} is honoured at {time_ms}, after its time"));
        }
        let expires_ms = then.expires_ms;
        self.holder = Some(Holder { expires_ms, ..held });
        Ok(())
    }

    fn grant(&mut self, to: &LockHolder, offset: u64) -> Result<(), Wrong> {
        let last = self.last_token;
        if to.token != 0 || offset <= last {
            return Err(format!(
                "{to:?} is granted at {offset}, behind token {last}"
            ));
        }
        self.last_token = offset;
        self.holder = Some(Holder {
            owner: to.owner.clone(),
            token: offset,
            expires_ms: to.expires_ms,
        });
        Ok(())
    }

    fn join(&mut self, waiter: &LockWaiter, offset: u64) -> Result<(), Wrong> {
        let place = match waiter.place {
            0 => offset,
            place => place,
        };
        let mut queue = self.queue.iter();
        let taken = queue.find(|(_, (owner, _))| *owner == waiter.owner);
        let expected = taken.map_or(offset, |(place, _)| *place);
        let holder = self.holder.as_ref();
        if place != expected || holder.is_some_and(|holder| holder.owner == waiter.owner) {
            return Err(format!("{waiter:?} gets place {place} and has {expected}"));
        }
        let waits = (waiter.owner.clone(), waiter.until_ms);
        self.queue.insert(place, waits);
        Ok(())
    }
}

/// Checks that an owner gets the lock in its turn; 1 if it has waited, then at this place.
fn in_turn(
    lock: &LockModel,
    gone: &[(String, u64)],
    (owner, place): (&str, u64),
    time_ms: u64,
) -> Result<u64, Wrong> {
    let has_waited = gone.last().is_some_and(|(last, _)| last == owner);
    // An owner that has lost its place does not count.
    let live = |(_, until_ms): &&(String, u64)| time_ms < *until_ms;
    let (earlier, before) = match has_waited {
        true => (gone.len() - 1, place),
        false => (gone.len(), u64::MAX),
    };
    let passed = gone.iter().take(earlier).find(live);
    let left = lock
        .queue
        .range(..before)
        .map(|(_, waits)| waits)
        .find(live);
    match passed.or(left) {
        Some(passed) => Err(format!("{owner} gets the lock before {passed:?}")),
        None => Ok(u64::from(has_waited)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn holder(owner: &str, token: u64, expires_ms: u64) -> Option<LockHolder> {
        Some(LockHolder {
            owner: owner.to_owned(),
            token,
            expires_ms,
            ttl_ms: 1000,
        })
    }

    fn ended(owner: &str, token: u64, expired: bool) -> Option<LockEnded> {
        Some(LockEnded {
            owner: owner.to_owned(),
            token,
            expired,
        })
    }

    fn waits(owner: &str, place: u64, until_ms: u64) -> Option<LockWaiter> {
        Some(LockWaiter {
            owner: owner.to_owned(),
            place,
            ttl_ms: 1000,
            until_ms,
        })
    }

    fn fact() -> LockChanged {
        LockChanged {
            name: "l".to_owned(),
            ..LockChanged::default()
        }
    }

    /// `a` holds the lock with token 5 until 2000; `b` and `c` wait at 6 and 7.
    fn held() -> LockAccount {
        let mut held = LockAccount::default();
        let granted = LockChanged {
            holder: holder("a", 0, 2000),
            ..fact()
        };
        held.take(&granted, 5, 1000).unwrap();
        for (owner, place) in [("b", 6), ("c", 7)] {
            let joins = LockChanged {
                holder: holder("a", 5, 2000),
                waiter: waits(owner, 0, 9000),
                ..fact()
            };
            held.take(&joins, place, 1000).unwrap();
        }
        held
    }

    fn fence(token: u64) -> Fence {
        Fence {
            lock: "l".to_owned(),
            token,
        }
    }

    #[test]
    fn a_lock_that_goes_from_one_to_the_next_is_right() {
        let mut held = held();
        assert!(held.honours(&fence(5), 1999));
        assert!(!held.honours(&fence(5), 2000));
        assert!(!held.honours(&fence(4), 1000));
        let next = LockChanged {
            ended: ended("a", 5, true),
            holder: holder("b", 0, 3000),
            gone: vec![6],
            ..fact()
        };
        held.take(&next, 8, 2000).unwrap();
        assert!(held.honours(&fence(8), 2999) && !held.honours(&fence(5), 2500));
        assert_eq!(held.counts(), [2, 1, 1, 0]);
    }

    #[test]
    fn what_takes_a_lock_away_or_passes_an_owner_is_found() {
        let wrong = [
            // Expired before its time.
            (
                LockChanged {
                    ended: ended("a", 5, true),
                    holder: holder("b", 0, 3000),
                    gone: vec![6],
                    ..fact()
                },
                1999,
            ),
            // Released after its time.
            (
                LockChanged {
                    ended: ended("a", 5, false),
                    holder: holder("b", 0, 3000),
                    gone: vec![6],
                    ..fact()
                },
                2000,
            ),
            // Not the first in the queue.
            (
                LockChanged {
                    ended: ended("a", 5, true),
                    holder: holder("c", 0, 3000),
                    gone: vec![7],
                    ..fact()
                },
                2000,
            ),
            (
                LockChanged {
                    ended: ended("a", 5, true),
                    holder: holder("c", 0, 3000),
                    gone: vec![6, 7],
                    ..fact()
                },
                2000,
            ),
            // One that has not waited.
            (
                LockChanged {
                    ended: ended("a", 5, true),
                    holder: holder("d", 0, 3000),
                    ..fact()
                },
                2000,
            ),
            // Another holder although nothing has ended.
            (
                LockChanged {
                    holder: holder("b", 0, 3000),
                    gone: vec![6],
                    ..fact()
                },
                1500,
            ),
            // Honoured after its time.
            (
                LockChanged {
                    holder: holder("a", 5, 3000),
                    ..fact()
                },
                2000,
            ),
            // Free although owners wait.
            (
                LockChanged {
                    ended: ended("a", 5, false),
                    ..fact()
                },
                1500,
            ),
            // A second place.
            (
                LockChanged {
                    holder: holder("a", 5, 2000),
                    waiter: waits("b", 0, 9000),
                    ..fact()
                },
                1500,
            ),
        ];
        for (fact, time_ms) in wrong {
            held().take(&fact, 8, time_ms).unwrap_err();
        }
    }
}
