//! A plain, blocking RCP connection: it sends any bytes, retries nothing and hides nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use rstmdb_rcp::frame::{self, Flags, FrameLimits};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::wire::Decoder;
use rstmdb_rcp::{PROTOCOL_VERSION, WireMode};
use serde_json::{Value, json};

use crate::Error;

/// How long an answer may take before the test is failing.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    decoder: Decoder,
    incoming: BytesMut,
    outgoing: BytesMut,
    id_next: u64,
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum RawMessage {
    /// The answer to a request.
    Response {
        /// The request's id.
        id: String,
        /// The result or the error.
        outcome: Result<Value, ErrorBody>,
    },
    /// An event of a watch.
    Event(Value),
    /// How far a watch has come.
    Progress(Value),
    /// The end of a watch.
    End(Value),
}

impl RawConnection {
    /// Opens the socket and sends nothing.
    ///
    /// # Errors
    /// When no server listens there.
    pub fn open(addr: SocketAddr) -> Result<Self, Error> {
        let failed = || Error::io(format!("connecting to {addr}"));
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT).map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(failed())?;
        stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(failed())?;
        Ok(Self {
            stream,
            decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            id_next: 0,
        })
    }

    /// Opens the socket and says HELLO with every feature.
    ///
    /// # Errors
    /// When no server listens there, or the server refuses.
    pub fn connect(addr: SocketAddr) -> Result<Self, Error> {
        Self::connect_offering(addr, &["idempotency", "batch", "wal_read", "cluster"])
    }

    /// As [`Self::connect`], and every answer, that to HELLO included, must come within `timeout`.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_within(addr: SocketAddr, timeout: Duration) -> Result<Self, Error> {
        let mut connection = Self::open(addr)?;
        connection.set_timeout(timeout)?;
        connection.say_hello(&["idempotency", "batch", "wal_read", "cluster"])?;
        Ok(connection)
    }

    /// Opens the socket and says HELLO with the features that older clients know.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_as_legacy(addr: SocketAddr) -> Result<Self, Error> {
        Self::connect_offering(addr, &["idempotency", "batch", "wal_read"])
    }

    fn connect_offering(addr: SocketAddr, features: &[&str]) -> Result<Self, Error> {
        let mut connection = Self::open(addr)?;
        connection.say_hello(features)?;
        Ok(connection)
    }

    fn say_hello(&mut self, features: &[&str]) -> Result<(), Error> {
        let hello = json!({
            "protocol_version": PROTOCOL_VERSION,
            "client_name": "rstmdb-jepsen",
            "features": features,
        });
        self.call("HELLO", &hello).map(drop)
    }

    /// Shows a token.
    ///
    /// # Errors
    /// When the server refuses it, or the connection is gone.
    pub fn authenticate(&mut self, token: &str) -> Result<(), Error> {
        let shown = json!({"method": "bearer", "token": token});
        self.call("AUTH", &shown).map(drop)
    }

    /// Decodes what comes from now on as lines.
    pub fn set_mode(&mut self, mode: WireMode) {
        self.decoder.set_mode(mode);
    }

    /// Lets a read wait this long.
    ///
    /// # Errors
    /// When `timeout` is zero.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        self.stream
            .set_read_timeout(Some(timeout))
            .map_err(Error::io("the read timeout"))
    }

    /// Puts a request into the write buffer; gives its id.
    pub fn queue(&mut self, op: &str, params: &Value) -> String {
        let id = self.id_next.to_string();
        self.id_next += 1;
        let request = json!({"type": "request", "id": id, "op": op, "params": params});
        self.outgoing
            .extend_from_slice(&framed(&request.to_string()));
        id
    }

    /// Sends what was queued.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn flush(&mut self) -> Result<(), Error> {
        let bytes = self.outgoing.split();
        self.send(&bytes)
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::io("sending"))
    }

    /// Lets a write wait this long.
    ///
    /// # Errors
    /// When `timeout` is zero.
    pub fn set_send_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        self.stream
            .set_write_timeout(Some(timeout))
            .map_err(Error::io("the write timeout"))
    }

    /// Sends as many of these bytes as the server accepts in time. It is not an error if it accepts none.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_some(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent.map_err(Error::io("sending")),
        }
    }

    /// Tells the server that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish_sending(&mut self) -> Result<(), Error> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(Error::io("closing one half"))
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Error::Closed`] at the end, [`Error::Silent`] after the timeout.
    pub fn receive(&mut self) -> Result<RawMessage, Error> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// The next message, if it has been read already.
    ///
    /// # Errors
    /// When the bytes read are not RCP.
    pub fn buffered(&mut self) -> Result<Option<RawMessage>, Error> {
        let message = self.decoder.take(&mut self.incoming);
        match message.map_err(|reject| Error::Protocol(reject.to_string()))? {
            None => Ok(None),
            Some(message) => parse(&message.payload).map(Some),
        }
    }

    /// Reads to the end of the connection, before which only error responses may come; gives their ids
    /// and codes.
    ///
    /// # Errors
    /// When the server does not close it, or sends something else.
    pub fn refusals_until_closed(&mut self) -> Result<Vec<(String, String)>, Error> {
        let mut refusals = Vec::new();
        loop {
            match self.receive() {
                Ok(RawMessage::Response {
                    id,
                    outcome: Err(body),
                }) => {
                    refusals.push((id, body.code.to_string()));
                }
                Ok(other) => return Err(Error::Protocol(format!("no refusal: {other:?}"))),
                Err(Error::Closed) => return Ok(refusals),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut chunk = [0; READ_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Error::Closed),
            Ok(count) => {
                self.incoming.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) => Err(match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Silent,
                // The server had not read all bytes when it closed, so the system reports a reset instead of the end.
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Error::Closed,
                _ => Error::io("reading")(error),
            }),
        }
    }

    /// Sends a request and waits for its answer; anything else that comes is passed over.
    ///
    /// # Errors
    /// [`Error::Refused`] for an error response, others when there is no answer.
    pub fn call(&mut self, op: &str, params: &Value) -> Result<Value, Error> {
        let sent = self.queue(op, params);
        self.flush()?;
        loop {
            match self.receive()? {
                // An empty id: the server refuses the connection as a whole.
                RawMessage::Response { id, outcome } if id == sent || id.is_empty() => {
                    return outcome.map_err(|body| Error::refused(op, body));
                }
                RawMessage::Response { .. }
                | RawMessage::Event(_)
                | RawMessage::Progress(_)
                | RawMessage::End(_) => {}
            }
        }
    }
}

impl RawMessage {
    /// The id and the code of an error response.
    pub fn id_and_code(&self) -> Option<(&str, &str)> {
        match self {
            RawMessage::Response {
                id,
                outcome: Err(body),
            } => Some((id, body.code.as_str())),
            RawMessage::Response { .. }
            | RawMessage::Event(_)
            | RawMessage::Progress(_)
            | RawMessage::End(_) => None,
        }
    }
}

/// A payload in a frame, with its CRC.
pub fn framed(payload: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    // This fails only for a payload beyond the limit. The header below then tells the server.
    if frame::encode(&mut out, Flags::NONE, payload.as_bytes()).is_err() {
        return framed_unchecked(Flags::CRC.bits(), payload.as_bytes());
    }
    out.to_vec()
}

/// A frame with these flags, whatever they and the payload's length are.
pub fn framed_unchecked(flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut out = header(
        frame::MAGIC,
        PROTOCOL_VERSION,
        flags,
        length,
        crc32c::crc32c(payload),
    );
    out.extend_from_slice(payload);
    out
}

/// A header without an extension, whatever its fields are.
pub fn header(magic: [u8; 4], version: u16, flags: u16, payload_bytes: u32, crc: u32) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&0u16.to_be_bytes());
    out.extend_from_slice(&payload_bytes.to_be_bytes());
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn parse(payload: &[u8]) -> Result<RawMessage, Error> {
    let wrong = |problem: &str| {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
        Error::Protocol(format!("{problem}: {shown}"))
    };
    let mut value: Value =
        rstmdb_rcp::json::value_of_bytes(payload).map_err(|error| wrong(&error.to_string()))?;
    match value["type"].as_str() {
        Some("event") => return Ok(RawMessage::Event(value)),
        Some("progress") => return Ok(RawMessage::Progress(value)),
        Some("end") => return Ok(RawMessage::End(value)),
        Some("response") => {}
        _ => return Err(wrong("a message of no known type")),
    }
    let id = value["id"]
        .as_str()
        .ok_or_else(|| wrong("a response without an id"))?;
    let id = id.to_owned();
    let outcome = match value["status"].as_str() {
        Some("ok") => Ok(value["result"].take()),
        Some("error") => {
            let error = value["error"].take();
            let message = error["message"].as_str().unwrap_or_default();
            if message.is_empty() || !error["retryable"].is_boolean() {
                return Err(wrong("an error without a message or without retryable"));
            }
            Err(serde_json::from_value(error).map_err(|error| wrong(&error.to_string()))?)
        }
        _ => return Err(wrong("a response without a status")),
    };
    Ok(RawMessage::Response { id, outcome })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_ways_of_framing_agree() {
        assert_eq!(framed("{}"), framed_unchecked(Flags::CRC.bits(), b"{}"));
    }

    #[test]
    fn responses_are_told_apart() {
        let ok = parse(br#"{"type":"response","id":"1","status":"ok","result":{"a":1}}"#).unwrap();
        assert_eq!(
            ok,
            RawMessage::Response {
                id: "1".to_owned(),
                outcome: Ok(json!({"a": 1}))
            }
        );
        let refused = parse(
            br#"{"type":"response","id":"1","status":"error","error":{"code":"CONFLICT","message":"m","retryable":false}}"#,
        );
        let RawMessage::Response {
            outcome: Err(body), ..
        } = refused.unwrap()
        else {
            panic!("not an error response");
        };
        assert_eq!(body.code.as_str(), "CONFLICT");
    }

    #[test]
    fn what_is_not_a_message_is_a_protocol_error() {
        for payload in [
            "x",
            "{}",
            r#"{"type":"response","status":"ok","result":{}}"#,
            r#"{"type":"response","id":"1"}"#,
            r#"{"type":"response","id":"1","status":"error","error":{"code":"X","message":"","retryable":false}}"#,
        ] {
            assert!(
                matches!(parse(payload.as_bytes()), Err(Error::Protocol(_))),
                "{payload}"
            );
        }
    }
}
