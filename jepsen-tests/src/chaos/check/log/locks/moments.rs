//! What a lock was, at one place of the log or at any moment of a request.

use crate::chaos::check::truth::{LockVersion, Truth};
use crate::chaos::history::HistoryEntry;

/// Writes whose answers name an offset that was not there before they were sent, unless they have a key.
const NEW_WRITES: [&str; 4] = [
    "APPLY_EVENT",
    "CREATE_INSTANCE",
    "DELETE_INSTANCE",
    "LOCK_RELEASE",
];

/// Why a token does not hold a lock for an entry at this offset; `None` if it does.
pub(super) fn not_held(truth: &Truth, lock: &str, token: u64, offset: u64) -> Option<String> {
    let version = truth.locks.before(lock, offset);
    let Some(holding) = version.and_then(|version| version.holding.as_ref()) else {
        return Some("nobody held it there".to_owned());
    };
    if holding.token != token {
        let (held, owner) = (holding.token, &holding.owner);
        return Some(format!("there {owner} held it with token {held}"));
    }
    let at = truth.times.binary_search_by_key(&offset, |(at, _)| *at);
    let time_ms = at.ok().map(|at| truth.times[at].1)?;
    let until_ms = holding.expires_ms;
    (until_ms <= time_ms)
        .then(|| format!("there, at {time_ms} ms, its time was over since {until_ms}"))
}

/// Which places of the log a request can have seen, by the requests that were answered before it was sent, and those that
/// were sent after it was answered.
#[derive(Debug)]
pub(super) struct LogBounds {
    /// By the time of an answer: the highest offset that any answer has named until then.
    known: Vec<(u64, u64)>,
    /// By the time of sending: the lowest offset of a write that was sent then or later.
    later: Vec<(u64, u64)>,
}

impl LogBounds {
    pub(super) fn new(entries: &[HistoryEntry]) -> Self {
        let acknowledged = |entry: &HistoryEntry| {
            let offset = entry.result()?["wal_offset"].as_u64()?;
            Some((entry.ended, offset))
        };
        let mut known: Vec<(u64, u64)> = entries.iter().filter_map(acknowledged).collect();
        known.sort_unstable();
        let mut highest = 0;
        for (_, offset) in &mut known {
            highest = highest.max(*offset);
            *offset = highest;
        }
        let is_new = |entry: &&HistoryEntry| {
            NEW_WRITES.contains(&entry.op.as_str()) && entry.params["idempotency_key"].is_null()
        };
        let written = |entry: &HistoryEntry| {
            let offset = entry.result()?["wal_offset"].as_u64()?;
            Some((entry.begun, offset))
        };
        let mut later: Vec<(u64, u64)> =
            entries.iter().filter(is_new).filter_map(written).collect();
        later.sort_unstable();
        let mut lowest = u64::MAX;
        for (_, offset) in later.iter_mut().rev() {
            lowest = lowest.min(*offset);
            *offset = lowest;
        }
        Self { known, later }
    }

    /// The last offset that a request must have seen, and the first that it cannot have seen.
    fn of(&self, entry: &HistoryEntry) -> (u64, u64) {
        let before = self
            .known
            .partition_point(|(ended, _)| *ended < entry.begun);
        let from = before.checked_sub(1).map_or(0, |at| self.known[at].1);
        let after = self
            .later
            .partition_point(|(begun, _)| *begun <= entry.ended);
        let until = self
            .later
            .get(after)
            .map_or(u64::MAX, |(_, offset)| *offset);
        (from, until)
    }

    /// What a lock was at the moments of a request.
    pub(super) fn moments<'a>(
        &self,
        entry: &HistoryEntry,
        truth: &'a Truth,
        lock: &str,
    ) -> Moments<'a> {
        let (from, until) = self.of(entry);
        let all = truth.locks.versions(lock);
        let end = all.partition_point(|version| version.offset < until);
        let begin = all.partition_point(|version| version.offset <= from);
        Moments {
            is_new: begin == 0,
            of_it: &all[begin.saturating_sub(1).min(end)..end],
            next: all.get(end),
        }
    }
}

/// The versions of a lock that a request can have seen.
#[derive(Debug)]
pub(super) struct Moments<'a> {
    /// Also the time before the first version, when the lock was free.
    is_new: bool,
    of_it: &'a [LockVersion],
    /// The first that it cannot have seen.
    next: Option<&'a LockVersion>,
}

impl Moments<'_> {
    /// Whether a token held the lock then.
    pub(super) fn holds(&self, token: u64) -> bool {
        let mut holdings = self
            .of_it
            .iter()
            .filter_map(|version| version.holding.as_ref());
        holdings.any(|holding| holding.token == token)
    }

    /// Whether an owner held the lock then.
    pub(super) fn is_held_by(&self, token: u64, owner: &str) -> bool {
        let mut holdings = self
            .of_it
            .iter()
            .filter_map(|version| version.holding.as_ref());
        holdings.any(|holding| holding.token == token && holding.owner == owner)
    }

    /// Whether anybody held it.
    pub(super) fn is_held(&self) -> bool {
        self.of_it.iter().any(|version| version.holding.is_some())
    }

    /// Whether it can have been free: without a holder, or the holder's time was over and the log did not have it yet.
    pub(super) fn is_free(&self) -> bool {
        let free = self.of_it.iter().any(|version| version.holding.is_none());
        self.is_new || free || self.can_run_out()
    }

    /// Whether there was a moment at which this token did not hold the lock.
    pub(super) fn lacks(&self, token: u64) -> bool {
        let other = |version: &LockVersion| {
            let holding = version.holding.as_ref();
            holding.is_none_or(|holding| holding.token != token)
        };
        self.is_new || self.of_it.iter().any(other) || self.can_run_out()
    }

    /// Whether the time of some holder was over before the log had it.
    fn can_run_out(&self) -> bool {
        let ended = self.of_it.iter().chain(self.next);
        let mut ended = ended.skip(1).filter_map(|version| version.ended);
        // What still holds the lock at the end of the log can be over.
        self.next.is_none() || ended.any(|ended| ended.expired)
    }
}
