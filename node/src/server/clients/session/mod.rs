//! One client connection: one task that reads, works and writes.
//!
//! Each turn answers what is done, takes what was received, and sends what there is to send; many
//! requests of one read and many answers of one write cost one system call each. Everything is
//! bounded: the requests in work, the bytes to be sent, the events of a watch.
//!
//! | module | subject |
//! |---|---|
//! | `requests` | from a payload to work or an answer |
//! | `handshake` | HELLO, AUTH and what they agree upon |
//! | `audited` | what the audit log says of requests |
//! | `token` | when tokens are looked at, and wrong ones answered |
//! | `work` | requests in flight, and their deadlines |
//! | `subscriptions` | the watches |
//! | `pushing` | what they tell, written to the client |
//! | `told` | the fields of what they tell |
//! | `outbox` | what waits to be sent |
//! | `buffers` | what is held in memory, and the budget of all connections |
//! | `waiting` | what waits for room in that budget; answers |
//! | `times` | deadlines, silence, clients that do not go on |
//!
//! ```text
//!        BYE, end of input, shutdown              all answered
//! Open ─────────────────────────────▶ Draining ───────────────▶ Flushing ──▶ closed
//!   └──────────── a fault of the protocol, silence ───────────────▲
//! ```

mod audited;
mod buffers;
mod handshake;
mod outbox;
mod pushing;
mod requests;
mod subscriptions;
mod times;
mod token;
mod told;
mod waiting;
mod work;

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use rstmdb_rcp::Code;
use rstmdb_rcp::frame::FrameLimits;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::wire::{Decoder, WireMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::foreign;
use super::ops::Job;
use super::order::Order;
use super::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::transport::certificates::ClientNames;
use crate::server::transport::strangers::Stranger;
use buffers::Buffers;
pub(crate) use buffers::{STALL_MAX, given_up_at};
use handshake::ClientIdentity;
use outbox::Outbox;
use subscriptions::Subscriptions;
use token::WaitingAuth;
use waiting::BudgetWaiting;
use work::{InWork, Tag};

/// HELLO, and AUTH where it is required, have to come within this time.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest payload from a client that is not known yet.
const STRANGER_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The session has this long at the end to send the rest.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests of one connection that are in work or wait; above this the node does not read the socket.
const IN_WORK_MAX: usize = 1024;
/// Room made for each read.
const READ_BYTES: usize = 16 * 1024;
/// Turns taken, and time spent, before other tasks run.
const TURNS_MAX: usize = 64;
const TURNS_TIME_MAX: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are taken.
    Open,
    /// Those that were taken are answered.
    Draining,
    /// The answers are sent.
    Flushing,
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// `rcp` or `http`.
    pub(crate) protocol: &'static str,
    /// The names in the certificate that it has shown.
    pub(crate) names: Option<Arc<ClientNames>>,
}

/// The task of one client connection.
pub(crate) struct Session<S> {
    shared: Arc<ServerShared>,
    stream: S,
    received: BytesMut,
    buffers: Buffers,
    decoder: Decoder,
    outbox: Outbox,
    needs_flush: bool,
    client: ClientIdentity,
    /// Where the connection comes from.
    origin: Origin,
    /// The audit log says already that it has asked without a token.
    noted_stranger: bool,
    /// Until the client is known.
    stranger: Option<Stranger>,
    /// An AUTH that waits; meanwhile the session takes nothing else.
    held: Option<WaitingAuth>,
    /// Which requests wait for others of the connection.
    order: Order<(Tag, Job)>,
    work: InWork,
    waiting: BudgetWaiting,
    watches: Subscriptions,
    phase: Phase,
    /// The id of the BYE that is answered last.
    farewell: Option<Box<str>>,
    now: Instant,
    last_received: Instant,
    last_sent: Instant,
    flush_by: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    shutdown_seen: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session on a connection that `stranger` has just made from `origin`.
    pub(crate) fn new(
        stream: S,
        shared: Arc<ServerShared>,
        origin: Origin,
        stranger: Stranger,
        shutdown: &CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let timer_at = now + HANDSHAKE_TIMEOUT;
        Self {
            stream,
            received: BytesMut::new(),
            buffers: Buffers::new(shared.budget.room(), now),
            decoder: Decoder::new(
                WireMode::Binary,
                FrameLimits {
                    payload_bytes_max: STRANGER_PAYLOAD_BYTES_MAX,
                },
            ),
            outbox: Outbox::default(),
            needs_flush: false,
            client: ClientIdentity::of(&shared.tokens, origin.names.as_deref()),
            origin,
            noted_stranger: false,
            stranger: Some(stranger),
            held: None,
            order: Order::default(),
            work: InWork::default(),
            waiting: BudgetWaiting::default(),
            watches: Subscriptions::new(shared.clone()),
            phase: Phase::Open,
            farewell: None,
            now,
            last_received: now,
            last_sent: now,
            flush_by: None,
            timer: Box::pin(tokio::time::sleep_until(timer_at.into())),
            timer_at,
            shutdown: Box::pin(shutdown.clone().cancelled_owned()),
            shutdown_seen: false,
            shared,
        }
    }

    /// Serves the connection until it is closed.
    pub(crate) async fn run(mut self) {
        let served = poll_fn(|cx| self.poll(cx)).await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection lost");
        }
        // The session gives back what it holds now: the client may delay the end of the connection.
        let mut stream = self.into_stream();
        let bye = tokio::time::timeout(FLUSH_TIMEOUT, stream.shutdown()).await;
        if let Ok(Err(error)) = bye {
            tracing::debug!(%error, "connection not closed cleanly");
        }
    }

    fn into_stream(self) -> S {
        self.stream
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let began = Instant::now();
        for _ in 0..TURNS_MAX {
            self.now = Instant::now();
            if self.now > began + TURNS_TIME_MAX {
                break;
            }
            self.outbox.leader = self.shared.replica.leads();
            self.buffers.begin_turn();
            self.poll_shutdown(cx);
            // Done before the session sends anything that only a bearer may see.
            self.poll_revoked(cx);
            let mut again = self.poll_work(cx);
            again |= self.poll_watches(cx);
            self.write_notices();
            again |= self.poll_read(cx)?;
            self.finish_draining();
            let was_full = self.outbox.is_full();
            self.poll_write(cx)?;
            again |= was_full && !self.outbox.is_full();
            self.tidy_buffers();
            if self.phase == Phase::Flushing && self.outbox.is_empty() && !self.needs_flush {
                return Poll::Ready(Ok(()));
            }
            again |= self.poll_timer(cx);
            if !again {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) {
        if !self.shutdown_seen && self.shutdown.as_mut().poll(cx).is_ready() {
            self.shutdown_seen = true;
            for id in self.watches.end_all() {
                let error =
                    failure::of_replica(&crate::replica::Error::ShuttingDown, PossibleEffect::None);
                self.outbox.end(&id, error);
            }
            self.drain();
        }
    }

    /// Takes requests: those received already, then as many as can be read at once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> std::io::Result<bool> {
        let mut again = false;
        loop {
            again |= self.take_requests();
            if self.waiting.request.is_some() {
                if !self.begin_waiting(cx) {
                    return Ok(again);
                }
                again = true;
                continue;
            }
            if self.phase != Phase::Open || self.is_busy() || !self.may_receive(cx) {
                return Ok(again);
            }
            self.received.reserve(READ_BYTES);
            let room = self.receivable_bytes();
            let mut into = (&mut self.received).limit(room);
            let read = pin!(self.stream.read_buf(&mut into)).poll(cx);
            match read {
                Poll::Pending => return Ok(again),
                Poll::Ready(Ok(0)) => {
                    self.watches.end_all();
                    self.drain();
                    return Ok(true);
                }
                Poll::Ready(Ok(_)) => self.count_received(),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.held.is_some()
            || !self.may_answer()
            || self.waiting.request.is_some()
            || self.buffers.has_enough()
            || self.work.len() + self.order.waiting() >= IN_WORK_MAX
    }

    fn take_requests(&mut self) -> bool {
        let mut again = false;
        while self.phase == Phase::Open && !self.is_busy() {
            match self.decoder.take(&mut self.received) {
                Ok(Some(message)) => {
                    self.took_message();
                    self.take_request(&message.payload);
                    again = true;
                }
                Ok(None) => break,
                Err(reject) => {
                    if reject.answerable {
                        self.refuse("", ErrorBody::from(&reject));
                    } else if let Some(answer) = foreign::answer(&self.received)
                        && self.stranger.is_some()
                    {
                        self.count_error(&reject.code);
                        self.outbox.buffer().extend_from_slice(answer);
                    }
                    tracing::debug!(%reject, "closing a connection");
                    self.flush();
                }
            }
        }
        again
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        self.outbox.note_touched();
        let waited = self.outbox.waiting_bytes();
        while !self.outbox.is_empty() {
            let written = pin!(self.stream.write_buf(self.outbox.buffer())).poll(cx);
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => {
                    self.needs_flush = true;
                    self.last_sent = self.now;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        self.note_unread(waited - self.outbox.waiting_bytes());
        if self.needs_flush && self.outbox.is_empty() {
            // Inside TLS the last record may still be in this process.
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes no more requests; what was taken is still answered.
    fn drain(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
            self.give_up_waits();
        }
    }

    /// Sends what there is, then closes.
    fn flush(&mut self) {
        if self.phase != Phase::Flushing {
            self.phase = Phase::Flushing;
            self.flush_by = Some(self.now + FLUSH_TIMEOUT);
            self.arm(self.now + FLUSH_TIMEOUT);
        }
    }

    fn finish_draining(&mut self) {
        if self.phase == Phase::Draining && !self.has_requests() {
            self.give_up_held();
            if let Some(id) = self.farewell.take() {
                self.say_goodbye(&id);
            }
            self.flush();
        }
    }

    /// Answers with an error outside of any operation.
    fn refuse(&mut self, id: &str, error: ErrorBody) {
        self.count_error(&error.code);
        self.outbox.error(id, error, None);
    }

    fn count_error(&self, code: &Code) {
        self.shared.metrics.error(code);
    }
}
