//! Appends in a pipeline: entries go out without waiting for the answers before them.
//!
//! The stream of answers drives both directions. openraft's stream of requests holds a lock while it waits for the next
//! request. Driven from here it ends at once when openraft drops the answers; in the hands of the transport it would
//! live until the transport noticed that.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::replica::Types;
use crate::server::peer::codec::append_cut::{self, AppendMessage};
use crate::server::peer::connecting::CallError;
use crate::server::peer::connecting::connections::{ConnectionLane, PeerLink};
use crate::server::peer::sane::TermBounds;
use crate::server::peer::way::pace::Flight;
use crate::server::peer::wire::append_part::Part;
use crate::server::peer::wire::stream_append_reply::Outcome;
use crate::server::peer::{OWED_BYTES_MAX, wire};

/// Appends that may be waiting for an answer.
const OWED_MAX: usize = 256;
/// Messages between this stream and the transport.
const HANDED_OVER_MAX: usize = 2;
/// After everything has arrived, the other side may take this many silence timeouts to answer: its disk is slow, and
/// sending the entries again would not help.
const SLOW_DISK_TIMES: u32 = 5;

type AppendAnswer<T> = Result<StreamAppendResult<T>, RPCError<T>>;

/// Opens the stream, and gives the answers in the order of the requests.
pub(crate) async fn open<'s, T, S>(
    link: PeerLink<T>,
    lane: ConnectionLane,
    input: S,
) -> Result<BoxStream<'s, AppendAnswer<T>>, CallError>
where
    T: Types,
    S: Stream<Item = AppendEntriesRequest<T>> + Send + Unpin + 'static,
{
    let (requests, outgoing) = mpsc::channel(HANDED_OVER_MAX);
    let mut client = link.raft(lane)?;
    let request = link.request(ReceiverStream::new(outgoing))?;
    let limit = link.silence_timeout();
    let answers = link.answer(limit, client.stream_append(request)).await?;
    let pipeline = Pipeline {
        silence_timeout: limit,
        flight: Flight::new(link.path().window.clone(), limit),
        link,
        lane,
        input: Some(input),
        ready: VecDeque::new(),
        requests: Some(requests),
        answers,
        held: HeldPieces::NotYet,
        owed: VecDeque::new(),
        owed_bytes: 0,
        term: 0,
        begun_bytes: 0,
        quiet_since: T::now(),
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

/// What the other side has said at the beginning about the pieces that it holds.
enum HeldPieces {
    NotYet,
    Held(Option<wire::HeldEntry>),
}

/// An append that has no answer yet.
struct OwedAppend {
    bytes: u64,
    /// Where it ends in the flight.
    end: u64,
}

struct Pipeline<T: Types, S> {
    link: PeerLink<T>,
    lane: ConnectionLane,
    silence_timeout: Duration,
    /// `None` once it has ended.
    input: Option<S>,
    /// What brings the next append, until the transport takes it.
    ready: VecDeque<AppendMessage>,
    /// Dropped when the input has ended, which tells the other side.
    requests: Option<mpsc::Sender<wire::AppendPart>>,
    answers: Streaming<wire::StreamAppendReply>,
    held: HeldPieces,
    flight: Flight<T>,
    /// In order.
    owed: VecDeque<OwedAppend>,
    owed_bytes: u64,
    /// Bytes of pieces whose append was not sent yet; they wait for an answer too.
    begun_bytes: u64,
    /// That of the last request.
    term: u64,
    /// When the last answer came or the last byte arrived, or when the first unanswered message was sent.
    quiet_since: InstantOf<T>,
}

// Not generic over the types of the node: rustdoc of Rust 1.95 panics over such an enum.
enum SenderStep<R> {
    Answer(Result<Option<wire::StreamAppendReply>, tonic::Status>),
    Next(Option<R>),
    Sent(Option<SentMessage>),
    Silence,
}

/// A message that the transport has taken.
struct SentMessage {
    bytes: u64,
    /// Whether it is to be answered.
    is_append: bool,
}

impl<T, S> Pipeline<T, S>
where
    T: Types,
    S: Stream<Item = AppendEntriesRequest<T>> + Send + Unpin + 'static,
{
    /// The next answer; `None` at the end of both directions.
    async fn next(&mut self) -> Option<Result<StreamAppendResult<T>, CallError>> {
        loop {
            match self.step().await {
                SenderStep::Answer(Ok(Some(reply))) => {
                    if let Some(answer) = self.answered(reply).transpose() {
                        return Some(answer);
                    }
                }
                SenderStep::Answer(Ok(None)) if self.has_ended() => return None,
                SenderStep::Answer(Ok(None)) | SenderStep::Sent(None) => {
                    let what = "the other side has ended the stream";
                    return Some(Err(CallError::Unreachable(what.to_owned())));
                }
                SenderStep::Answer(Err(status)) => return Some(Err(self.link.failure(status))),
                SenderStep::Next(Some(request)) => self.cut(request),
                SenderStep::Next(None) => self.input = None,
                SenderStep::Sent(Some(sent)) => self.sent(&sent),
                SenderStep::Silence => return Some(Err(self.silence())),
            }
            if self.input.is_none() && self.ready.is_empty() {
                self.requests = None;
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.input.is_none() && self.ready.is_empty() && self.owed.is_empty()
    }

    fn owes(&self) -> bool {
        matches!(self.held, HeldPieces::NotYet)
            || !self.owed.is_empty()
            || !self.flight.has_landed()
    }

    fn patience(&self) -> Duration {
        if self.owed.is_empty()
            || !self.flight.has_landed()
            || matches!(self.held, HeldPieces::NotYet)
        {
            self.silence_timeout
        } else {
            self.silence_timeout * SLOW_DISK_TIMES
        }
    }

    async fn step(&mut self) -> SenderStep<AppendEntriesRequest<T>> {
        let takes_more = self.ready.is_empty()
            && matches!(self.held, HeldPieces::Held(_))
            && self.owed.len() < OWED_MAX
            && self.owed_bytes < OWED_BYTES_MAX as u64;
        let owes = self.owes();
        let deadline = self.quiet_since + self.patience();
        let may_send = self.flight.may_send();
        let Self {
            input,
            ready,
            requests,
            answers,
            ..
        } = self;
        tokio::select! {
            biased;
            answer = answers.message() => SenderStep::Answer(answer),
            sent = hand_over(requests.as_ref(), ready), if may_send => SenderStep::Sent(sent),
            request = next_of(input), if takes_more => SenderStep::Next(request),
            () = T::sleep_until(deadline), if owes => SenderStep::Silence,
        }
    }

    fn cut(&mut self, request: AppendEntriesRequest<T>) {
        self.term = request.vote.leader_id.term;
        let message_bytes = self.link.path().window.message_bytes();
        let held = match &self.held {
            HeldPieces::Held(held) => held.as_ref(),
            HeldPieces::NotYet => None,
        };
        self.ready = append_cut::cut(request, message_bytes, held);
    }

    fn sent(&mut self, sent: &SentMessage) {
        let now = T::now();
        if !self.owes() {
            self.quiet_since = now;
        }
        self.flight.sent(sent.bytes, now);
        self.owed_bytes += sent.bytes;
        self.begun_bytes += sent.bytes;
        if sent.is_append {
            self.owed.push_back(OwedAppend {
                bytes: std::mem::take(&mut self.begun_bytes),
                end: self.flight.end(),
            });
        }
    }

    /// What an answer says; `None` where it says only that bytes arrive.
    fn answered(
        &mut self,
        reply: wire::StreamAppendReply,
    ) -> Result<Option<StreamAppendResult<T>>, CallError> {
        if let Some(Outcome::Progress(progress)) = reply.outcome {
            if matches!(self.held, HeldPieces::NotYet) {
                self.link.path().held(progress.held.as_ref());
                self.held = HeldPieces::Held(progress.held);
                self.quiet_since = T::now();
            }
            self.arrived(progress.received);
            return Ok(None);
        }
        let Some(owed) = self.owed.pop_front() else {
            let what = "an answer to a message that was not sent";
            return Err(CallError::Failed(what.to_owned()));
        };
        self.owed_bytes -= owed.bytes;
        self.arrived(owed.end);
        self.quiet_since = T::now();
        let result: StreamAppendResult<T> = reply.try_into()?;
        if let Err(StreamAppendError::HigherVote(vote)) = &result {
            TermBounds::beyond(self.term).vote(vote)?;
        }
        Ok(Some(result))
    }

    fn arrived(&mut self, end: u64) {
        let now = T::now();
        let bytes = self.flight.arrived(end, now);
        if bytes > 0 {
            self.quiet_since = now;
            self.link.path().taken(bytes);
        }
    }

    fn silence(&self) -> CallError {
        if !self.flight.has_landed() {
            self.link.stalled(self.lane);
        }
        CallError::Timeout(self.patience())
    }
}

/// Gives the next message to the transport when it takes one; `None` when the transport has stopped
/// taking any. Waits while nothing is ready.
async fn hand_over(
    requests: Option<&mpsc::Sender<wire::AppendPart>>,
    ready: &mut VecDeque<AppendMessage>,
) -> Option<SentMessage> {
    let (Some(requests), false) = (requests, ready.is_empty()) else {
        return std::future::pending().await;
    };
    let place = requests.reserve().await.ok()?;
    let AppendMessage { part, bytes } = ready.pop_front()?;
    let is_append = matches!(part, Part::Append(_));
    place.send(wire::AppendPart { part: Some(part) });
    Some(SentMessage { bytes, is_append })
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
