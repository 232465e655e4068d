//! Decided commands that wait for the log, or for the facts they were decided upon; in the order of the decisions.

use std::collections::VecDeque;

use rstmdb_engine::Reply;

use super::queue::IN_FLIGHT_MAX;
use super::request::Request;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::invariants::{BrokenInvariant, ensure};
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
        /// The index that was predicted for its entry.
        offset: u64,
    },
    /// None of it goes through the log.
    Answer {
        request: Request<T>,
        result: Result<Done, Error>,
    },
}

/// The decided commands that are not answered yet, in the order of their decisions.
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

    /// The bytes of all entries in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The index that was predicted for the oldest entry in flight.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.writes().map(|(offset, _)| offset).next()
    }

    /// Checks that the entries in flight are predicted one behind the other, up to `next_offset`, and counted.
    pub(crate) fn check_invariants(&self, next_offset: u64) -> Result<(), BrokenInvariant> {
        let offsets: Vec<u64> = self.writes().map(|(offset, _)| offset).collect();
        let first = next_offset.checked_sub(offsets.len() as u64);
        let is_right = first.is_some_and(|first| offsets.iter().copied().eq(first..next_offset));
        ensure(is_right, || {
            format!("entries are predicted at {offsets:?}, the next one at {next_offset}")
        })?;
        let sum: usize = self.writes().map(|(_, bytes)| bytes).sum();
        let bytes = self.bytes;
        ensure(bytes == sum, || {
            format!("the entries in flight have {sum} bytes and count {bytes}")
        })
    }

    fn writes(&self) -> impl Iterator<Item = (u64, usize)> {
        self.queue.iter().filter_map(|decided| match decided {
            Decided::Write { offset, bytes, .. } => Some((*offset, *bytes)),
            Decided::Answer { .. } => None,
        })
    }

    /// Adds a write whose entry has these bytes and is predicted at this index.
    pub(crate) fn push_write(
        &mut self,
        request: Request<T>,
        reply: Reply,
        bytes: usize,
        offset: u64,
    ) {
        self.bytes += bytes;
        self.queue.push_back(Decided::Write {
            request,
            reply,
            bytes,
            offset,
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

    /// Takes the oldest, if it is a write, with the index that was predicted for it.
    pub(crate) fn pop_write(&mut self) -> Option<(Request<T>, Reply, u64)> {
        let write = |decided: &mut Decided<T>| matches!(decided, Decided::Write { .. });
        match self.queue.pop_front_if(write)? {
            Decided::Write {
                request,
                reply,
                bytes,
                offset,
            } => {
                self.bytes -= bytes;
                Some((request, reply, offset))
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

#[cfg(test)]
mod tests {

    use openraft::type_config::TypeConfigExt;
    use rstmdb_engine::Command;
    use tokio::sync::oneshot;

    use super::*;
    use crate::replica::parts::answer::AnswerTo;
    use crate::replica::peers::calls::ClientRequest;
    use crate::replica::types::tests::TestTypes;
    use crate::replica::write::request::RequestSource;

    fn request() -> Request<TestTypes> {
        Request {
            command: Command::FlushAll,
            meta: None,
            cause: None,
            caller: "test".into(),
            answer: AnswerTo::new(oneshot::channel().0),
            deadline: TestTypes::now(),
            source: RequestSource::Client(ClientRequest::default()),
            trace: None,
        }
    }

    #[test]
    fn offsets_follow_each_other_up_to_the_next_one() {
        let reply = Reply::Batch(Vec::new());
        let mut in_flight = InFlight::new();
        in_flight.push_write(request(), reply.clone(), 10, 5);
        in_flight.push_answer(request(), Err(Error::NoLeader));
        in_flight.push_write(request(), reply.clone(), 20, 6);
        assert_eq!(in_flight.check_invariants(7), Ok(()));
        assert!(in_flight.check_invariants(8).is_err());
        let oldest = in_flight.pop_write().map(|(_, _, offset)| offset);
        assert_eq!((oldest, in_flight.first_offset()), (Some(5), Some(6)));
        assert_eq!(in_flight.check_invariants(7), Ok(()));
        in_flight.push_write(request(), reply, 30, 6);
        assert!(in_flight.check_invariants(7).is_err());
        drop(in_flight.drain());
        assert_eq!(in_flight.check_invariants(7), Ok(()));
        in_flight.bytes += 1;
        assert!(in_flight.check_invariants(7).is_err());
    }
}
