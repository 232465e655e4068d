//! From an address to a connection that is ready for requests: TCP, TLS, HELLO, AUTH.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ClientOptions, Error, parse, tls};
use crate::frame::{Flags, Limits};
use crate::message::session::{Auth, AuthResult, Hello, HelloResult};
use crate::message::{Incoming, op, request};
use crate::wire::{self, Decoder, WireMode};
use crate::{DEFAULT_PORT, PROTOCOL_VERSION};

/// What is read from the socket at least, if it is there.
const READ_BYTES: usize = 64 * 1024;

/// Opens connections for a client and its watches.
pub(super) struct Dialer {
    pub(super) options: ClientOptions,
    addresses: Vec<Address>,
    tls: Option<TlsConnector>,
}

struct Address {
    host: String,
    port: u16,
}

/// A connection that is ready for requests, driven by its owner.
pub(super) struct Link {
    pub(super) read: Incomings,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) mode: WireMode,
    pub(super) address: String,
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
            .map(|addr| parse_address(addr))
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

    pub(super) fn address_count(&self) -> usize {
        self.addresses.len()
    }

    /// Tries each address once, starting with the `first`-th (counted round); also says which one it
    /// was.
    pub(super) async fn dial(&self, first: usize) -> Result<(Link, usize), Error> {
        let mut failures = Vec::new();
        for at in (0..self.addresses.len()).map(|n| (first + n) % self.addresses.len()) {
            let Some(address) = self.addresses.get(at) else {
                continue;
            };
            match self.dial_one(address).await {
                Ok(link) => return Ok((link, at)),
                // Every node has the same secrets: another one will refuse as well.
                Err(error @ Error::Refused(_)) if !error.may_pass() => return Err(error),
                Err(error) => failures.push((format!("{}:{}", address.host, address.port), error)),
            }
        }
        Err(summarize(failures))
    }

    async fn dial_one(&self, address: &Address) -> Result<Link, Error> {
        let timeout = self.options.connect_timeout;
        match tokio::time::timeout(timeout, self.open(address)).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::Connect {
                reason: format!("no answer within {} ms", timeout.as_millis()),
            }),
        }
    }

    async fn open(&self, address: &Address) -> Result<Link, Error> {
        let failed = |error: std::io::Error| Error::Connect {
            reason: error.to_string(),
        };
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
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
        let mut link = Link::new(read, write, format!("{}:{}", address.host, address.port));
        link.hello(&self.options).await?;
        if let Some(token) = &self.options.token {
            link.authenticate(token).await?;
        }
        Ok(link)
    }
}

/// A failed handshake is a matter of certificates only if TLS itself says so.
fn tls_failed(error: std::io::Error) -> Error {
    let by_tls = error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>());
    if by_tls {
        Error::Tls(error.to_string())
    } else {
        Error::Connect {
            reason: format!("TLS handshake: {error}"),
        }
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

fn parse_address(text: &str) -> Result<Address, Error> {
    let wrong = || Error::Options(format!("{text:?} is not an address; expected HOST[:PORT]"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
            }
        }
        None => match text.split_once(':') {
            // More than one colon: an IPv6 address without a port.
            Some((_, port)) if port.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| wrong())?,
    };
    if host.is_empty() {
        return Err(wrong());
    }
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

impl Link {
    fn new(
        read: Box<dyn AsyncRead + Send + Unpin>,
        write: Box<dyn AsyncWrite + Send + Unpin>,
        address: String,
    ) -> Self {
        Self {
            read: Incomings {
                socket: read,
                decoder: Decoder::new(WireMode::Binary, Limits::default()),
                buf: BytesMut::new(),
            },
            write,
            mode: WireMode::Binary,
            address,
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
                Incoming::Event | Incoming::End | Incoming::Unknown => continue,
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
            Err(reject) => Err(Error::Protocol(reject.to_string())),
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
        .map_err(|error| Error::Protocol(format!("a message that is none: {error}")))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        for (text, host, port) in [
            ("db1", "db1", 7401),
            ("db1:99", "db1", 99),
            ("10.0.0.1:99", "10.0.0.1", 99),
            ("[::1]:99", "::1", 99),
            ("[::1]", "::1", 7401),
            ("::1", "::1", 7401),
        ] {
            let address = parse_address(text).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
        }
        for text in ["", ":99", "db1:", "db1:x", "db1:65536", "[::1", "[::1]99"] {
            assert!(
                matches!(parse_address(text), Err(Error::Options(_))),
                "{text}"
            );
        }
    }
}
