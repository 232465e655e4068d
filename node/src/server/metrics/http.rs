//! Responses of HTTP. What they were about is counted with the operations of RCP.

use axum::http::StatusCode;
use prometheus::{IntCounterVec, Opts};

use super::Maker;

/// What HTTP counts by itself.
pub(super) struct HttpMetrics {
    responses: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let responses = make.register(IntCounterVec::new(
            Opts::new(
                "rstmdb_http_responses_total",
                "Responses of HTTP, by their status.",
            ),
            &["status"],
        )?)?;
        // It is there before the first response, so that an alert finds it.
        responses.with_label_values(&["200"]);
        Ok(Self { responses })
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.responses.with_label_values(&[status.as_str()]).inc();
    }
}
