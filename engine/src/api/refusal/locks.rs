//! Why a command about a lock, or one with a fence, is refused.

use serde_json::{Value, json};

/// A refusal that is about a lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockRefusal {
    /// Another owner holds the lock, or gets it next.
    #[error("lock {name:?} is held by {owner:?} until {expires_ms}")]
    Held {
        /// The lock's name.
        name: String,
        /// Who holds it, or is the first that waits for it.
        owner: String,
        /// Until when, Unix milliseconds, unless the owner renews.
        expires_ms: u64,
    },
    /// The token does not hold the lock: the lock was released, has expired, or another owner has it.
    #[error("token {token} does not hold lock {lock:?}{}", .current.map_or(String::new(), |token| format!(": it is held with token {token}")))]
    Lost {
        /// The lock's name.
        lock: String,
        /// The token that was given.
        token: u64,
        /// The token that holds the lock now, if any does.
        current: Option<u64>,
    },
    /// The number of locks, or of owners that wait, has reached its limit.
    #[error("there are {most} {what} already, the most that are allowed")]
    TooMany {
        /// What has reached its limit: `locks`, `owners that wait for this lock`, `owners that wait for locks`.
        what: &'static str,
        /// How many are allowed.
        most: u64,
    },
}

impl LockRefusal {
    /// RCP's error code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "LOCK_HELD",
            Self::Lost { .. } => "LOCK_LOST",
            Self::TooMany { .. } => "QUOTA_EXCEEDED",
        }
    }

    /// RCP's error details, a JSON object.
    #[must_use]
    pub fn details(&self) -> Value {
        match self {
            Self::Held {
                name,
                owner,
                expires_ms,
            } => json!({ "name": name, "owner": owner, "expires_at": expires_ms }),
            Self::Lost {
                lock,
                token,
                current,
            } => json!({ "lock": lock, "token": token, "current_token": current }),
            Self::TooMany { what, most } => json!({ "what": what, "max": most }),
        }
    }
}
