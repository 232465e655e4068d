//! What the connection holds in memory, and what it may add while all connections together hold too much.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rstmdb_engine::Command;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;

use super::work::Tag;
use super::{Phase, READ_BYTES, Session};
use crate::server::budget::{Charge, GRAIN_BYTES};
use crate::server::ops::Job;

/// While the budget is used up, a frame has so long to be completed once it is its turn, and answers to be read.
pub(super) const STALL_MAX: Duration = Duration::from_secs(10);

/// Reading that is held back looks again after so long: what others give up wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Requests of one connection in work or waiting, with the answers to be expected: above so many bytes the socket is
/// not read.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// The connection's part of the budget.
pub(super) struct Buffers {
    charge: Charge,
    /// Bytes of the requests in work or waiting, and of the answers that they will have.
    queued_bytes: usize,
    /// The most of one of these.
    largest_bytes: usize,
    /// Nothing is read, because all connections together hold too much.
    held_back: bool,
    /// A request was taken from a large allocation. What is left of it in `received` keeps it whole, and its capacity
    /// tells of the rest alone.
    was_large: bool,
    waits_for_turn: Option<PollSemaphore>,
    turn: Option<(OwnedSemaphorePermit, Instant)>,
}

impl Buffers {
    pub(super) fn new(charge: Charge) -> Self {
        Self {
            charge,
            queued_bytes: 0,
            largest_bytes: 0,
            held_back: false,
            was_large: false,
            waits_for_turn: None,
            turn: None,
        }
    }

    /// A request is no longer in work, nor waiting.
    pub(super) fn answered(&mut self, tag: &Tag) {
        self.queued_bytes -= tag.bytes;
        if tag.bytes >= self.largest_bytes {
            self.largest_bytes = 0;
        }
    }

    /// A request was taken from the front of so many bytes of memory.
    pub(super) fn took_from(&mut self, capacity: usize) {
        self.was_large |= capacity as u64 > GRAIN_BYTES;
    }

    /// Whether the requests there are have to be answered before more are taken.
    pub(super) fn has_enough(&self) -> bool {
        self.queued_bytes >= QUEUED_BYTES_MAX
    }

    /// Since when it is this connection's turn.
    pub(super) fn turn_since(&self) -> Option<Instant> {
        self.turn.as_ref().map(|(_, since)| *since)
    }

    fn give_up_turn(&mut self) {
        self.waits_for_turn = None;
        self.turn = None;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn is_at_rest(&self) -> bool {
        self.work.len() == 0 && self.order.waiting() == 0 && self.outbox.is_empty()
    }

    /// Counts a request of `bytes`; gives what it counts for. An event answers with the context, and so may take far
    /// more than its request: as much as the context has now, or as what is still to be done may make of it.
    pub(super) fn count_request(&mut self, job: &Job, bytes: usize) -> usize {
        let largest = self.buffers.largest_bytes;
        let answer = match job {
            Job::Write(Command::ApplyEvent(event)) => {
                let context = self.shared.replica.context_bytes(&event.instance_id);
                context.map_or(largest, |context| context.max(largest))
            }
            _ => 0,
        };
        self.buffers.largest_bytes = largest.max(bytes).max(answer);
        self.buffers.queued_bytes += bytes + answer;
        bytes + answer
    }

    /// Whether answers and events may be added to what waits to be sent.
    pub(super) fn may_answer(&self) -> bool {
        !self.outbox.is_full() && (self.outbox.is_empty() || !self.shared.budget.is_over())
    }

    /// Whether more may be read. Where it may not, it is looked again soon.
    pub(super) fn may_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let may = self.has_room_to_receive(cx);
        self.buffers.held_back = !may;
        if !may {
            self.arm(self.now + LOOK_AGAIN);
        }
        may
    }

    fn has_room_to_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let budget = &self.shared.budget;
        if !budget.is_over() {
            self.buffers.give_up_turn();
            return true;
        }
        if (self.received.len() as u64) < GRAIN_BYTES {
            // Its own work or the client's reading goes on first.
            return self.is_at_rest();
        }
        if self.buffers.turn.is_some() {
            return true;
        }
        if !self.buffers.held_back && self.last_received + STALL_MAX <= self.now {
            // It could be read all the time. Reading once more tells whether it stands still.
            return true;
        }
        let turns = self
            .buffers
            .waits_for_turn
            .get_or_insert_with(|| PollSemaphore::new(budget.turn()));
        let Poll::Ready(permit) = turns.poll_acquire(cx) else {
            return false;
        };
        self.buffers.waits_for_turn = None;
        self.buffers.turn = permit.map(|permit| (permit, self.now));
        self.arm(self.now + STALL_MAX);
        true
    }

    /// When reading that is held back is to be looked at.
    pub(super) fn looks_again_at(&self) -> Option<Instant> {
        let held_back = self.buffers.held_back && self.phase == Phase::Open;
        held_back.then(|| self.now + LOOK_AGAIN)
    }

    /// Whether there are so many answers that it matters when the client reads them.
    pub(super) fn holds_answers(&self) -> bool {
        self.outbox.waiting_bytes() as u64 >= GRAIN_BYTES
    }

    /// Whether there is much of a frame, and only the client can go on with it: who waits for the turn waits rightly.
    pub(super) fn holds_a_frame(&self) -> bool {
        let reads = self.phase == Phase::Open && !self.is_busy() && !self.buffers.held_back;
        reads && self.received.len() as u64 >= GRAIN_BYTES
    }

    /// Whether the connection holds what others wait for, and does not go on.
    pub(super) fn is_stalled(&self) -> bool {
        let frame = match self.buffers.turn_since() {
            Some(since) => Some(since),
            None => self.holds_a_frame().then_some(self.last_received),
        };
        let answers = self.holds_answers().then_some(self.last_sent);
        let mut since = [frame, answers].into_iter().flatten();
        self.shared.budget.is_over() && since.any(|since| since + STALL_MAX <= self.now)
    }

    /// When that is to be looked at.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        let has_turn = self.buffers.turn_since().is_some();
        let waits = has_turn || self.holds_answers() || self.holds_a_frame();
        waits.then(|| self.now + STALL_MAX)
    }

    /// Gives back memory that is not needed now, and counts the rest.
    pub(super) fn tidy_buffers(&mut self) {
        if self.received.is_empty() && (self.is_at_rest() || self.received.capacity() > READ_BYTES)
        {
            self.received = BytesMut::new();
            self.buffers.was_large = false;
        }
        if self.buffers.was_large && (self.received.len() as u64) < GRAIN_BYTES {
            self.received = BytesMut::from(&self.received[..]);
            self.buffers.was_large = false;
        }
        if self.is_at_rest() {
            self.outbox.give_back();
        }
        let reads = self.phase == Phase::Open && !self.is_busy();
        if !reads || (self.received.len() as u64) < GRAIN_BYTES {
            self.buffers.give_up_turn();
        }
        let held = self.received.capacity() + self.outbox.capacity() + self.buffers.queued_bytes;
        self.buffers.charge.set(held as u64);
    }
}
