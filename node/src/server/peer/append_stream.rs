//! Appends in a pipeline: entries go out without waiting for the answers before them.
//!
//! The stream of answers drives both directions. So openraft's stream of requests, which holds a
//! lock while it waits for the next one, ends at once when openraft drops the answers; handed to
//! the transport it would live until the transport found out.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use rstmdb_raft_store::{Entry, Payload};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::connections::{CallError, Lane, Link};
use super::sane::Bounds;
use super::wire;
use crate::server::product::Product;

/// Requests that may be owed an answer; the other side takes as many into its queue.
const OWED_MAX: usize = 64;
/// Bytes of entries that may be owed an answer: they lie in the other side's memory.
const OWED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Requests between this stream and the transport.
const HANDED_OVER_MAX: usize = 2;

type Answer = Result<StreamAppendResult<Product>, RPCError<Product>>;

/// Opens the stream, and gives the answers in the order of the requests.
pub(super) async fn open<'s, S>(
    link: Link,
    lane: Lane,
    input: S,
) -> Result<BoxStream<'s, Answer>, CallError>
where
    S: Stream<Item = AppendEntriesRequest<Product>> + Send + Unpin + 'static,
{
    let (requests, outgoing) = mpsc::channel(HANDED_OVER_MAX);
    let mut client = link.raft(lane)?;
    let request = link.request(ReceiverStream::new(outgoing))?;
    let limit = link.silence_timeout();
    let answers = link.answer(limit, client.stream_append(request)).await?;
    let pipeline = Pipeline {
        silence_timeout: limit,
        link,
        input: Some(input),
        ready: None,
        requests: Some(requests),
        answers,
        owed: VecDeque::new(),
        owed_bytes: 0,
        term: 0,
        quiet_since: Instant::now(),
    };
    let answers = stream::unfold(Some(pipeline), |pipeline| async {
        let mut pipeline = pipeline?;
        match pipeline.next().await? {
            Ok(answer) => {
                // The other side ends the stream after anything but a match.
                let more = answer.is_ok().then_some(pipeline);
                Some((Ok(answer), more))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    });
    Ok(answers.boxed())
}

struct Pipeline<S> {
    link: Link,
    silence_timeout: Duration,
    /// `None` once it has ended.
    input: Option<S>,
    /// The next request, until the transport takes it, with the bytes of its entries.
    ready: Option<(wire::AppendRequest, usize)>,
    /// Dropped when the input has ended: so the other side learns of it.
    requests: Option<mpsc::Sender<wire::AppendRequest>>,
    answers: Streaming<wire::StreamAppendReply>,
    /// The bytes of every request without an answer, in order.
    owed: VecDeque<usize>,
    owed_bytes: usize,
    /// That of the last request.
    term: u64,
    /// When the last answer came, or when the first was owed.
    quiet_since: Instant,
}

enum Step {
    Answer(Result<Option<wire::StreamAppendReply>, tonic::Status>),
    Next(Option<(wire::AppendRequest, usize)>),
    Sent(bool),
    Silence,
}

impl<S> Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<Product>> + Send + Unpin + 'static,
{
    /// The next answer; `None` at the end of both directions.
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Product>, CallError>> {
        loop {
            match self.step().await {
                Step::Answer(Ok(Some(reply))) => return Some(self.answered(reply)),
                Step::Answer(Ok(None)) if self.input.is_none() && self.owed.is_empty() => {
                    return None;
                }
                Step::Answer(Ok(None)) | Step::Sent(false) => {
                    let what = "the other side has ended the stream";
                    return Some(Err(CallError::Unreachable(what.to_owned())));
                }
                Step::Answer(Err(status)) => return Some(Err(self.link.failure(status))),
                Step::Next(Some(request)) => {
                    self.term = request.0.vote.as_ref().map_or(self.term, |vote| vote.term);
                    self.ready = Some(request);
                }
                Step::Next(None) => {
                    self.input = None;
                    self.requests = None;
                }
                Step::Sent(true) => {}
                Step::Silence => return Some(Err(CallError::Timeout(self.silence_timeout))),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let takes_more =
            self.ready.is_none() && self.owed.len() < OWED_MAX && self.owed_bytes < OWED_BYTES_MAX;
        let owes = !self.owed.is_empty();
        let Self {
            input,
            ready,
            requests,
            answers,
            owed,
            owed_bytes,
            quiet_since,
            silence_timeout,
            ..
        } = self;
        let deadline = *quiet_since + *silence_timeout;
        tokio::select! {
            biased;
            answer = answers.message() => Step::Answer(answer),
            taken = hand_over(requests.as_ref(), ready) => {
                if let Some(bytes) = taken {
                    if owed.is_empty() {
                        *quiet_since = Instant::now();
                    }
                    owed.push_back(bytes);
                    *owed_bytes += bytes;
                }
                Step::Sent(taken.is_some())
            }
            request = next_of(input), if takes_more => {
                Step::Next(request.map(|request| {
                    let bytes = size(&request.entries);
                    (request.into(), bytes)
                }))
            }
            () = tokio::time::sleep_until(deadline), if owes => Step::Silence,
        }
    }

    fn answered(
        &mut self,
        reply: wire::StreamAppendReply,
    ) -> Result<StreamAppendResult<Product>, CallError> {
        let Some(bytes) = self.owed.pop_front() else {
            let what = "an answer to nothing that was sent";
            return Err(CallError::Failed(what.to_owned()));
        };
        self.owed_bytes -= bytes;
        self.quiet_since = Instant::now();
        let result: StreamAppendResult<Product> = reply.try_into()?;
        if let Err(StreamAppendError::HigherVote(vote)) = &result {
            Bounds::beyond(self.term).vote(vote)?;
        }
        Ok(result)
    }
}

/// Gives the ready request to the transport when it takes one; the bytes of its entries, or `None`
/// when the transport has stopped taking any. Waits while nothing is ready.
async fn hand_over(
    requests: Option<&mpsc::Sender<wire::AppendRequest>>,
    ready: &mut Option<(wire::AppendRequest, usize)>,
) -> Option<usize> {
    let (Some(requests), true) = (requests, ready.is_some()) else {
        return std::future::pending().await;
    };
    let place = requests.reserve().await.ok()?;
    let (request, bytes) = ready.take()?;
    place.send(request);
    Some(bytes)
}

async fn next_of<S>(input: &mut Option<S>) -> Option<S::Item>
where
    S: Stream + Unpin,
{
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

fn size(entries: &[Entry]) -> usize {
    let data = entries.iter().map(|entry| match &entry.payload {
        Payload::Normal(data) => data.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    });
    data.sum()
}
