//! An account of the locks of a log: the simulation's, fed with the entries that took effect, and who held each lock from
//! which offset on.

use std::collections::{BTreeMap, BTreeSet};

use rstmdb_engine::fact::{self, Body, LockChanged};
use rstmdb_sim::check::locks::LockAccount;

/// What the ids of the instances begin with that clients write under locks: each belongs to one lock, and an event has
/// the lock and the token in its payload.
pub const LEDGER: &str = "ledger";

/// What the log says of locks.
#[derive(Debug, Default)]
pub struct LocksOfLog {
    account: LockAccount,
    time_ms: u64,
    versions: BTreeMap<String, Vec<LockVersion>>,
    /// Each lock and who has ever held it, or waited for it.
    known: BTreeSet<(String, String)>,
    /// What is wrong, and where.
    pub problems: Vec<(u64, String)>,
}

/// A lock from one of its facts to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockVersion {
    /// Where it begins.
    pub offset: u64,
    /// Who holds the lock; `None`: it is free.
    pub holding: Option<LockHolding>,
    /// What has ended here.
    pub ended: Option<EndedHolding>,
}

/// That one owner holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolding {
    /// The owner.
    pub owner: String,
    /// Its token.
    pub token: u64,
    /// Until when, by the log's time.
    pub expires_ms: u64,
}

/// The end of a holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedHolding {
    /// The token that holds the lock no longer.
    pub token: u64,
    /// Its time was over. Else it was released.
    pub expired: bool,
}

impl LocksOfLog {
    /// Takes an entry that took effect.
    pub fn take(&mut self, offset: u64, entry: &fact::Entry) {
        self.time_ms = self.time_ms.max(entry.time_ms);
        if let Some(fence) = entry.meta.as_ref().and_then(|meta| meta.fence.as_ref()) {
            if !self.account.honours(fence, self.time_ms) {
                let (lock, token, time_ms) = (&fence.lock, fence.token, self.time_ms);
                let what = format!(
                    "a write under token {token} of {lock} took effect at {time_ms} ms, when it did not hold the lock"
                );
                self.problems.push((offset, what));
            }
            self.account.count_fenced();
        }
        for body in entry.facts.iter().filter_map(|fact| fact.body.as_ref()) {
            if let Body::LockChanged(changed) = body {
                self.change(offset, changed);
            }
        }
    }

    fn change(&mut self, offset: u64, changed: &LockChanged) {
        if let Err(problem) = self.account.take(changed, offset, self.time_ms) {
            let what = format!("{}: {problem}", changed.name);
            self.problems.push((offset, what));
        }
        let holding = changed.holder.as_ref().map(|holder| LockHolding {
            owner: holder.owner.clone(),
            // A fact cannot carry the offset that it gets.
            token: match holder.token {
                0 => offset,
                token => token,
            },
            expires_ms: holder.expires_ms,
        });
        let waiter = changed.waiter.as_ref().map(|waiter| &waiter.owner);
        let owners = holding.iter().map(|holding| &holding.owner).chain(waiter);
        for owner in owners.cloned() {
            self.known.insert((changed.name.clone(), owner));
        }
        let ended = changed.ended.as_ref().map(|ended| EndedHolding {
            token: ended.token,
            expired: ended.expired,
        });
        let versions = self.versions.entry(changed.name.clone()).or_default();
        versions.push(LockVersion {
            offset,
            holding,
            ended,
        });
    }

    /// How many locks were granted, how many of them to an owner that has waited, how many have expired, and how many
    /// writes took effect under one.
    pub fn counts(&self) -> [u64; 4] {
        self.account.counts()
    }

    /// To whom a lock was granted with this token.
    pub fn granted_to(&self, lock: &str, token: u64) -> Option<&str> {
        self.account.granted_to(lock, token)
    }

    /// Whether an owner has ever held a lock, or waited for it.
    pub fn knows(&self, lock: &str, owner: &str) -> bool {
        self.known.contains(&(lock.to_owned(), owner.to_owned()))
    }

    /// The locks that were ever held.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str)
    }

    /// What a lock was, in the order of the log. Before the first it was free.
    pub fn versions(&self, lock: &str) -> &[LockVersion] {
        self.versions.get(lock).map_or(&[], Vec::as_slice)
    }

    /// The version that is in force for an entry at this offset; `None`: nobody has held the lock yet.
    pub fn before(&self, lock: &str, offset: u64) -> Option<&LockVersion> {
        let versions = self.versions(lock);
        let after = versions.partition_point(|version| version.offset < offset);
        versions.get(after.checked_sub(1)?)
    }
}
