//! Who was refused, and the audit log.

use prometheus::{IntCounter, IntCounterVec, Opts};
use rstmdb_rcp::Code;

use super::Maker;

/// Why a client was not let in, or not allowed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessRefusal {
    /// The token is not known, or has expired.
    WrongToken,
    /// No token came, and one is needed.
    NoToken,
    /// Too many wrong tokens came from the address.
    TooMany,
    /// No role of the client allows it.
    Forbidden,
    /// The token of an open connection was taken back, or has expired.
    Revoked,
}

impl AccessRefusal {
    const ALL: [Self; 5] = [
        Self::WrongToken,
        Self::NoToken,
        Self::TooMany,
        Self::Forbidden,
        Self::Revoked,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::WrongToken => "wrong_token",
            Self::NoToken => "no_token",
            Self::TooMany => "too_many",
            Self::Forbidden => "forbidden",
            Self::Revoked => "revoked",
        }
    }

    /// The refusal that an answer with this code is; `None` for other codes.
    pub(crate) fn of_code(code: &Code) -> Option<Self> {
        match code {
            Code::Forbidden => Some(Self::Forbidden),
            Code::Unauthorized => Some(Self::NoToken),
            Code::AuthFailed => Some(Self::WrongToken),
            _ => None,
        }
    }
}

/// What is counted of access.
pub(super) struct AccessMetrics {
    failures: Vec<IntCounter>,
    pub(super) audit_written: IntCounter,
    pub(super) audit_lost: IntCounter,
}

impl AccessMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let failures = make.register(IntCounterVec::new(
            Opts::new(
                "rstmdb_auth_failures_total",
                "Clients that were not let in, and requests that no role allows.",
            ),
            &["reason"],
        )?)?;
        let failures = AccessRefusal::ALL
            .iter()
            .map(|reason| failures.with_label_values(&[reason.name()]));
        Ok(Self {
            failures: failures.collect(),
            audit_written: make.counter(
                "rstmdb_audit_records_total",
                "Records written to the audit log.",
            )?,
            audit_lost: make.counter(
                "rstmdb_audit_records_lost_total",
                "Records that the audit log has lost, because the disk failed or did not keep up.",
            )?,
        })
    }

    pub(super) fn refused(&self, why: AccessRefusal) {
        if let Some(counter) = self.failures.get(why as usize) {
            counter.inc();
        }
    }
}
