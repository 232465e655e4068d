//! From an address to a connection that is ready for requests: TCP, TLS, HELLO, AUTH.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::{ClientOptions, Error, parse, tls};
use crate::PROTOCOL_VERSION;
use crate::feature::Features;
use crate::frame::{Flags, FrameLimits};
use crate::message::session::{Auth, AuthResult, Hello, HelloResult, NoParams};
use crate::message::{Incoming, op, request};
use crate::wire::{self, Decoder, WireMode};

/// What is read from the socket at least, if it is there.
const READ_BYTES: usize = 64 * 1024;
/// The time within which a vanished server is noticed in any state of the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the client tries one address before it tries the next one at the same time.
const HEAD_START: Duration = Duration::from_millis(250);

/// Opens connections for a client and its watches.
pub(super) struct Dialer {
    pub(super) options: ClientOptions,
    addresses: Vec<Address>,
    tls: Option<TlsConnector>,
}

/// A connection that is ready for requests, driven by its owner.
pub(super) struct DialedLink {
    pub(super) read: Incomings,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) mode: WireMode,
    /// Which of the client's addresses it leads to.
    pub(super) at: usize,
    pub(super) address: String,
    /// What both ends can do.
    pub(super) features: Features,
    out: BytesMut,
    next_id: u64,
}

/// The reading half: messages off the socket.
pub(super) struct Incomings {
    socket: Box<dyn AsyncRead + Send + Unpin>,
    decoder: Decoder,
    buf: BytesMut,
}

impl Dialer {
    pub(super) fn new(options: ClientOptions) -> Result<Self, Error> {
        let addresses = options
            .addrs
            .iter()
            .map(|addr| Address::parse(addr))
            .collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(Error::Options("no server address is given".to_owned()));
        }
        let tls = match &options.tls {
            Some(tls) => Some(TlsConnector::from(Arc::new(tls::config(tls)?))),
            None => None,
        };
        Ok(Self {
            options,
            addresses,
            tls,
        })
    }

    /// Whether there is another address.
    pub(super) fn has_choice(&self) -> bool {
        self.addresses.len() > 1
    }

    /// Every address once, beginning with the `first`-th (counted round).
    pub(super) fn order_from(&self, first: usize) -> Vec<usize> {
        let count = self.addresses.len();
        (0..count).map(|n| (first + n) % count).collect()
    }

    /// Opens a connection to one of these addresses, each tried once and the first preferred. A
    /// node that hangs accepts connections and says nothing, so the next address does not wait for
    /// the one before it to fail.
    pub(super) async fn dial(&self, order: &[usize]) -> Result<DialedLink, Error> {
        let mut untried = order
            .iter()
            .filter_map(|at| Some((*at, self.addresses.get(*at)?)));
        let mut attempts = FuturesUnordered::new();
        let mut failures = Vec::new();
        loop {
            if let Some((at, address)) = untried.next() {
                attempts.push(async move { (address, self.dial_one(at, address).await) });
            }
            let ended = tokio::time::timeout(HEAD_START, attempts.next()).await;
            match ended {
                Err(_) => {}
                Ok(None) => return Err(summarize(failures)),
                Ok(Some((_, Ok(link)))) => return Ok(link),
                // Every node has the same secrets, so another one will refuse as well.
                Ok(Some((_, Err(error @ Error::Refused(_))))) if !error.may_pass() => {
                    return Err(error);
                }
                Ok(Some((address, Err(error)))) => failures.push((address.to_string(), error)),
            }
        }
    }

    async fn dial_one(&self, at: usize, address: &Address) -> Result<DialedLink, Error> {
        let timeout = self.options.connect_timeout;
        match tokio::time::timeout(timeout, self.open(at, address)).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::Connect {
                reason: format!("no answer within {} ms", timeout.as_millis()),
            }),
        }
    }

    async fn open(&self, at: usize, address: &Address) -> Result<DialedLink, Error> {
        let failed = |error: std::io::Error| Error::Connect {
            reason: error.to_string(),
        };
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        crate::socket::keep_alive(&tcp, KEEP_ALIVE).map_err(failed)?;
        let (read, write): (
            Box<dyn AsyncRead + Send + Unpin>,
            Box<dyn AsyncWrite + Send + Unpin>,
        ) = match (&self.tls, &self.options.tls) {
            (Some(connector), Some(options)) => {
                let name = options.server_name.as_deref().unwrap_or(&address.host);
                let stream = connector
                    .connect(tls::server_name(name)?, tcp)
                    .await
                    .map_err(tls_failed)?;
                let (read, write) = tokio::io::split(stream);
                (Box::new(read), Box::new(write))
            }
            _ => {
                let (read, write) = tcp.into_split();
                (Box::new(read), Box::new(write))
            }
        };
        let mut link = DialedLink::new(read, write, at, address.to_string());
        link.hello(&self.options).await?;
        if let Some(token) = &self.options.token {
            link.authenticate(token).await?;
        }
        Ok(link)
    }
}

/// A failed handshake counts as a certificate problem only if TLS reports that.
fn tls_failed(error: std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        // Not a record of TLS: the server answered in another protocol.
        Some(rustls::Error::InvalidMessage(_)) => Error::Tls(
            "the server does not speak TLS on this port; connect without TLS, or to another port"
                .to_owned(),
        ),
        Some(_) => Error::Tls(error.to_string()),
        // A server without TLS closes the connection, because a TLS greeting is no request.
        None => Error::Connect {
            reason: format!("TLS handshake: {error}; perhaps this port does not use TLS"),
        },
    }
}

/// Names the protocol of a server that does not speak RCP, if its first bytes show it.
fn foreign(received: &[u8]) -> Option<Error> {
    match received {
        // An alert, or a handshake: TLS servers answer a greeting that is not TLS with an alert.
        [0x15 | 0x16] | [0x15 | 0x16, 0x03, ..] => Some(Error::Tls(
            "the server speaks TLS on this port; connect with TLS".to_owned(),
        )),
        _ if received.starts_with(b"HTTP/") => Some(Error::Protocol(
            "the server speaks HTTP on this port; RCP is on another one, 7401 by default (network.bind_addr)"
                .to_owned(),
        )),
        _ => None,
    }
}

fn summarize(mut failures: Vec<(String, Error)>) -> Error {
    if failures.len() == 1
        && let Some((address, error)) = failures.pop()
    {
        return match error {
            Error::Connect { reason } => Error::Connect {
                reason: format!("{address}: {reason}"),
            },
            Error::Disconnected { reason, .. } => Error::Connect {
                reason: format!("{address}: {reason}"),
            },
            error => error,
        };
    }
    let reasons: Vec<String> = failures
        .iter()
        .map(|(address, error)| match error {
            Error::Connect { reason } => format!("{address}: {reason}"),
            error => format!("{address}: {error}"),
        })
        .collect();
    Error::Connect {
        reason: reasons.join("; "),
    }
}

impl DialedLink {
    pub(super) fn new(
        read: Box<dyn AsyncRead + Send + Unpin>,
        write: Box<dyn AsyncWrite + Send + Unpin>,
        at: usize,
        address: String,
    ) -> Self {
        Self {
            read: Incomings {
                socket: read,
                decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
                buf: BytesMut::new(),
            },
            write,
            mode: WireMode::Binary,
            at,
            address,
            features: Features::NONE,
            out: BytesMut::new(),
            next_id: 0,
        }
    }

    async fn hello(&mut self, options: &ClientOptions) -> Result<(), Error> {
        let hello = Hello {
            protocol_version: u64::from(PROTOCOL_VERSION),
            client_name: Some(Cow::Borrowed(&options.client_name)),
            wire_modes: vec![options.wire_mode.name().into()],
            features: options.features.iter().map(Cow::from).collect(),
        };
        let result = self.request(op::HELLO, &hello).await?;
        let result: HelloResult<'_> = parse(op::HELLO, &result)?;
        let mode = WireMode::from_name(&result.wire_mode).ok_or_else(|| {
            Error::Protocol(format!("the server chose wire mode {:?}", result.wire_mode))
        })?;
        self.mode = mode;
        self.features = Features::from_names(&result.features);
        self.read.decoder.set_mode(mode);
        Ok(())
    }

    async fn authenticate(&mut self, token: &str) -> Result<(), Error> {
        let auth = Auth {
            method: "bearer".into(),
            token: token.into(),
        };
        let result = self.request(op::AUTH, &auth).await?;
        let _: AuthResult = parse(op::AUTH, &result)?;
        Ok(())
    }

    /// Sends a request and waits for its answer; messages of other kinds are passed over.
    pub(super) async fn request<P: Serialize>(
        &mut self,
        op: &str,
        params: &P,
    ) -> Result<Bytes, Error> {
        let id = self.send(op, params).await?;
        loop {
            let payload = self.read.next().await?;
            let (answers, outcome) = match parse_incoming(&payload)? {
                Incoming::Response { id, outcome, .. } => (id, outcome),
                Incoming::Event | Incoming::Progress | Incoming::End | Incoming::Unknown => {
                    continue;
                }
            };
            match outcome {
                Ok(result) if answers == id => {
                    return Ok(payload.slice_ref(result.get().as_bytes()));
                }
                // An empty id: the server refuses the connection as a whole.
                Err(error) if answers == id || answers.is_empty() => {
                    return Err(Error::Refused(parse(op, error.get().as_bytes())?));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The next message. On a quiet connection the client sends a PING. Otherwise a vanished server would look like a
    /// server that has nothing to say.
    pub(super) async fn next_or_ping(&mut self, options: &ClientOptions) -> Result<Bytes, Error> {
        let keepalive = options.watch_keepalive;
        if let Ok(message) = tokio::time::timeout(keepalive, self.read.next()).await {
            return message;
        }
        let asked = async {
            self.send(op::PING, &NoParams {}).await?;
            self.read.next().await
        };
        match tokio::time::timeout(keepalive.min(options.timeout), asked).await {
            Ok(message) => message,
            Err(_) => Err(Error::Disconnected {
                reason: "the server has sent nothing for too long".to_owned(),
                outcome_unknown: false,
            }),
        }
    }

    /// Sends a request; gives its id.
    pub(super) async fn send<P: Serialize>(
        &mut self,
        op: &str,
        params: &P,
    ) -> Result<String, Error> {
        let refused = |error: &dyn std::fmt::Display| Error::Request(error.to_string());
        let params = serde_json::value::to_raw_value(params).map_err(|error| refused(&error))?;
        let id = self.next_id.to_string();
        self.next_id += 1;
        wire::encode_with(self.mode, &mut self.out, Flags::NONE, |out| {
            request::write(out, &id, op, &params)
        })
        .map_err(|error| refused(&error))?;
        let sent = async {
            self.write.write_all(&self.out).await?;
            self.write.flush().await
        };
        sent.await.map_err(lost)?;
        self.out.clear();
        Ok(id)
    }
}

impl Incomings {
    /// The next message's payload. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(payload) = self.take()? {
                return Ok(payload);
            }
            self.fill().await?;
        }
    }

    /// The next message's payload, if it has been read already.
    pub(super) fn take(&mut self) -> Result<Option<Bytes>, Error> {
        match self.decoder.take(&mut self.buf) {
            Ok(message) => Ok(message.map(|message| message.payload)),
            Err(reject) => Err(foreign(&self.buf)
                .filter(|_| !reject.answerable)
                .unwrap_or_else(|| Error::Protocol(reject.to_string()))),
        }
    }

    /// Reads what is there, at least one byte.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        self.buf.reserve(READ_BYTES);
        match self.socket.read_buf(&mut self.buf).await.map_err(lost)? {
            0 => Err(Error::Disconnected {
                reason: "closed by the server".to_owned(),
                outcome_unknown: false,
            }),
            _ => Ok(()),
        }
    }
}

pub(super) fn parse_incoming(payload: &[u8]) -> Result<Incoming<'_>, Error> {
    Incoming::parse(payload)
        .map_err(|error| Error::Protocol(format!("the server sent an invalid message: {error}")))
}

fn lost(error: std::io::Error) -> Error {
    // In TLS 1.3 a server that does not accept our certificate says so after the handshake.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::AlertReceived(_)) = inner {
        return Error::Tls(error.to_string());
    }
    Error::Disconnected {
        reason: error.to_string(),
        outcome_unknown: false,
    }
}
