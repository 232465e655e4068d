//! Messages of other nodes: the node reads only as much of them as the sender's share allows.
//!
//! A message that does not come in one piece takes its length from the share before the rest of it is read, and gives
//! it back when it is complete. If no byte of a message comes for a while, the node gives it up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::{Body as _, Frame};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, SleepOf};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;

use super::shares::{Share, Shares};
use crate::replica::Types;
use crate::server::peer::RAFT_MESSAGE_BYTES_MAX;

/// The largest message of forwarded commands that is taken: a client's largest request, with room.
pub(crate) const FORWARD_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The largest message of all calls that never need a large one, a vote or a heartbeat for example.
pub(crate) const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// The node gives up an unfinished message when no byte of it comes within this time.
const STILL_TIMEOUT: Duration = Duration::from_secs(10);
/// What gRPC puts before each message: a flag, and the length.
const HEAD_BYTES: usize = 5;

/// Reads the messages of a request as the sender's share allows.
pub(crate) fn meter<T: Types>(
    shares: &Shares,
    sender: Option<u64>,
    request: Request<Body>,
) -> Request<Body> {
    let call = MeteredCall::at(request.uri().path());
    let share = shares.of(sender);
    request.map(|body| Body::new(Metered::<T>::new(body, share, call)))
}

/// The limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MeteredCall {
    message_bytes_max: usize,
    is_raft: bool,
}

impl MeteredCall {
    fn at(path: &str) -> Self {
        let message_bytes_max = match path {
            "/rstmdb.peer.v1.Node/Forward" => FORWARD_BYTES_MAX,
            "/rstmdb.peer.v1.Raft/StreamAppend" | "/rstmdb.peer.v1.Raft/Snapshot" => {
                RAFT_MESSAGE_BYTES_MAX
            }
            _ => QUESTION_BYTES_MAX,
        };
        let is_snapshot = path.ends_with("/Snapshot");
        Self {
            message_bytes_max,
            is_raft: path.starts_with("/rstmdb.peer.v1.Raft/") && !is_snapshot,
        }
    }
}

/// The body of a request: the node reads only as much of it as the share allows.
struct Metered<T: Types> {
    body: Body,
    share: Arc<Share>,
    call: MeteredCall,
    /// Read, and not passed on.
    rest: Bytes,
    /// What the present message lacks, its head included.
    missing: usize,
    /// Waits for the share.
    wanted: Option<BoxFuture<'static, Result<OwnedSemaphorePermit, Status>>>,
    /// The length of the present message, where that came in pieces.
    held: Option<OwnedSemaphorePermit>,
    /// When the last byte of such a message came.
    moved: InstantOf<T>,
    /// Runs out when that was too long ago. Runs only while the node waits for such a message.
    late: Option<Pin<Box<SleepOf<T>>>>,
}

impl<T: Types> Metered<T> {
    fn new(body: Body, share: Arc<Share>, call: MeteredCall) -> Self {
        Self {
            body,
            share,
            call,
            rest: Bytes::new(),
            missing: 0,
            wanted: None,
            held: None,
            moved: T::now(),
            late: None,
        }
    }

    /// Begins with the message whose head is here.
    fn begin(&mut self) -> Result<(), Status> {
        let mut head = &self.rest[1..HEAD_BYTES];
        let bytes = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
        let bytes_max = self.call.message_bytes_max;
        if bytes > bytes_max {
            return Err(Status::out_of_range(format!(
                "a message of {bytes} bytes is too large: this call takes at most {bytes_max}"
            )));
        }
        self.missing = HEAD_BYTES + bytes;
        if self.missing > self.rest.len() {
            let share = match self.call.is_raft {
                true => self.share.raft.clone(),
                false => self.share.other.clone(),
            };
            // At most FORWARD_BYTES_MAX, which is less than a share.
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let wanted = async move { share.acquire_many_owned(permits).await };
            let closed = |_| Status::internal("the share of this node is closed");
            self.wanted = Some(wanted.map(move |permit| permit.map_err(closed)).boxed());
        }
        self.check_invariants();
        Ok(())
    }

    /// The next part of the present message.
    fn part(&mut self) -> Bytes {
        let part = self.rest.split_to(self.missing.min(self.rest.len()));
        self.missing -= part.len();
        if self.missing == 0 {
            self.held = None;
        }
        self.check_invariants();
        part
    }

    /// What must hold between any two steps, for anything that the other node sends.
    fn check_invariants(&self) {
        debug_assert!(
            self.missing > 0 || self.held.is_none(),
            "a message that is whole keeps its part of the share"
        );
        debug_assert!(
            self.wanted.is_none() || self.held.is_none(),
            "a message waits for the share although it has its part"
        );
        self.share.check_invariants();
    }

    fn take_in(&mut self, data: Bytes) {
        self.still_from_now();
        if self.rest.is_empty() {
            self.rest = data;
        } else {
            // A part of a head, whose rest comes now.
            self.rest = [self.rest.as_ref(), data.as_ref()].concat().into();
        }
    }

    fn still_from_now(&mut self) {
        if self.held.is_some() {
            self.moved = T::now();
        }
    }

    /// Whether no byte has come for too long. A byte does not reset the timer, because that would cost more than the
    /// byte. When the timer runs out, it checks when the last byte came.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let end = self.moved + STILL_TIMEOUT;
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(T::sleep_until(end)));
        while late.as_mut().poll(cx).is_ready() {
            if T::now() >= end {
                return true;
            }
            *late = Box::pin(T::sleep_until(end));
        }
        false
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(wanted) = &mut self.wanted {
                let permit = ready!(wanted.poll_unpin(cx))?;
                self.wanted = None;
                self.held = Some(permit);
                self.still_from_now();
            }
            if self.missing > 0 && !self.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(self.part()))));
            }
            if self.missing == 0 && self.rest.len() >= HEAD_BYTES {
                self.begin()?;
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(cx)? {
                Poll::Ready(Some(frame)) => match frame.into_data() {
                    Ok(data) => self.take_in(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(None) if self.rest.is_empty() => return Poll::Ready(None),
                // Less than a head: the decoder refuses it.
                Poll::Ready(None) => {
                    let rest = std::mem::take(&mut self.rest);
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
                Poll::Pending => {
                    if self.held.is_some() && self.is_late(cx) {
                        let still = STILL_TIMEOUT.as_secs();
                        return Poll::Ready(Some(Err(Status::deadline_exceeded(format!(
                            "no byte of an unfinished message came for {still} s"
                        )))));
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T: Types> hyper::body::Body for Metered<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = self.poll_next(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            // The reader of this body may keep it for a while after the error.
            self.held = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::mpsc;
    use tonic::Code;

    use super::super::shares::OTHER_BYTES;
    use super::*;
    use crate::server::product::Product;

    const FORWARD: &str = "/rstmdb.peer.v1.Node/Forward";
    const APPEND: &str = "/rstmdb.peer.v1.Raft/StreamAppend";
    const MIB: usize = 1024 * 1024;

    /// What comes over a connection.
    struct Wire(mpsc::UnboundedReceiver<Vec<u8>>);

    impl hyper::body::Body for Wire {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let came = ready!(self.0.poll_recv(cx));
            Poll::Ready(came.map(|data| Ok(Frame::data(data.into()))))
        }
    }

    /// A call, in the hands of the test at both ends.
    struct Calling {
        wire: mpsc::UnboundedSender<Vec<u8>>,
        body: Body,
    }

    impl Calling {
        fn of(shares: &Shares, sender: Option<u64>, path: &str) -> Self {
            let (wire, coming) = mpsc::unbounded_channel();
            let request = Request::builder().uri(path).body(Body::new(Wire(coming)));
            let body = meter::<Product>(shares, sender, request.unwrap()).into_body();
            Self { wire, body }
        }

        fn send(&self, data: &[u8]) {
            self.wire.send(data.to_vec()).unwrap();
        }

        /// The bytes that are passed on now.
        fn passed(&mut self) -> Vec<u8> {
            let mut passed = Vec::new();
            // Or tokio would take turns after so many polls, as if nothing had come.
            while let Some(frame) = tokio::task::unconstrained(self.frame()).now_or_never() {
                passed.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
            }
            passed
        }

        async fn frame(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
            std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await
        }
    }

    fn head(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap();
        [&[0], length.to_be_bytes().as_slice()].concat()
    }

    #[tokio::test]
    async fn what_comes_is_passed_on_unchanged_however_it_is_cut() {
        let messages = [0, 3, 5, 40].map(|bytes| [head(bytes), vec![7; bytes]].concat());
        let all = messages.concat();
        for size in 1..=all.len() {
            let shares = Shares::default();
            let mut call = Calling::of(&shares, Some(1), FORWARD);
            let mut passed = Vec::new();
            for part in all.chunks(size) {
                call.send(part);
                passed.extend(call.passed());
            }
            assert_eq!(passed, all, "in parts of {size}");
            assert_eq!(shares.held(), (0, 0));
        }
    }

    #[tokio::test]
    async fn an_unfinished_message_waits_until_the_share_has_room_for_all_of_it() {
        let shares = Shares::default();
        let mut calls: Vec<_> = (0..3)
            .map(|_| Calling::of(&shares, Some(1), FORWARD))
            .collect();
        for call in &calls {
            call.send(&head(20 * MIB));
            call.send(&[7; 100]);
        }
        let passed: Vec<_> = calls.iter_mut().map(|call| call.passed().len()).collect();
        assert_eq!(passed, [105, 0, 0]);
        // What the first one leaves is kept for the next in line, and is too little for it.
        assert_eq!(shares.held(), (0, OTHER_BYTES));
        // Neither Raft's messages nor another node's wait for it, nor what comes in one piece.
        for (sender, path, bytes) in [
            (Some(1), APPEND, 2 * MIB),
            (Some(2), FORWARD, 20 * MIB),
            (None, "/rstmdb.peer.v1.Introduction/Hello", 1000),
        ] {
            let mut other = Calling::of(&shares, sender, path);
            other.send(&head(bytes));
            assert_eq!(other.passed().len(), HEAD_BYTES, "{path}");
        }
        let mut whole = Calling::of(&shares, Some(1), FORWARD);
        whole.send(&[head(3), vec![7; 3]].concat());
        assert_eq!(whole.passed().len(), HEAD_BYTES + 3);
        // The next one goes on once the first is whole, the last once the second is given up.
        calls[0].send(&vec![7; 20 * MIB - 100]);
        calls[0].passed();
        assert_eq!(calls[1].passed().len(), 105);
        calls.remove(1);
        assert_eq!(calls[1].passed().len(), 105);
        calls.clear();
        assert_eq!(shares.held(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_stands_still_is_given_up_and_one_that_goes_on_is_not() {
        let shares = Shares::default();
        let mut call = Calling::of(&shares, Some(1), FORWARD);
        call.send(&head(20 * MIB));
        for _ in 0..5 {
            call.passed();
            tokio::time::advance(STILL_TIMEOUT / 2).await;
            call.send(&[7; 100]);
        }
        call.passed();
        let given_up = call.frame().await.unwrap().unwrap_err();
        assert_eq!(given_up.code(), Code::DeadlineExceeded);
        assert_eq!(shares.held(), (0, 0));
    }

    #[tokio::test]
    async fn a_call_takes_no_larger_message_than_it_needs() {
        for (path, bytes_max) in [
            (FORWARD, FORWARD_BYTES_MAX),
            (APPEND, RAFT_MESSAGE_BYTES_MAX),
            ("/rstmdb.peer.v1.Raft/Snapshot", RAFT_MESSAGE_BYTES_MAX),
            ("/rstmdb.peer.v1.Raft/Append", QUESTION_BYTES_MAX),
            ("/rstmdb.peer.v1.Raft/Vote", QUESTION_BYTES_MAX),
            ("/rstmdb.peer.v1.Node/ReadIndex", QUESTION_BYTES_MAX),
        ] {
            for (bytes, is_taken) in [(bytes_max, true), (bytes_max + 1, false)] {
                let mut call = Calling::of(&Shares::default(), Some(1), path);
                call.send(&head(bytes));
                let taken = call.frame().await.unwrap();
                assert_eq!(taken.is_ok(), is_taken, "{path}: {bytes}");
            }
        }
    }

    #[test]
    fn no_message_is_larger_than_the_share_that_it_waits_for() {
        let node = Share::new(Some(1));
        assert!(node.raft.available_permits() >= RAFT_MESSAGE_BYTES_MAX);
        assert!(node.other.available_permits() >= FORWARD_BYTES_MAX + RAFT_MESSAGE_BYTES_MAX);
        let strangers = Share::new(None);
        assert!(strangers.other.available_permits() >= QUESTION_BYTES_MAX);
    }
}
