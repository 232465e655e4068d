//! Writes what the watches of a connection have found, as far as the client reads.

use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::subscriptions::Pulled;
use super::waiting::Unwritten;
use super::{Phase, Session};
use crate::replica::WatchEnd;
use crate::server::messages::failure::{self, PossibleEffect};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Writes what the watches have found.
    pub(super) fn poll_watches(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open {
            self.waiting.events = None;
            return false;
        }
        let mut again = false;
        if let Some(unwritten) = self.waiting.events.take() {
            if self.watches.is_live(&unwritten.what.id) && !self.has_room_again(cx, &unwritten, 0) {
                self.waiting.events = Some(unwritten);
                return false;
            }
            self.tell(cx, unwritten.what);
            again = true;
        }
        while self.may_answer() {
            let Poll::Ready(pulled) = self.watches.poll_events(cx) else {
                break;
            };
            self.tell(cx, pulled);
            again = true;
        }
        again
    }

    fn tell(&mut self, cx: &mut Context<'_>, pulled: Pulled) {
        let events = match &pulled.events {
            _ if !self.watches.is_live(&pulled.id) => return,
            Ok(events) => events,
            Err(WatchEnd::Failed(error)) => {
                let error = failure::of_replica(error, PossibleEffect::None);
                self.outbox.end(&pulled.id, error);
                self.watches.remove(&pulled.id);
                return;
            }
        };
        if events.is_empty()
            && let Some(offset) = self.watches.caught_up(&pulled.id, self.now)
        {
            self.outbox.progress(&pulled.id, offset);
        }
        let write = |session: &mut Self| {
            for event in events {
                session.outbox.event(&pulled.id, event, pulled.shown);
            }
        };
        let ((), unwritten) = self.encode_if_room(0, write, |session, held| {
            events.is_empty() || session.has_room(held) || session.make_room(cx, held)
        });
        let count = events.len();
        if let Some(bytes) = unwritten {
            let what = pulled;
            self.waiting.events = Some(Unwritten { what, bytes });
            return;
        }
        self.shared.metrics.events_forwarded(count);
        self.watches.ask_again(pulled, self.now);
    }

    /// Tells the client how far those watches have come that have had no event for long.
    pub(super) fn write_notices(&mut self) {
        let due = self.watches.next_notice();
        if due.is_none_or(|due| due > self.now) || self.phase != Phase::Open {
            return;
        }
        while self.may_answer() {
            match self.watches.take_notice(self.now) {
                Some((id, offset)) => self.outbox.progress(&id, offset),
                None => break,
            }
        }
        if let Some(due) = self.notice_due() {
            self.arm(due);
        }
    }

    /// When the next notice is due; none while the client has to read first.
    pub(super) fn notice_due(&self) -> Option<Instant> {
        let waits = self.phase != Phase::Open || !self.may_answer();
        self.watches.next_notice().filter(|_| !waits)
    }
}
