//! AUTH: when a token is checked, and when the answer to a wrong one goes out. Until then no other request of the
//! connection is taken.

use std::time::Instant;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use crate::server::clients::auth::guesses::{self, FAILURES_MAX, RETRY_PAUSE};

/// An AUTH that waits.
pub(super) struct WaitingAuth {
    pub(super) until: Instant,
    id: Box<str>,
    /// The token that has still to be checked; `None` if it was wrong.
    token: Option<Box<str>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Checks a token, unless its address has sent too many wrong ones.
    pub(super) fn look_at_token(&mut self, id: &str, token: &str) {
        let guesses = &self.shared.guesses;
        if !guesses.may_look(self.origin.address, self.now) {
            let until = self.now + RETRY_PAUSE;
            return self.hold(until, id, Some(token));
        }
        let bearer = self.shared.tokens.bearer(token);
        let is_right = bearer.is_some();
        if !is_right {
            let count = guesses.failed(self.origin.address, self.now);
            self.note_token(id, &Code::AuthFailed, count);
        }
        self.is_now(bearer);
        if is_right {
            return self.flag(id, "authenticated");
        }
        let until = self.now + guesses::delay(self.client.failures());
        self.hold(until, id, None);
    }

    fn hold(&mut self, until: Instant, id: &str, token: Option<&str>) {
        self.held = Some(WaitingAuth {
            until,
            id: id.into(),
            token: token.map(Into::into),
        });
        self.arm(until);
    }

    /// Goes on with an AUTH whose time has come; `true` if there was one.
    pub(super) fn release_held(&mut self) -> bool {
        let Some(held) = self.held.take_if(|held| held.until <= self.now) else {
            return false;
        };
        match held.token {
            Some(token) => self.look_at_token(&held.id, &token),
            None => self.refuse_held(&held),
        }
        true
    }

    /// Answers an AUTH that waits, because the connection ends.
    pub(super) fn give_up_held(&mut self) {
        if let Some(held) = self.held.take() {
            self.refuse_held(&held);
        }
    }

    fn refuse_held(&mut self, held: &WaitingAuth) {
        if held.token.is_some() {
            self.note_token(
                &held.id,
                &Code::RateLimited,
                self.shared.guesses.count(self.origin.address),
            );
            let message = "too many wrong tokens came from this address; try again later";
            return self.refuse(&held.id, ErrorBody::new(Code::RateLimited, message));
        }
        self.refuse(
            &held.id,
            ErrorBody::new(Code::AuthFailed, "the token is not known"),
        );
        if self.client.failures() >= FAILURES_MAX {
            tracing::debug!(address = %self.origin.address, "closing a connection after {FAILURES_MAX} wrong tokens");
            self.flush();
        }
    }
}
