//! Decided commands that wait for the log, or for the facts they were decided upon; in the order of the decisions.

use std::collections::VecDeque;

use rstmdb_engine::Reply;

use super::queue::IN_FLIGHT_MAX;
use super::request::Request;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::types::Types;

/// Bytes of entries in flight, above which nothing more is decided. Each has its context a second time in the answer
/// that waits for it.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of entries in flight above which no costly command is prepared: others wait for the disk behind them.
const BYTES_MAX_FOR_COSTLY: usize = 6 << 20;

/// A decided command.
pub(crate) enum Decided<T: Types> {
    /// Its entry was handed to Raft.
    Write {
        request: Request<T>,
        reply: Reply,
        bytes: usize,
    },
    /// None of it goes through the log.
    Answer {
        request: Request<T>,
        result: Result<Done, Error>,
    },
}

/// See the module documentation.
pub(crate) struct InFlight<T: Types> {
    queue: VecDeque<Decided<T>>,
    bytes: usize,
}

impl<T: Types> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether more may be decided.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < IN_FLIGHT_MAX && self.bytes < BYTES_MAX
    }

    /// Whether a costly command may be prepared.
    pub(crate) fn has_room_for_costly(&self) -> bool {
        self.bytes < BYTES_MAX_FOR_COSTLY
    }

    pub(crate) fn push_write(&mut self, request: Request<T>, reply: Reply, bytes: usize) {
        self.bytes += bytes;
        self.queue.push_back(Decided::Write {
            request,
            reply,
            bytes,
        });
    }

    pub(crate) fn push_answer(&mut self, request: Request<T>, result: Result<Done, Error>) {
        self.queue.push_back(Decided::Answer { request, result });
    }

    /// Takes the oldest, if its answer rests on nothing that is still in flight.
    pub(crate) fn pop_answer(&mut self) -> Option<(Request<T>, Result<Done, Error>)> {
        let answer = |decided: &mut Decided<T>| matches!(decided, Decided::Answer { .. });
        match self.queue.pop_front_if(answer)? {
            Decided::Answer { request, result } => Some((request, result)),
            Decided::Write { .. } => None,
        }
    }

    /// Takes the oldest, if it is a write.
    pub(crate) fn pop_write(&mut self) -> Option<(Request<T>, Reply)> {
        let write = |decided: &mut Decided<T>| matches!(decided, Decided::Write { .. });
        match self.queue.pop_front_if(write)? {
            Decided::Write {
                request,
                reply,
                bytes,
            } => {
                self.bytes -= bytes;
                Some((request, reply))
            }
            Decided::Answer { .. } => None,
        }
    }

    /// Takes all.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Decided<T>> {
        self.bytes = 0;
        std::mem::take(&mut self.queue).into_iter()
    }
}
