//! Error codes: what is refused, whether a retry can help, and the code for legacy clients.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, retryable $retryable:literal;)*) => {
        /// An error code of RCP.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// A code of a newer server, kept as it was sent.
            Other(Box<str>),
        }

        impl Code {
            /// Every code this version knows.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Code::$variant => $name,)*
                    Code::Other(name) => name,
                }
            }

            /// Whether trying again may succeed, unless the error says otherwise. A code this
            /// version does not know is not retried.
            pub fn retryable(&self) -> bool {
                match self {
                    $(Code::$variant => $retryable,)*
                    Code::Other(_) => false,
                }
            }
        }

        impl From<&str> for Code {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Code::$variant,)*
                    other => Code::Other(other.into()),
                }
            }
        }
    };
}

codes! {
    /// The peer speaks another protocol or version.
    UnsupportedProtocol = "UNSUPPORTED_PROTOCOL", retryable false;
    /// The request is not valid.
    BadRequest = "BAD_REQUEST", retryable false;
    /// AUTH has to succeed first.
    Unauthorized = "UNAUTHORIZED", retryable false;
    /// The credentials are wrong.
    AuthFailed = "AUTH_FAILED", retryable false;
    /// What was asked for does not exist.
    NotFound = "NOT_FOUND", retryable false;
    /// No such machine, or no such version of it.
    MachineNotFound = "MACHINE_NOT_FOUND", retryable false;
    /// The version exists with another definition.
    MachineVersionExists = "MACHINE_VERSION_EXISTS", retryable false;
    /// The machine has as many versions as the server allows.
    MachineVersionLimitExceeded = "MACHINE_VERSION_LIMIT_EXCEEDED", retryable false;
    /// Extension: instances have the version of the machine that is to be deleted.
    MachineInUse = "MACHINE_IN_USE", retryable false;
    /// No such instance.
    InstanceNotFound = "INSTANCE_NOT_FOUND", retryable false;
    /// The instance id is taken.
    InstanceExists = "INSTANCE_EXISTS", retryable false;
    /// No transition for this event leaves the current state.
    InvalidTransition = "INVALID_TRANSITION", retryable false;
    /// No guard of the transitions for this event holds.
    GuardFailed = "GUARD_FAILED", retryable false;
    /// Extension: an expression that must have a value has none.
    ExpressionFailed = "EXPRESSION_FAILED", retryable false;
    /// Extension: the expressions of one decision take too many steps.
    ExpressionLimit = "EXPRESSION_LIMIT", retryable false;
    /// Extension: a payload or a context does not fit its schema.
    SchemaFailed = "SCHEMA_FAILED", retryable false;
    /// An expectation of the request, or its idempotency key, does not match.
    Conflict = "CONFLICT", retryable false;
    /// The log could not be written or read.
    WalIoError = "WAL_IO_ERROR", retryable true;
    /// The server failed.
    InternalError = "INTERNAL_ERROR", retryable true;
    /// The server is at a limit; nothing was done.
    RateLimited = "RATE_LIMITED", retryable true;
    /// Extension: no leader is known; nothing was done.
    NoLeader = "NO_LEADER", retryable true;
    /// Extension: the offset fell out of retention.
    OffsetCompacted = "OFFSET_COMPACTED", retryable false;
    /// Extension: the offset lies beyond the head, or is another cluster's.
    OffsetAhead = "OFFSET_AHEAD", retryable false;
    /// Extension: the server's deadline passed.
    Timeout = "TIMEOUT", retryable true;
    /// Extension: this node refuses writes, a full disk for one.
    ReadOnlyMode = "READ_ONLY_MODE", retryable true;
    /// Extension: the request needs a feature that the cluster has not agreed on yet.
    FeatureLevel = "FEATURE_LEVEL", retryable false;
    /// Extension: another owner holds the lock.
    LockHeld = "LOCK_HELD", retryable false;
    /// Extension: the token no longer holds its lock.
    LockLost = "LOCK_LOST", retryable false;
    /// Extension: there are as many as are allowed; nothing was done.
    QuotaExceeded = "QUOTA_EXCEEDED", retryable true;
    /// Extension: the server does not allow it.
    Forbidden = "FORBIDDEN", retryable false;
}

impl Code {
    /// The code sent instead to a client that did not ask for the feature `cluster`, because existing clients
    /// fail on an unknown code.
    #[must_use]
    pub fn for_legacy(self) -> Code {
        match self {
            Code::NoLeader => Code::RateLimited,
            Code::OffsetCompacted | Code::OffsetAhead => Code::NotFound,
            Code::Timeout => Code::InternalError,
            Code::ReadOnlyMode => Code::WalIoError,
            Code::LockHeld | Code::LockLost | Code::MachineInUse => Code::Conflict,
            Code::QuotaExceeded => Code::RateLimited,
            Code::ExpressionFailed
            | Code::ExpressionLimit
            | Code::SchemaFailed
            | Code::FeatureLevel
            | Code::Forbidden => Code::BadRequest,
            Code::Other(_) => Code::InternalError,
            legacy => legacy,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Code::from(&*name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_code_survives_its_name_and_json() {
        for code in Code::ALL {
            assert_eq!(Code::from(code.as_str()), *code);
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn a_code_of_a_newer_server_is_kept_as_sent_and_not_retried() {
        let code: Code = serde_json::from_str("\"FROM_THE_FUTURE\"").unwrap();
        assert_eq!(code, Code::Other("FROM_THE_FUTURE".into()));
        assert_eq!(code.to_string(), "FROM_THE_FUTURE");
        assert!(!code.retryable());
    }

    #[test]
    fn legacy_clients_see_only_the_codes_they_know() {
        let extensions = [
            "NO_LEADER",
            "OFFSET_COMPACTED",
            "OFFSET_AHEAD",
            "TIMEOUT",
            "READ_ONLY_MODE",
            "EXPRESSION_FAILED",
            "EXPRESSION_LIMIT",
            "SCHEMA_FAILED",
            "FEATURE_LEVEL",
            "LOCK_HELD",
            "LOCK_LOST",
            "QUOTA_EXCEEDED",
            "FORBIDDEN",
            "MACHINE_IN_USE",
        ];
        for code in Code::ALL {
            let told = code.clone().for_legacy();
            assert!(!extensions.contains(&told.as_str()), "{code} became {told}");
            assert_eq!(told == *code, !extensions.contains(&code.as_str()));
        }
        assert_eq!(Code::NoLeader.for_legacy(), Code::RateLimited);
        assert_eq!(Code::OffsetCompacted.for_legacy(), Code::NotFound);
        assert_eq!(Code::OffsetAhead.for_legacy(), Code::NotFound);
        assert_eq!(Code::Timeout.for_legacy(), Code::InternalError);
        assert_eq!(Code::ReadOnlyMode.for_legacy(), Code::WalIoError);
        assert_eq!(Code::SchemaFailed.for_legacy(), Code::BadRequest);
        assert_eq!(Code::FeatureLevel.for_legacy(), Code::BadRequest);
        assert_eq!(Code::LockHeld.for_legacy(), Code::Conflict);
        assert_eq!(Code::LockLost.for_legacy(), Code::Conflict);
        assert_eq!(Code::MachineInUse.for_legacy(), Code::Conflict);
        assert_eq!(Code::QuotaExceeded.for_legacy(), Code::RateLimited);
    }

    #[test]
    fn retryable_is_the_tables() {
        let retryable: Vec<&str> = Code::ALL
            .iter()
            .filter(|code| code.retryable())
            .map(Code::as_str)
            .collect();
        assert_eq!(
            retryable,
            [
                "WAL_IO_ERROR",
                "INTERNAL_ERROR",
                "RATE_LIMITED",
                "NO_LEADER",
                "TIMEOUT",
                "READ_ONLY_MODE",
                "QUOTA_EXCEEDED"
            ]
        );
    }
}
