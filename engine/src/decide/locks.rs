//! Locks: who holds one, who waits for it, and writes that take effect only while one is held.
//!
//! No decision treats an expired lock as held, even if no fact says yet that it has expired. A request for such a lock
//! first ends the expired holding and gives the lock to the first owner that waits. The fact of the decision says so.

mod change;

use std::sync::Arc;

use super::{Decider, OpDecision};
use crate::api::check_text;
use crate::api::command::{AcquireLock, ExpireLock, LockCommand, ReleaseLock, RenewLock};
use crate::api::reply::{LockExpiry, LockReply, LockView, Reply};
use crate::fact::level::Feature;
use crate::fact::{Body, LockHolder};
use crate::limits::{
    LOCK_NAME_BYTES_MAX, LOCK_PLACE_ENDS_MS, LOCK_PLACE_LATE_MS_MAX, LOCK_PLACE_MS_MAX,
    LOCK_PLACE_SLACK_MS, LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN, LOCK_WAITERS_MAX, LOCKS_MAX,
    LOCKS_WAITING_MAX,
};
use crate::{LockRefusal, Refusal};

use change::LockChange;

impl Decider<'_> {
    /// Refuses a write whose fence does not hold.
    pub(super) fn check_fence(self) -> Result<(), Refusal> {
        match self.meta.and_then(|meta| meta.fence.as_ref()) {
            Some(fence) if !self.view.fence_holds(fence, self.time_ms) => {
                Err(self.lost(&fence.lock, fence.token))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn lock(self, command: &LockCommand) -> Result<OpDecision, Refusal> {
        self.require(Feature::Locks)?;
        check_lock_name("name", command.name())?;
        match command {
            LockCommand::Acquire(acquire) => self.acquire(acquire),
            LockCommand::Renew(renew) => self.renew(renew),
            LockCommand::Release(release) => self.release(release),
            LockCommand::Expire(expire) => Ok(self.expire(expire)),
        }
    }

    fn acquire(self, acquire: &AcquireLock) -> Result<OpDecision, Refusal> {
        check_lock_name("owner", &acquire.owner)?;
        check_ttl(acquire.ttl_ms)?;
        let wait_ms = acquire.wait_ms.unwrap_or_default();
        if wait_ms > LOCK_TTL_MS_MAX {
            let problem = format!("wait_ms is {wait_ms}; 0 to {LOCK_TTL_MS_MAX} are allowed");
            return Err(Refusal::bad("wait_ms", problem));
        }
        let lock = self.view.lock(&acquire.name);
        let mut change = LockChange::begin(lock.as_deref(), &acquire.name, self.time_ms);
        if lock
            .as_ref()
            .is_some_and(|lock| lock.has_expired(self.time_ms))
        {
            change.end(true, Some(&acquire.owner));
        }
        let until_ms = self.time_ms.saturating_add(acquire.ttl_ms);
        let wanted = LockHolder {
            owner: acquire.owner.clone(),
            token: 0,
            expires_ms: until_ms,
            ttl_ms: acquire.ttl_ms,
        };
        let Some(holder) = &change.holder else {
            if lock.is_none() && self.view.lock_counts().0 >= LOCKS_MAX {
                return Err(too_many("locks", LOCKS_MAX));
            }
            change.holder = Some(wanted);
            return Ok(self.held(change, true));
        };
        if holder.owner == acquire.owner {
            let extends = change.extend(until_ms, acquire.ttl_ms);
            let writes = extends || change.has_ended();
            return Ok(self.held(change, writes));
        }
        if wait_ms == 0 {
            let held = LockRefusal::Held {
                name: acquire.name.clone(),
                owner: holder.owner.clone(),
                expires_ms: holder.expires_ms,
            };
            return self.give_up(&acquire.owner, change, held.into());
        }
        let kept_ms = wait_ms
            .saturating_add(LOCK_PLACE_SLACK_MS)
            .min(LOCK_PLACE_MS_MAX);
        self.wait(acquire, kept_ms, change)
    }

    /// Refuses an owner that does not wait. If its wait has just ended, its place goes in the log: a lock that went to it
    /// later would stand idle until the grant expires.
    fn give_up(
        self,
        owner: &str,
        mut change: LockChange<'_>,
        held: Refusal,
    ) -> Result<OpDecision, Refusal> {
        let ends_ms = self.time_ms.saturating_add(LOCK_PLACE_ENDS_MS);
        if change.has_ended() || !change.give_up(owner, ends_ms) {
            return Err(held);
        }
        Ok(decided(change, Reply::Refused(Box::new(held)), true))
    }

    /// A place in the queue, or the one that the owner has.
    fn wait(
        self,
        acquire: &AcquireLock,
        kept_ms: u64,
        mut change: LockChange<'_>,
    ) -> Result<OpDecision, Refusal> {
        let until_ms = self.time_ms.saturating_add(kept_ms);
        let known = change.place_of(&acquire.owner);
        if known.is_none() {
            let all = self.view.lock_counts().1;
            let is_full = LOCK_WAITERS_MAX <= change.waiting() || LOCKS_WAITING_MAX <= all;
            if is_full {
                change.let_go(0);
            } else if !change.has_ended() {
                change.let_go(LOCK_PLACE_LATE_MS_MAX);
            }
            if change.waiting() >= LOCK_WAITERS_MAX {
                return Err(too_many("owners that wait for this lock", LOCK_WAITERS_MAX));
            }
            if all.saturating_sub(change.gone()) >= LOCKS_WAITING_MAX {
                return Err(too_many("owners that wait for locks", LOCKS_WAITING_MAX));
            }
        }
        let known_until_ms = known.map_or(0, |(_, waiter)| waiter.until_ms);
        let writes = known_until_ms < until_ms || change.has_ended();
        let place = known.map_or(0, |(place, _)| place);
        change.wait(acquire, place, until_ms.max(known_until_ms));
        let reply = Reply::Lock(LockReply::Waits {
            place: if place == 0 { self.offset } else { place },
            ahead: change.ahead(place),
            until_ms: until_ms.max(known_until_ms),
            lock: self.view_of(&change),
            wal_offset: writes.then_some(self.offset),
        });
        Ok(decided(change, reply, writes))
    }

    fn renew(self, renew: &RenewLock) -> Result<OpDecision, Refusal> {
        if let Some(ttl_ms) = renew.ttl_ms {
            check_ttl(ttl_ms)?;
        }
        let lock = self.view.lock(&renew.name);
        let holding = lock.as_deref();
        let Some(lock) = holding.filter(|lock| lock.is_held_with(renew.token, self.time_ms)) else {
            return Err(self.lost(&renew.name, renew.token));
        };
        let mut change = LockChange::begin(Some(lock), &renew.name, self.time_ms);
        let ttl_ms = renew.ttl_ms.unwrap_or(lock.ttl_ms);
        let until_ms = self.time_ms.saturating_add(ttl_ms);
        let extends = change.extend(until_ms, ttl_ms);
        Ok(self.held(change, extends))
    }

    fn release(self, release: &ReleaseLock) -> Result<OpDecision, Refusal> {
        let lock = self.view.lock(&release.name);
        let holding = lock.as_deref();
        let Some(lock) = holding.filter(|lock| lock.is_held_with(release.token, self.time_ms))
        else {
            return Err(self.lost(&release.name, release.token));
        };
        let mut change = LockChange::begin(Some(lock), &release.name, self.time_ms);
        change.end(false, None);
        let reply = Reply::Lock(LockReply::Released {
            name: lock.name.clone(),
            owner: lock.owner.clone(),
            token: lock.token,
            next: change
                .holder
                .as_ref()
                .map(|holder| Arc::from(&*holder.owner)),
            wal_offset: self.offset,
        });
        Ok(decided(change, reply, true))
    }

    /// A pause of automation does not stop this: it must not block the owners that wait for the lock of an owner that
    /// died.
    fn expire(self, expire: &ExpireLock) -> OpDecision {
        let answer = |expiry| OpDecision::Answer {
            reply: Reply::Lock(LockReply::Expired(expiry)),
            offset: None,
        };
        let lock = self.view.lock(&expire.name);
        let as_then = lock
            .as_deref()
            .filter(|lock| lock.token == expire.token && lock.expires_ms == expire.expires_ms);
        let Some(lock) = as_then else {
            return answer(LockExpiry::Void);
        };
        if !lock.has_expired(self.time_ms) {
            return answer(LockExpiry::Waits);
        }
        let mut change = LockChange::begin(Some(lock), &expire.name, self.time_ms);
        change.end(true, None);
        let granted = change.holder.is_some();
        let reply = Reply::Lock(LockReply::Expired(LockExpiry::Done { granted }));
        decided(change, reply, true)
    }

    /// The answer to an owner that holds the lock after the change.
    fn held(self, change: LockChange<'_>, writes: bool) -> OpDecision {
        let reply = Reply::Lock(LockReply::Held {
            lock: self.view_of(&change),
            wal_offset: writes.then_some(self.offset),
        });
        decided(change, reply, writes)
    }

    fn view_of(self, change: &LockChange<'_>) -> LockView {
        let mut shown = change.shown(self.time_ms);
        if shown.token == 0 {
            shown.token = self.offset;
        }
        shown
    }

    fn lost(self, lock: &str, token: u64) -> Refusal {
        let held = self.view.lock(lock);
        let held = held.filter(|lock| !lock.has_expired(self.time_ms));
        Refusal::from(LockRefusal::Lost {
            lock: lock.to_owned(),
            token,
            current: held.map(|lock| lock.token),
        })
    }
}

fn decided(change: LockChange<'_>, reply: Reply, writes: bool) -> OpDecision {
    match writes {
        true => OpDecision::Write {
            body: Body::LockChanged(change.fact()),
            reply,
            machine: None,
        },
        false => OpDecision::Answer {
            reply,
            offset: None,
        },
    }
}

pub(super) fn check_lock_name(field: &str, name: &str) -> Result<(), Refusal> {
    check_text(field, name, LOCK_NAME_BYTES_MAX)
}

fn check_ttl(ttl_ms: u64) -> Result<(), Refusal> {
    if (LOCK_TTL_MS_MIN..=LOCK_TTL_MS_MAX).contains(&ttl_ms) {
        return Ok(());
    }
    let problem = format!("ttl_ms is {ttl_ms}; {LOCK_TTL_MS_MIN} to {LOCK_TTL_MS_MAX} are allowed");
    Err(Refusal::bad("ttl_ms", problem))
}

fn too_many(what: &'static str, most: usize) -> Refusal {
    let most = most as u64;
    Refusal::from(LockRefusal::TooMany { what, most })
}
