//! Everything of a connection that has a time: deadlines of requests, silence, clients that do not go on.

use std::task::Context;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{HANDSHAKE_TIMEOUT, Phase, Session};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Handles everything whose time has come; `true` when something was changed.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let mut changed = false;
        while self.timer.as_mut().poll(cx).is_ready() {
            // The turn may have begun before the deadline.
            self.now = Instant::now();
            changed |= self.expire();
            let next = self.next_deadline();
            self.set_timer(next);
        }
        changed
    }

    fn expire(&mut self) -> bool {
        if self.flush_by.is_some_and(|at| at <= self.now) {
            tracing::debug!("closing a connection: its client does not read its answers");
            self.abandon();
            return true;
        }
        if self.is_stalled() {
            tracing::info!(
                address = %self.origin.address,
                "closing a connection: its client sends a large request, or reads answers, too slowly while other \
                 connections wait for memory (network.buffers_max_mb)"
            );
            self.abandon();
            return true;
        }
        let changed = self.expire_requests() | self.release_held();
        if self.silent_since().is_some_and(|at| at <= self.now) {
            tracing::debug!("closing a connection: its client has sent nothing for too long");
            self.give_up_held();
            self.flush();
            return true;
        }
        changed
    }

    /// Closes without sending the rest.
    fn abandon(&mut self) {
        self.flush();
        self.outbox.buffer().clear();
        self.needs_flush = false;
    }

    /// When the connection will have been silent for too long; `None` while it may be silent.
    fn silent_since(&self) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        if !self.client.is_known(self.shared.tokens.required()) {
            return Some(self.client.unknown_since() + HANDSHAKE_TIMEOUT);
        }
        let at_work = self.has_requests() || !self.watches.is_empty();
        match self.shared.times.idle() {
            Some(timeout) if !at_work => Some(self.last_received + timeout),
            _ => None,
        }
    }

    fn next_deadline(&self) -> Instant {
        let waiting = self.order.iter_waiting().map(|(tag, _)| tag.deadline);
        let unbegun = self.waiting.request.as_ref();
        let idle = self
            .shared
            .times
            .idle()
            .unwrap_or(Duration::from_secs(3600));
        [
            self.flush_by,
            self.silent_since(),
            self.held.as_ref().map(|held| held.until),
            self.stalled_at(),
            unbegun.map(|unbegun| unbegun.tag.deadline),
            self.notice_due(),
            self.work.earliest_deadline(),
            waiting.min(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.now + idle)
        .max(self.now + Duration::from_millis(1))
    }

    /// Makes sure that the timer fires at `at`, or earlier. Firing early costs one check; moving the timer for each
    /// request would cost more.
    pub(super) fn arm(&mut self, at: Instant) {
        if at < self.timer_at {
            self.set_timer(at);
        }
    }

    fn set_timer(&mut self, at: Instant) {
        self.timer_at = at;
        self.timer.as_mut().reset(at.into());
    }
}
