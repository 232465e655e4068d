//! Answers about locks: each says what the lock was at some moment between question and answer, or where the log has what
//! was asked for.

use serde_json::Value;

use super::moments::{LogBounds, Moments};
use crate::chaos::check::truth::{LockVersion, Truth};
use crate::chaos::history::{HistoryEntry, RequestOutcome};

/// Compares answers with the log.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    truth: &'a Truth,
    bounds: LogBounds,
}

/// Whether a request was certainly not done.
pub(super) fn is_refused(entry: &HistoryEntry) -> bool {
    matches!(entry.outcome, RequestOutcome::Refused { .. })
}

impl<'a> Answers<'a> {
    pub(super) fn new(entries: &[HistoryEntry], truth: &'a Truth) -> Self {
        Self {
            truth,
            bounds: LogBounds::new(entries),
        }
    }

    /// What is wrong with the answer to a request.
    pub(super) fn problems(&self, entry: &HistoryEntry) -> Vec<String> {
        let problem = match &entry.outcome {
            RequestOutcome::Ok(result) => match entry.op.as_str() {
                "LOCK_ACQUIRE" | "LOCK_RENEW" => self.held(entry, result),
                "LOCK_RELEASE" => self.released(entry, result),
                "LOCK_GET" => return self.listed(entry, result, &[entry.param("name")]),
                "LOCK_LIST" => {
                    let names: Vec<&str> = self.truth.locks.names().collect();
                    return self.listed(entry, result, &names);
                }
                _ => None,
            },
            RequestOutcome::Refused { code, details } => match code.as_str() {
                "LOCK_LOST" => self.lost(entry, details),
                "LOCK_HELD" => self.refused(entry),
                _ => None,
            },
            RequestOutcome::Unknown { .. } => None,
        };
        problem.into_iter().collect()
    }

    fn moments(&self, entry: &HistoryEntry, lock: &str) -> Moments<'a> {
        self.bounds.moments(entry, self.truth, lock)
    }

    /// What the log has made of a lock at the offset that an answer names.
    fn change(&self, lock: &str, result: &Value) -> Option<Option<&'a LockVersion>> {
        let offset = result["wal_offset"].as_u64()?;
        let versions = self.truth.locks.versions(lock);
        let at = versions.binary_search_by_key(&offset, |version| version.offset);
        Some(at.ok().map(|at| &versions[at]))
    }

    /// A client is told that it holds a lock.
    fn held(&self, entry: &HistoryEntry, result: &Value) -> Option<String> {
        let (lock, owner) = (
            entry.param("name"),
            result["owner"].as_str().unwrap_or_default(),
        );
        let token = result["token"].as_u64().unwrap_or_default();
        let asked = match entry.op.as_str() {
            "LOCK_ACQUIRE" => entry.params["owner"] == owner,
            _ => entry.params["token"] == token,
        };
        if result["name"] != lock || !asked {
            return Some(format!(
                "the answer is about another lock or owner: {result}"
            ));
        }
        let granted = self.truth.locks.granted_to(lock, token);
        if granted != Some(owner) {
            return Some(format!(
                "{owner} is told to hold {lock} with token {token}, which the log has granted to {granted:?}"
            ));
        }
        if let Some(version) = self.change(lock, result) {
            let holding = version.and_then(|version| version.holding.as_ref());
            let holds = holding.is_some_and(|holding| holding.token == token);
            return (!holds).then(|| {
                format!(
                    "token {token} of {lock} is acknowledged, and at this offset is {version:?}"
                )
            });
        }
        let holds = self.moments(entry, lock).holds(token);
        (!holds).then(|| format!("token {token} did not hold {lock} between question and answer"))
    }

    fn released(&self, entry: &HistoryEntry, result: &Value) -> Option<String> {
        let (lock, token) = (entry.param("name"), entry.params["token"].as_u64());
        let version = self.change(lock, result).flatten();
        let ended = version.and_then(|version| version.ended);
        let is_so = ended.is_some_and(|ended| Some(ended.token) == token && !ended.expired);
        (!is_so).then(|| format!("a release is acknowledged, and the log has {version:?} there"))
    }

    /// A read of these locks. It shows those that are held.
    fn listed(&self, entry: &HistoryEntry, result: &Value, names: &[&str]) -> Vec<String> {
        let shown = result["locks"].as_array().map_or(&[][..], Vec::as_slice);
        let mut wrong = Vec::new();
        for lock in shown {
            let name = lock["name"].as_str().unwrap_or_default();
            let token = lock["token"].as_u64().unwrap_or_default();
            let owner = lock["owner"].as_str().unwrap_or_default();
            if !self.moments(entry, name).is_held_by(token, owner) {
                wrong.push(format!(
                    "a read shows {owner} with token {token} of {name}, which was not so"
                ));
            }
        }
        if !result["next"].is_null() {
            return wrong;
        }
        for name in names {
            let is_shown = shown.iter().any(|lock| lock["name"] == *name);
            if !is_shown && !self.moments(entry, name).is_free() {
                wrong.push(format!(
                    "a read does not show {name}, which was held all the time"
                ));
            }
        }
        wrong
    }

    /// A client is told that its token does not hold the lock, and which one does.
    fn lost(&self, entry: &HistoryEntry, details: &Value) -> Option<String> {
        let (lock, token) = match entry.op.as_str() {
            "LOCK_RENEW" | "LOCK_RELEASE" => (&entry.params["name"], &entry.params["token"]),
            _ => (
                &entry.params["fence"]["lock"],
                &entry.params["fence"]["token"],
            ),
        };
        let (Some(lock), Some(token)) = (lock.as_str(), token.as_u64()) else {
            return Some("LOCK_LOST, and the request names no lock".to_owned());
        };
        let moments = self.moments(entry, lock);
        if !moments.lacks(token) {
            return Some(format!(
                "token {token} is said to be lost, and held {lock} all the time"
            ));
        }
        let current = &details["current_token"];
        let is_so = match current.as_u64() {
            Some(current) => current != token && moments.holds(current),
            None => moments.is_free(),
        };
        (!is_so).then(|| format!("token {current} is said to hold {lock}, which was not so"))
    }

    /// A client is told that another owner has the lock.
    fn refused(&self, entry: &HistoryEntry) -> Option<String> {
        let lock = entry.param("name");
        let is_held = self.moments(entry, lock).is_held();
        (!is_held).then(|| format!("{lock} is said to be held, and was free all the time"))
    }
}
