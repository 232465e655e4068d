//! What the connection holds in memory: a frame that is being read, requests in work, answers that the client has not
//! read. The connection reserves it in the budget of all connections before it holds it.
//!
//! While other connections wait for the budget, a connection that holds much for its client may not stand still. The
//! node closes it when the client has not moved a byte for [`STALL_MAX`]. The node also closes it when a frame, or the
//! answers that it sends, take the client longer than twice that and a second for each MiB.

use std::task::Context;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rstmdb_engine::{AskedPart, BatchOp, Command};
use rstmdb_rcp::PAYLOAD_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite};

use super::work::Tag;
use super::{Phase, READ_BYTES, Session};
use crate::server::clients::budget::{GRAIN_BYTES, ReservedRoom};
use crate::server::clients::ops::{Job, PAGE_BYTES};

/// One connection's part of the budget of all connections.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(5);
/// Bytes a second that a client has to send, or to read, while other connections wait for the budget.
const RATE_MIN: usize = 1 << 20;
/// Interval between checks whether other connections wait, for a connection that holds much.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Requests of one connection in work or waiting, with the answers to be expected: above this many bytes the node does
/// not read the socket.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// The connection's part of the budget.
pub(super) struct Buffers {
    room: ReservedRoom,
    /// Bytes of the requests in work or waiting, and of the answers that they will have.
    queued_bytes: usize,
    /// The most that one of these requests, or one context that they change, has.
    largest_bytes: usize,
    /// The most that `received` has held since its memory was allocated.
    received_bytes: usize,
    frame: LargeFrame,
    unread: Option<Unread>,
    /// The session asked for room in this turn, and there was none.
    refused: bool,
}

/// The large frame that is being read.
struct LargeFrame {
    /// What was reserved for it; 0 without one.
    bytes: usize,
    /// Since when the node has been reading it, and when the client last sent some of it.
    since: Instant,
    last: Instant,
    /// The node does not read it at the moment, because it waits for room or is busy with what came before.
    is_paused: bool,
}

/// Answers that the client has not read.
struct Unread {
    since: Instant,
    /// How many bytes there were then, and how many of these there are still.
    bytes: usize,
    left: usize,
}

impl Buffers {
    pub(super) fn new(room: ReservedRoom, now: Instant) -> Self {
        Self {
            room,
            queued_bytes: 0,
            largest_bytes: 0,
            received_bytes: 0,
            frame: LargeFrame {
                bytes: 0,
                since: now,
                last: now,
                is_paused: false,
            },
            unread: None,
            refused: false,
        }
    }

    /// A request is in work, or waits.
    pub(super) fn count(&mut self, tag: &Tag) {
        self.queued_bytes += tag.bytes;
        self.largest_bytes = self.largest_bytes.max(tag.largest_bytes);
    }

    /// A request is no longer in work, nor waiting.
    pub(super) fn answered(&mut self, tag: &Tag) {
        self.queued_bytes -= tag.bytes;
        if tag.largest_bytes >= self.largest_bytes || self.queued_bytes == 0 {
            self.largest_bytes = 0;
        }
    }

    /// Whether the requests there are have to be answered before more are taken.
    pub(super) fn has_enough(&self) -> bool {
        self.queued_bytes >= QUEUED_BYTES_MAX
    }

    /// The room that the turn before asked for may no longer be needed.
    pub(super) fn begin_turn(&mut self) {
        self.refused = false;
    }
}

/// When the node gives up a client. The client has been sending, or reading, `bytes` since `since`, and has moved the
/// last byte at `last`. Other connections have been waiting since `pressed`.
pub(crate) fn given_up_at(
    pressed: Instant,
    since: Instant,
    last: Instant,
    bytes: usize,
) -> Instant {
    let rate = Duration::from_secs((bytes / RATE_MIN) as u64);
    let stands_still = last.max(pressed) + STALL_MAX;
    let takes_long = since.max(pressed) + 2 * STALL_MAX + rate;
    stands_still.min(takes_long)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn is_at_rest(&self) -> bool {
        !self.has_requests() && self.outbox.is_empty()
    }

    /// Bytes of memory that the connection holds, but for what it is to reserve next.
    pub(super) fn held_bytes(&self) -> usize {
        let buffers = &self.buffers;
        let received = buffers.received_bytes.max(buffers.frame.bytes);
        let unbegun = self.waiting.request.as_ref();
        received
            + unbegun.map_or(0, |unbegun| unbegun.bytes)
            + self.outbox.touched_bytes()
            + buffers.queued_bytes
    }

    /// Whether `bytes` in all are reserved.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.buffers.room.covers(bytes)
    }

    /// Reserves what is missing of `bytes` in all, for an answer or for a request that was received; see
    /// [`ReservedRoom::reserve`].
    pub(super) fn make_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> bool {
        let has_room = self.buffers.room.reserve(cx, bytes, true);
        self.buffers.refused |= !has_room;
        has_room
    }

    /// What a request of `bytes` counts for, and the most that the request or one context of it has. An event is
    /// answered with the context, and so may take far more than its request: the present size of the context, or the
    /// size that the requests in work may give it. A definition has memory of its own beside the text of its request.
    pub(super) fn expected_bytes(&self, job: &Job, bytes: usize) -> (usize, usize) {
        let mut largest = self.buffers.largest_bytes.max(bytes);
        let (mut answer, mut definitions) = (0, 0);
        let mut count = |command: &Command| match command {
            Command::ApplyEvent(event) => {
                let context = self.shared.replica.context_bytes(&event.instance_id);
                largest = largest.max(context.unwrap_or(0));
                answer += context.unwrap_or(0).max(self.buffers.largest_bytes);
            }
            Command::PutMachine(put) => definitions += put.definition.len(),
            _ => {}
        };
        match job {
            Job::Write(submission, _) => match &submission.command {
                Command::Batch(ops) => {
                    for op in ops {
                        if let BatchOp::Write(command) = op {
                            count(command);
                        }
                    }
                }
                Command::DryRun(asked) => asked.parts().for_each(|part| {
                    if let AskedPart::Write(command) = part {
                        count(command);
                    }
                }),
                command => count(command),
            },
            Job::BestEffort(steps) => {
                for step in steps {
                    if let Ok(Job::Write(submission, _)) = step {
                        count(&submission.command);
                    }
                }
            }
            Job::LogRead(_) | Job::Ancestors(_) | Job::Backup(_) | Job::Audit(_) => {
                answer = PAGE_BYTES;
            }
            _ => {}
        }
        // No answer is longer than a frame may be.
        (bytes + definitions + answer.min(PAYLOAD_BYTES_MAX), largest)
    }

    /// Whether more may be read: what the frame at the front will take is reserved before it is read.
    pub(super) fn may_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let announced = self.decoder.announced_bytes(&self.received, READ_BYTES);
        let frame_bytes = if announced < GRAIN_BYTES {
            0
        } else {
            announced
        };
        let held = self.buffers.received_bytes.max(self.buffers.frame.bytes);
        let bytes = self.held_bytes() + frame_bytes.saturating_sub(held);
        if !self.buffers.room.reserve(cx, bytes, false) {
            self.buffers.refused = true;
            return false;
        }
        let frame = &mut self.buffers.frame;
        if frame_bytes > 0 && frame.bytes == 0 {
            (frame.since, frame.last) = (self.now, self.now);
        }
        frame.bytes = frame_bytes;
        true
    }

    /// How much may be read at once: what is reserved, and no more of what follows it than usual.
    pub(super) fn receivable_bytes(&self) -> usize {
        let frame = self.buffers.frame.bytes;
        frame.saturating_sub(self.received.len()).max(READ_BYTES)
    }

    /// Something was read.
    pub(super) fn count_received(&mut self) {
        self.last_received = self.now;
        self.buffers.frame.last = self.now;
        let bytes = self.received.len();
        self.buffers.received_bytes = self.buffers.received_bytes.max(bytes);
    }

    /// A message was taken from the front of what was received. After a large one, what follows it moves to memory of
    /// its own.
    pub(super) fn took_message(&mut self) {
        if self.buffers.frame.bytes > 0 {
            self.buffers.frame.bytes = 0;
            self.keep_only_received();
        }
    }

    fn keep_only_received(&mut self) {
        self.received = BytesMut::from(&self.received[..]);
        self.buffers.received_bytes = self.received.len();
    }

    /// Whether the client has to go on before the connection can give back much: with a frame, or with answers.
    fn waits_for_client(&self) -> bool {
        self.reads_a_frame() || self.buffers.unread.is_some()
    }

    fn reads_a_frame(&self) -> bool {
        self.buffers.frame.bytes > 0 && !self.buffers.frame.is_paused
    }

    /// When the connection is to be closed because others wait for what it holds; before that, when this is to be
    /// checked again.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        if !self.waits_for_client() {
            return None;
        }
        let buffers = &self.buffers;
        let Some(pressed) = self.shared.budget.pressed_since() else {
            return Some(self.now + LOOK_INTERVAL);
        };
        let frame = self.reads_a_frame().then(|| {
            let frame = &buffers.frame;
            given_up_at(pressed, frame.since, frame.last, frame.bytes)
        });
        let unread = buffers.unread.as_ref();
        let answers =
            unread.map(|unread| given_up_at(pressed, unread.since, self.last_sent, unread.bytes));
        [frame, answers].into_iter().flatten().min()
    }

    /// Whether others wait for what the connection holds, and its client does not go on.
    pub(super) fn is_stalled(&self) -> bool {
        self.shared.budget.is_pressed() && self.stalled_at().is_some_and(|at| at <= self.now)
    }

    /// The client has read `sent` bytes of what waited for it.
    pub(super) fn note_unread(&mut self, sent: usize) {
        let waiting = self.outbox.waiting_bytes();
        let left = self.buffers.unread.as_ref().map_or(0, |unread| unread.left);
        if waiting < GRAIN_BYTES {
            self.buffers.unread = None;
        } else if left > sent {
            self.buffers
                .unread
                .iter_mut()
                .for_each(|unread| unread.left -= sent);
        } else {
            self.buffers.unread = Some(Unread {
                since: self.now,
                bytes: waiting,
                left: waiting,
            });
        }
    }

    /// Gives the client its time anew when the node goes on reading a frame.
    fn note_pause(&mut self) {
        let is_paused = self.buffers.refused || self.phase != Phase::Open || self.is_busy();
        let frame = &mut self.buffers.frame;
        if frame.is_paused && !is_paused {
            (frame.since, frame.last) = (self.now, self.now);
        }
        frame.is_paused = is_paused;
    }

    /// Gives back memory that is not needed now, and the bytes reserved for it.
    pub(super) fn tidy_buffers(&mut self) {
        if !self.buffers.refused {
            self.buffers.room.stop_waiting();
        }
        self.note_pause();
        let at_rest = self.is_at_rest();
        if self.received.is_empty() && (at_rest || self.buffers.received_bytes > READ_BYTES) {
            self.received = BytesMut::new();
            self.buffers.received_bytes = 0;
        } else if self.buffers.frame.bytes == 0
            && self.buffers.received_bytes > 4 * self.received.len().max(GRAIN_BYTES)
        {
            self.keep_only_received();
        }
        self.outbox.give_back(at_rest);
        if self.waits_for_client() {
            self.arm(self.now + LOOK_INTERVAL);
        }
        let bytes = self.held_bytes();
        self.buffers.room.settle(bytes, !at_rest);
        self.check_buffers();
    }

    /// What must hold at the end of each turn, for anything that the client sends.
    fn check_buffers(&self) {
        let buffers = &self.buffers;
        debug_assert!(
            self.received.len() <= buffers.received_bytes,
            "more was received than was counted"
        );
        debug_assert!(
            self.has_requests() || buffers.queued_bytes == 0,
            "bytes are counted for requests that were answered"
        );
        debug_assert!(
            buffers
                .unread
                .as_ref()
                .is_none_or(|unread| unread.left <= unread.bytes),
            "more is unread than there was"
        );
    }
}
