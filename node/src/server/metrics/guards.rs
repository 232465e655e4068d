//! Metrics of access control: when certificates expire, and refusals at the port for other nodes.

use std::sync::atomic::Ordering;

use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::families::raise_counter as counter;
use super::{Maker, Scrape};

/// The metrics of certificates and of refusals at the port for other nodes.
pub(super) struct Guards {
    certificates: IntGaugeVec,
    peer_refusals: IntCounterVec,
}

impl Guards {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            certificates: make.register(IntGaugeVec::new(
                Opts::new(
                    "rstmdb_certificate_expiry_timestamp_seconds",
                    "When the first certificate of a file expires, in seconds since 1970.",
                ),
                &["key"],
            )?)?,
            peer_refusals: make.register(IntCounterVec::new(
                Opts::new(
                    "rstmdb_peer_refusals_total",
                    "What was refused at the port for other nodes.",
                ),
                &["kind"],
            )?)?,
        })
    }

    /// Must not run twice at the same time: counters would count a difference twice.
    pub(super) fn set(&self, scrape: &Scrape<'_>) {
        self.certificates.reset();
        for held in scrape.certificates {
            if let Some(at) = held.not_after() {
                self.certificates.with_label_values(&[held.key]).set(at);
            }
        }
        let refusals = scrape.peer_refusals;
        for (kind, count) in [
            ("connection", &refusals.connections),
            ("caller", &refusals.callers),
            ("message", &refusals.messages),
        ] {
            let counted = self.peer_refusals.with_label_values(&[kind]);
            counter(&counted, count.load(Ordering::Relaxed));
        }
    }
}
