//! A session of RCP without a socket: its client is this server.
//!
//! So a request of HTTP is the very request that a client of RCP sends. The session authenticates it, delays wrong
//! tokens, checks and orders it, counts it, bounds what it holds in memory, forwards it, and ends it at its deadline.
//! This module repeats none of it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::{BufMut, BytesMut};
use rstmdb_rcp::feature::Features;
use rstmdb_rcp::frame::{self, Flags, FrameLimits, HEADER_BYTES, MAGIC};
use rstmdb_rcp::message::{ErrorBody, Incoming, ResponseMeta, op};
use rstmdb_rcp::wire::{Decoder, WireMessage, WireMode};
use rstmdb_rcp::{Code, PROTOCOL_VERSION};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::server::clients::budget::{GRAIN_BYTES, ReservedRoom};
use crate::server::clients::session::{Origin, Session};
use crate::server::clients::shared::ServerShared;
use crate::server::logging::traces::TraceParent;
use crate::server::transport::strangers::Stranger;

/// What either side may have written that the other one has not read.
const PIPE_BYTES: usize = 64 * 1024;

/// The client's side of a session.
pub(crate) struct Link {
    pipe: DuplexStream,
    session: JoinHandle<()>,
    received: BytesMut,
    decoder: Decoder,
    /// The SHA-256 of the token that the session has accepted.
    token: Option<[u8; 32]>,
    /// What the next request belongs to.
    traceparent: Option<TraceParent>,
    /// For a large message that is being read, and until the next one is.
    room: ReservedRoom,
    shared: Arc<ServerShared>,
}

/// What a session needs to know of a connection, and when it has to end.
pub(crate) struct LinkContext {
    pub(crate) shared: Arc<ServerShared>,
    pub(crate) origin: Origin,
    pub(crate) drain: CancellationToken,
    pub(crate) abort: CancellationToken,
}

/// The answer to a request.
pub(crate) struct LinkAnswer {
    /// The result, or the error.
    pub(crate) outcome: Result<bytes::Bytes, ErrorBody>,
    /// What the response says beside it.
    pub(crate) meta: ResponseMeta,
    /// Where the result is held in memory.
    pub(crate) room: ReservedRoom,
}

impl Link {
    /// Begins a session, and says HELLO. `None`: the session has ended already, because the node shuts down.
    pub(crate) async fn open(context: &LinkContext, stranger: Stranger) -> Option<Self> {
        let (pipe, far) = tokio::io::duplex(PIPE_BYTES);
        let shared = context.shared.clone();
        let leave = stranger.leave();
        let abort = context.abort.clone();
        let session = Session::new(
            far,
            shared.clone(),
            context.origin.clone(),
            stranger,
            &context.drain,
        );
        let session = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = leave.cancelled() => tracing::debug!(
                    "closing an unauthenticated connection of HTTP to make room for a newer one"
                ),
                () = session.run() => {}
            }
        });
        let mut link = Self {
            pipe,
            session,
            received: BytesMut::new(),
            decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
            token: None,
            traceparent: None,
            room: shared.budget.room(),
            shared,
        };
        let features: Vec<&str> = Features::ALL.names().collect();
        let hello = json!({ "protocol_version": PROTOCOL_VERSION, "client_name": "http", "features": features });
        link.ask(op::HELLO, hello.to_string().as_bytes()).await;
        link.answer().await.map(|_| link)
    }

    /// Whether the session still runs and can serve a request with this token: a session that has accepted a token
    /// serves no request without one.
    pub(crate) fn serves(&self, token: Option<&str>) -> bool {
        !self.session.is_finished() && (self.token.is_none() || token.is_some())
    }

    /// Authenticates, if the session has not accepted this token before.
    ///
    /// # Errors
    /// The answer to a wrong token, after the pause that any client of RCP has to wait. The session may have ended.
    pub(crate) async fn authenticate(&mut self, token: &str) -> Result<(), ErrorBody> {
        // Hashes are compared: how long that takes tells nothing about the token.
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if self.token == Some(hash) {
            return Ok(());
        }
        self.token = None;
        let params = json!({ "method": "bearer", "token": token });
        self.ask(op::AUTH, params.to_string().as_bytes()).await;
        match self.answer().await {
            Some(answer) => {
                answer.outcome?;
                self.token = Some(hash);
                Ok(())
            }
            None => Err(ended()),
        }
    }

    /// Says which trace the next request belongs to.
    pub(crate) fn belong_to(&mut self, traceparent: Option<TraceParent>) {
        self.traceparent = traceparent;
    }

    /// Sends a request with these parameters, the text of an object.
    pub(crate) async fn ask(&mut self, op: &str, params: &[u8]) {
        self.begin(op, params.len()).await;
        self.go_on(params).await;
        self.go_on(b"}").await;
    }

    /// Begins a request whose parameters, and the bracket that ends the request, follow by [`Self::go_on`].
    pub(crate) async fn begin(&mut self, op: &str, params_bytes: usize) {
        let traceparent = self.traceparent.take();
        let traceparent = traceparent.map(|it| format!("\"traceparent\":\"{it}\","));
        let traceparent = traceparent.unwrap_or_default();
        let envelope = format!(
            "{{\"type\":\"request\",{traceparent}\"id\":\"http\",\"op\":\"{op}\",\"params\":"
        );
        let payload_bytes = envelope.len() + params_bytes + 1;
        let mut frame = BytesMut::with_capacity(HEADER_BYTES + envelope.len());
        frame.put_slice(&MAGIC);
        frame.put_u16(PROTOCOL_VERSION);
        // Without a checksum: the bytes do not leave the process.
        frame.put_u16(Flags::NONE.bits());
        frame.put_u16(0);
        // The caller bounds what it sends; a longer frame would be refused by the session.
        frame.put_u32(u32::try_from(payload_bytes).unwrap_or(u32::MAX));
        frame.put_u32(0);
        frame.put_slice(envelope.as_bytes());
        self.go_on(&frame).await;
    }

    /// Sends more of what was begun. If the session no longer reads, its last answer says why.
    pub(crate) async fn go_on(&mut self, bytes: &[u8]) {
        if let Err(error) = self.pipe.write_all(bytes).await {
            tracing::debug!(%error, "a session of HTTP takes no more");
        }
    }

    /// Resolves when the session has ended.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.session).await;
    }

    /// Its session, to see whether it has ended.
    pub(crate) fn session(&self) -> AbortHandle {
        self.session.abort_handle()
    }

    /// The memory that is reserved for the message that was read last.
    pub(crate) fn take_room(&mut self) -> ReservedRoom {
        std::mem::replace(&mut self.room, self.shared.budget.room())
    }

    /// The next message; `None` when the session has ended.
    pub(crate) async fn next(&mut self) -> Option<WireMessage> {
        self.room.settle(0, false);
        loop {
            match self.decoder.take(&mut self.received) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(reject) => {
                    tracing::error!(%reject, "a session of HTTP has written something that is no message");
                    return None;
                }
            }
            let limits = FrameLimits::default();
            let announced = frame::announced_bytes(&self.received, &limits).unwrap_or(0);
            if announced >= GRAIN_BYTES {
                let room = &mut self.room;
                poll_fn(|cx| match room.reserve(cx, announced, true) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            }
            match self.pipe.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The answer to the request; `None` when the session has ended without one.
    pub(crate) async fn answer(&mut self) -> Option<LinkAnswer> {
        let message = self.next().await?;
        let Incoming::Response { outcome, meta, .. } = Incoming::parse(&message.payload).ok()?
        else {
            return None;
        };
        let outcome = match outcome {
            Ok(result) => Ok(message.payload.slice_ref(result.get().as_bytes())),
            Err(error) => Err(read_error(error)),
        };
        let meta = meta.and_then(|meta| serde_json::from_str(meta.get()).ok());
        Some(LinkAnswer {
            outcome,
            meta: meta.unwrap_or_default(),
            room: self.take_room(),
        })
    }
}

fn read_error(error: &RawValue) -> ErrorBody {
    serde_json::from_str(error.get())
        .unwrap_or_else(|_| ErrorBody::new(Code::InternalError, "the error cannot be read"))
}

/// The session has ended before it took the request.
pub(crate) fn ended() -> ErrorBody {
    ErrorBody::new(
        Code::NoLeader,
        "this node closes the connection; nothing was done",
    )
    .with_details(json!({ "outcome": "not_applied" }))
}
