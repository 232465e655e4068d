//! What the first bytes over a connection that this node has opened show.

use std::sync::Arc;

use crate::server::peer::warnings::Warnings;
use crate::server::peer::way::holes::{ConnectAttempt, LARGE_PACKETS};

/// Watches the first bytes over a connection that this node has opened. The listener judges the certificate of a caller
/// only when the caller's part of the handshake is over. So its refusal comes with the first bytes that the caller
/// reads, and so does the first sign that the caller's part has arrived.
pub(crate) struct FirstBytes {
    pub(crate) attempt: Option<ConnectAttempt>,
    pub(crate) warnings: Arc<Warnings>,
    pub(crate) peer: String,
}

impl FirstBytes {
    /// Something has come.
    pub(crate) fn answered(&mut self) {
        if self.attempt.as_mut().is_some_and(ConnectAttempt::answered) {
            let said = "the TLS handshake with another node succeeds only with small TCP segments; \
                        connections to it use these from now on";
            self.warnings.warn(&self.peer, said, LARGE_PACKETS);
        }
    }

    /// The other side has ended the connection with a reason.
    pub(crate) fn refused(&mut self, alert: &rustls::Error) {
        if let Some(attempt) = self.attempt.take() {
            attempt.failed();
        }
        let said = "another node refuses a connection of this one";
        self.warnings
            .warn(&self.peer, said, &format!("TLS: {alert}"));
    }
}
