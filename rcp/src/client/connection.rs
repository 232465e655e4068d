//! One pipelined connection. Calls put their frames into a shared buffer. A driver task writes the buffered
//! frames with one write, reads the arrived bytes with one read, and hands each answer to its call.

mod silence;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::value::RawValue;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::dial::{DialedLink, Incomings, parse_incoming};
use super::{ClientReply, Error, parse};
use crate::feature::Features;
use crate::frame::Flags;
use crate::message::{ErrorBody, Incoming, request};
use crate::wire::{self, WireMode};

/// Above this an emptied write buffer gives its memory back.
const OUTBOX_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// A connection shared by many calls. Dropping it closes the socket.
pub(super) struct Connection {
    shared: Arc<ConnectionShared>,
    driver: AbortHandle,
    /// Which of the client's addresses it leads to.
    pub(super) at: usize,
    pub(super) address: String,
    /// What both ends can do.
    pub(super) features: Features,
}

/// How a call on this connection ended without an answer.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// A part of the call may have been sent.
    pub(super) sent: bool,
    pub(super) error: Arc<Error>,
}

/// A call that has been queued.
pub(super) struct PendingCall {
    id: u64,
    answer: oneshot::Receiver<Result<ClientReply, Lost>>,
    // Keeps the connection open until the answer is here, also when the client has moved on.
    connection: Arc<Connection>,
    // Whether anything has been heard since this call was queued.
    heard_before: u64,
}

struct ConnectionShared {
    mode: WireMode,
    state: Mutex<CallsState>,
    outbox_filled: Notify,
    /// There is a call that waits, and there was none before.
    busy: Notify,
    /// Takes no further calls: failed or retired.
    closed_to_calls: AtomicBool,
}

#[derive(Default)]
struct CallsState {
    outbox: BytesMut,
    next_id: u64,
    /// Calls from this id on have not been taken from the outbox: certainly not sent.
    unsent_from: u64,
    /// Calls below this id have been handed to the operating system to the last byte.
    written_below: u64,
    /// How many writes the operating system has accepted, whole or in part.
    writes: u64,
    /// How many answers have come.
    answered: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<ClientReply, Lost>>>,
    /// How many reads brought something.
    heard: u64,
    failure: Option<Arc<Error>>,
}

impl Connection {
    /// Drives the connection. With a `patience`, the connection is closed when calls wait and the server
    /// sends nothing, not even an answer to a PING, for about that time.
    pub(super) fn start(link: DialedLink, patience: Option<Duration>) -> Arc<Connection> {
        let shared = Arc::new(ConnectionShared {
            mode: link.mode,
            state: Mutex::default(),
            outbox_filled: Notify::new(),
            busy: Notify::new(),
            closed_to_calls: AtomicBool::new(false),
        });
        let (at, address, features) = (link.at, link.address.clone(), link.features);
        let driver = tokio::spawn(drive(shared.clone(), link, patience)).abort_handle();
        Arc::new(Connection {
            shared,
            driver,
            at,
            address,
            features,
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.shared.closed_to_calls.load(Ordering::Acquire)
    }

    /// Queues a call; it leaves after all that were queued before it.
    pub(super) fn enqueue(
        self: &Arc<Self>,
        op: &str,
        params: &RawValue,
    ) -> Result<PendingCall, Lost> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.shared.lock();
        if let Some(failure) = &state.failure {
            return Err(Lost {
                sent: false,
                error: failure.clone(),
            });
        }
        let id = state.next_id;
        wire::encode_with(self.shared.mode, &mut state.outbox, Flags::NONE, |out| {
            request::write_numbered(out, id, op, params)
        })
        .map_err(|error| Lost {
            sent: false,
            error: Arc::new(Error::Request(error.to_string())),
        })?;
        state.next_id += 1;
        let was_idle = state.waiting.is_empty();
        state.waiting.insert(id, sender);
        let heard_before = state.heard;
        drop(state);
        if was_idle {
            self.shared.busy.notify_one();
        }
        self.shared.outbox_filled.notify_one();
        Ok(PendingCall {
            id,
            answer,
            connection: self.clone(),
            heard_before,
        })
    }

    /// Takes no further calls; those that wait still get their answers.
    pub(super) fn retire(&self) {
        self.shared.closed_to_calls.store(true, Ordering::Release);
    }

    /// Closes it; calls that wait get this error.
    pub(super) fn fail(&self, error: Error) {
        self.shared.fail(error);
        self.driver.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PendingCall {
    /// Waits for the answer. Dropping the future abandons the call.
    pub(super) async fn answer(&mut self) -> Result<ClientReply, Lost> {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            // Only when the runtime shuts down under the driver.
            Err(_) => Err(Lost {
                sent: true,
                error: Arc::new(Error::Closed),
            }),
        }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the call was certainly not sent.
    pub(super) fn is_unsent(&self) -> bool {
        self.id >= self.connection.shared.lock().unsent_from
    }

    /// Whether the server has sent nothing since the call was queued.
    pub(super) fn is_server_silent(&self) -> bool {
        self.connection.shared.lock().heard == self.heard_before
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // An answered call has left the table already, so avoid the cost of the lock.
        if !self.answer.is_terminated() {
            self.connection.shared.lock().waiting.remove(&self.id);
        }
    }
}

impl ConnectionShared {
    fn lock(&self) -> MutexGuard<'_, CallsState> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        let error = Arc::new(error);
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        self.closed_to_calls.store(true, Ordering::Release);
        state.failure = Some(error.clone());
        state.outbox = BytesMut::new();
        let unsent_from = state.unsent_from;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (id, call) in waiting {
            // An abandoned call no longer waits for its answer.
            let _ = call.send(Err(Lost {
                sent: id < unsent_from,
                error: error.clone(),
            }));
        }
    }
}

async fn drive(shared: Arc<ConnectionShared>, link: DialedLink, patience: Option<Duration>) {
    let DialedLink { read, write, .. } = link;
    let ended = tokio::select! {
        ended = read_answers(&shared, read) => ended,
        ended = write_calls(&shared, write) => ended,
        error = silence::noticed(&shared, patience) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection lost");
        shared.fail(error);
    }
}

async fn write_calls(
    shared: &ConnectionShared,
    mut socket: Box<dyn AsyncWrite + Send + Unpin>,
) -> Result<(), Error> {
    let mut batch = BytesMut::new();
    loop {
        let taken_below = {
            let mut state = shared.lock();
            std::mem::swap(&mut state.outbox, &mut batch);
            state.unsent_from = state.next_id;
            state.unsent_from
        };
        if batch.is_empty() {
            shared.outbox_filled.notified().await;
            continue;
        }
        write_batch(shared, &mut socket, &mut batch)
            .await
            .map_err(|error| Error::Disconnected {
                reason: error.to_string(),
                outcome_unknown: false,
            })?;
        shared.lock().written_below = taken_below;
        if batch.capacity() > OUTBOX_KEPT_BYTES_MAX {
            batch = BytesMut::new();
        }
    }
}

/// Writes all of it, counting: a large request on a slow line is progress, not silence.
async fn write_batch(
    shared: &ConnectionShared,
    socket: &mut Box<dyn AsyncWrite + Send + Unpin>,
    batch: &mut BytesMut,
) -> std::io::Result<()> {
    loop {
        let count = socket.write(batch).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        if count >= batch.len() {
            // Not advanced: an emptied buffer that is cleared keeps all of its memory.
            batch.clear();
            return socket.flush().await;
        }
        batch.advance(count);
        shared.lock().writes += 1;
    }
}

async fn read_answers(shared: &ConnectionShared, mut read: Incomings) -> Result<(), Error> {
    let mut answers = Vec::new();
    loop {
        while let Some(payload) = read.take()? {
            if let Some((id, outcome, meta)) = parse_answer(&payload)? {
                let meta: Option<&RawValue> = meta;
                let reply = ClientReply {
                    outcome: outcome.map(|result| payload.slice_ref(result.get().as_bytes())),
                    meta: meta.map(|meta| payload.slice_ref(meta.get().as_bytes())),
                };
                answers.push((id, reply));
            }
        }
        if !answers.is_empty() {
            hand_out(shared, &mut answers);
        }
        read.fill().await?;
        shared.lock().heard += 1;
    }
}

type ParsedAnswer<'a> = (u64, Result<&'a RawValue, ErrorBody>, Option<&'a RawValue>);

fn parse_answer(payload: &[u8]) -> Result<Option<ParsedAnswer<'_>>, Error> {
    let (id, outcome, meta) = match parse_incoming(payload)? {
        Incoming::Response { id, outcome, meta } => (id, outcome, meta),
        Incoming::Event | Incoming::Progress | Incoming::End | Incoming::Unknown => {
            return Ok(None);
        }
    };
    let outcome = match outcome {
        Ok(result) => Ok(result),
        Err(error) => Err(parse::<ErrorBody>("a request", error.get().as_bytes())?),
    };
    match (id.parse(), outcome) {
        (Ok(id), outcome) => Ok(Some((id, outcome, meta))),
        // Without an id: the server refuses the connection as a whole, and closes it.
        (Err(_), Err(error)) if id.is_empty() => Err(Error::Refused(error)),
        (Err(_), _) => Err(Error::Protocol(format!(
            "the server answered a request that the client never sent: {id:?}"
        ))),
    }
}

fn hand_out(shared: &ConnectionShared, answers: &mut Vec<(u64, ClientReply)>) {
    let mut state = shared.lock();
    state.answered += answers.len() as u64;
    for (id, reply) in answers.drain(..) {
        // An abandoned call is no longer in the table.
        if let Some(call) = state.waiting.remove(&id) {
            let _ = call.send(Ok(reply));
        }
    }
}
