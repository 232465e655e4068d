//! What a session has waiting for room in the budget of all connections: one request that was received and has not
//! begun, and one answer or the events of one watch that are not written. While one of these waits, the session takes, answers and
//! writes nothing else.

use std::fmt::Display;
use std::task::{Context, Poll};

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use tokio::io::{AsyncRead, AsyncWrite};

use super::subscriptions::Pulled;
use super::work::Tag;
use super::{Phase, Session};
use crate::server::clients::ops::{Body, Job, JobOutcome, OpAnswer, RunningJob};
use crate::server::messages::failure::{self, PossibleEffect};

/// The request, the answer and the events of one connection that wait for room in the budget.
#[derive(Default)]
pub(super) struct BudgetWaiting {
    pub(super) request: Option<Unbegun>,
    pub(super) answer: Option<Unwritten<(Tag, JobOutcome)>>,
    pub(super) events: Option<Unwritten<Pulled>>,
}

/// A request that is understood.
pub(super) struct Unbegun {
    pub(super) tag: Tag,
    pub(super) job: Job,
    /// Its length.
    pub(super) bytes: usize,
}

/// What was encoded once, to learn its length, and then taken back for lack of room.
pub(super) struct Unwritten<T> {
    pub(super) what: T,
    pub(super) bytes: usize,
}

impl BudgetWaiting {
    /// Whether nothing may be added to what waits to be sent.
    pub(super) fn holds_answers(&self) -> bool {
        self.answer.is_some() || self.events.is_some()
    }

    /// Whether a request is not answered.
    pub(super) fn holds_requests(&self) -> bool {
        self.request.is_some() || self.answer.is_some()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Whether there are requests without an answer.
    pub(super) fn has_requests(&self) -> bool {
        self.work.len() > 0 || self.order.waiting() > 0 || self.waiting.holds_requests()
    }

    /// Whether answers and events may be added to what waits to be sent.
    pub(super) fn may_answer(&self) -> bool {
        !self.outbox.is_full() && !self.waiting.holds_answers()
    }

    /// Begins the request that has waited for room, if there is room; `true` if it has begun.
    pub(super) fn begin_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase == Phase::Flushing {
            return false;
        }
        let Some(unbegun) = self.waiting.request.take() else {
            return false;
        };
        let bytes = self.held_bytes() + unbegun.tag.bytes;
        if !self.make_room(cx, bytes) {
            self.waiting.request = Some(unbegun);
            return false;
        }
        self.take_up(unbegun.tag, unbegun.job);
        true
    }

    /// Writes the answers of finished requests, and begins the requests that have waited for them.
    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut again = self.answer_waiting(cx);
        while self.phase != Phase::Flushing && self.may_answer() {
            let Poll::Ready((tag, outcome)) = self.work.poll_done(cx) else {
                break;
            };
            self.order.release(&tag.claim);
            self.answer_if_room(cx, tag, outcome);
            again = true;
        }
        if again {
            self.begin_ready();
        }
        again
    }

    /// Encodes with `write`. If `has_room` finds that the connection cannot hold all of it, takes the encoded bytes
    /// back and returns their length. `reserved` of these bytes are counted already.
    pub(super) fn encode_if_room<T>(
        &mut self,
        reserved: usize,
        write: impl FnOnce(&mut Self) -> T,
        has_room: impl FnOnce(&mut Self, usize) -> bool,
    ) -> (T, Option<usize>) {
        let before = self.outbox.waiting_bytes();
        let written = write(self);
        let held = self.held_bytes() - reserved;
        if has_room(self, held) {
            return (written, None);
        }
        let bytes = self.outbox.waiting_bytes() - before;
        self.outbox.cut_to(before);
        (written, Some(bytes))
    }

    /// Whether there is room now for what was taken back. `reserved` of its bytes are counted already.
    pub(super) fn has_room_again<T>(
        &mut self,
        cx: &mut Context<'_>,
        unwritten: &Unwritten<T>,
        reserved: usize,
    ) -> bool {
        let bytes = self.held_bytes() + unwritten.bytes.saturating_sub(reserved);
        self.make_room(cx, bytes)
    }

    fn answer_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase == Phase::Flushing {
            return false;
        }
        let Some(unwritten) = self.waiting.answer.take() else {
            return false;
        };
        let reserved = unwritten.what.0.bytes;
        if !self.has_room_again(cx, &unwritten, reserved) {
            self.waiting.answer = Some(unwritten);
            return false;
        }
        let (tag, outcome) = unwritten.what;
        self.answer_if_room(cx, tag, outcome);
        true
    }

    fn answer_if_room(&mut self, cx: &mut Context<'_>, tag: Tag, outcome: JobOutcome) {
        let Some((outcome, bytes)) = self.try_answer(&tag, outcome, |session, held| {
            session.has_room(held) || session.make_room(cx, held)
        }) else {
            return;
        };
        let what = (tag, outcome);
        self.waiting.answer = Some(Unwritten { what, bytes });
    }

    /// Answers a request that was done at once. If the answer has to wait, the session takes nothing more, and leaves
    /// what was begun before to [`Self::poll_work`].
    pub(super) fn answer_at_once(&mut self, tag: Tag, outcome: JobOutcome) {
        if self.waiting.holds_answers() {
            self.order.hold(&tag.claim);
            let done = RunningJob::boxed(std::future::ready(outcome));
            return self.work.push(tag, done);
        }
        let held = self.try_answer(&tag, outcome, |session, held| session.has_room(held));
        if let Some((outcome, bytes)) = held {
            let what = (tag, outcome);
            self.waiting.answer = Some(Unwritten { what, bytes });
        }
    }

    /// Writes an answer. If `has_room` finds that the connection cannot hold so many bytes, takes the answer back and
    /// returns it with its length; `None`: it is written.
    fn try_answer(
        &mut self,
        tag: &Tag,
        outcome: JobOutcome,
        has_room: impl FnOnce(&mut Self, usize) -> bool,
    ) -> Option<(JobOutcome, usize)> {
        let answer = match outcome {
            Ok(OpAnswer {
                body: Body::Watch(watching),
                ..
            }) => {
                self.watch(&tag.id, *watching);
                self.done_with(tag);
                return None;
            }
            Ok(answer) => answer,
            Err(error) => {
                self.refuse_tagged(tag, error);
                return None;
            }
        };
        // The expected size of the answer has been counted with the request.
        let write = |session: &mut Self| session.write_answer(tag, answer);
        let ((answer, failed), unwritten) = self.encode_if_room(tag.bytes, write, has_room);
        if let Some(bytes) = unwritten {
            return Some((Ok(answer), bytes));
        }
        if let Body::Items(items) = &answer.body {
            let refused = items.iter().filter_map(|item| item.outcome.as_ref().err());
            self.count_refusals(refused.map(|error| &error.code));
        }
        if let Some(records) = &tag.records {
            records.answered(match &failed {
                None => Ok(&answer.body),
                Some(code) => Err(code),
            });
        }
        if let Some(code) = failed {
            self.count_error(&code);
            tag.failed(&code);
        }
        self.done_with(tag);
        None
    }

    fn write_answer(&mut self, tag: &Tag, mut answer: OpAnswer) -> (OpAnswer, Option<Code>) {
        if !self.outbox.cluster() {
            answer.body.for_legacy();
        }
        if !self.outbox.lifecycle() {
            answer.body.hide_tried();
        }
        let body = &answer.body;
        let offset = answer.wal_offset;
        let too_long = |why: &dyn Display| body.too_long(why, tag.effect, offset);
        let written = self.outbox.answer(
            &tag.id,
            (offset, tag.trace_id()),
            |out| body.write(out),
            too_long,
        );
        (answer, written.err())
    }

    /// Answers a request with an error.
    pub(super) fn refuse_tagged(&mut self, tag: &Tag, error: ErrorBody) {
        tag.failed(&error.code);
        self.done_with(tag);
        match &tag.records {
            Some(records) => {
                self.count_refusals(std::iter::once(&error.code));
                records.answered(Err(&error.code));
            }
            None => self.note_refusal(&tag.id, tag.op, &error),
        }
        self.count_error(&error.code);
        self.outbox.error(&tag.id, error, tag.trace_id());
    }

    fn done_with(&mut self, tag: &Tag) {
        self.buffers.answered(tag);
        self.shared.metrics.answered(tag.op, self.now - tag.began);
        if let Some(trace) = &tag.trace {
            trace.end();
        }
    }

    /// Gives up what waits, because it is not for the client of the new token.
    pub(super) fn give_up_waiting(&mut self) {
        self.waiting.events = None;
        if let Some(Unwritten { what: (tag, _), .. }) = self.waiting.answer.take() {
            self.refuse_tagged(&tag, failure::other_bearer(tag.effect));
        }
        if let Some(Unbegun { tag, .. }) = self.waiting.request.take() {
            self.buffers.count(&tag);
            self.refuse_tagged(&tag, failure::other_bearer(PossibleEffect::None));
        }
    }
}
