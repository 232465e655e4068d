//! Live events: server-sent events, or one JSON document a line.
//!
//! The messages of a watch are passed on as the session writes them, without the name that the watch has there. Nothing
//! is read from the session while the client does not read, so a slow client's watch stands still as it does in RCP.
//! The piece that the client does not read counts as held, so the node gives such a client up when it has to.
//!
//! The id of an event says how far its reader has come: `OFFSET.COUNT`, because the events of an atomic batch share an
//! offset and a connection may be lost between them. The id of a notice of progress is `OFFSET`: the reader has
//! everything up to there. The order of events is the same on every node, so a reader can go on at any node.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use bytes::{BufMut, Bytes, BytesMut};
use rstmdb_rcp::message::{ErrorBody, Incoming};
use rstmdb_rcp::wire::WireMessage;
use serde::Deserialize;

use super::page::{put_line, put_without_line_ends};
use crate::server::clients::budget::GRAIN_BYTES;
use crate::server::http::asked::Resume;
use crate::server::http::held::{Held, HeldBytes};
use crate::server::http::link::Link;
use crate::server::http::problem::Problem;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Server-sent events, for browsers.
    Sse,
    /// A document a line.
    Lines,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// The answer to a watch that has begun, and the watch.
pub(crate) struct EventStream {
    link: Link,
    writer: EventWriter,
    /// The answer, which is sent first.
    begun: Option<Bytes>,
    is_over: bool,
    held: Held,
    /// What is still to be sent of a piece, and the memory that the piece takes.
    sending: Option<(Bytes, HeldBytes)>,
}

/// Writes messages of one watch, and counts what its reader has.
struct EventWriter {
    format: Format,
    position: Resume,
    /// Events at the first offset that the reader has already.
    repeats: u64,
    /// The beginning of every event, up to where its own fields begin.
    event_begin: String,
}

/// What the answer to a watch says of the place where it starts.
#[derive(Deserialize)]
struct Begun {
    subscription_id: String,
    wal_offset: Option<u64>,
    current_wal_offset: Option<u64>,
    earliest_offset: Option<u64>,
}

#[derive(Deserialize)]
struct Passed {
    wal_offset: u64,
}

#[derive(Deserialize)]
struct Ended {
    error: ErrorBody,
}

impl EventStream {
    /// A stream behind this answer. `from` is where the watch was asked to start.
    pub(crate) fn new(
        link: Link,
        begun: Bytes,
        format: Format,
        from: Option<u64>,
        resume: Option<Resume>,
        held: &Held,
    ) -> serde_json::Result<Self> {
        let answer: Begun = serde_json::from_slice(&begun)?;
        let head = answer.wal_offset.or(answer.current_wal_offset).unwrap_or(0);
        let earliest = answer.earliest_offset.unwrap_or(0);
        let offset = match from {
            None => head.saturating_add(1).max(earliest),
            Some(0) => earliest,
            Some(from) => from,
        };
        let start = Resume {
            offset,
            delivered: 0,
        };
        let position = resume.unwrap_or(start);
        let id = &answer.subscription_id;
        Ok(Self {
            link,
            writer: EventWriter {
                format,
                position,
                repeats: position.delivered,
                event_begin: format!("{{\"type\":\"event\",\"subscription_id\":\"{id}\","),
            },
            begun: Some(begun),
            is_over: false,
            held: held.clone(),
            sending: None,
        })
    }

    /// The response whose body it is.
    pub(crate) fn into_response(self) -> Response<Body> {
        let kind = HeaderValue::from_static(self.writer.format.content_type());
        let pieces = futures_util::stream::unfold(self, |mut stream| async move {
            let piece = stream.part().await?;
            Some((Ok::<_, Infallible>(piece), stream))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // So the connection ends as soon as the end of the stream is written, and one that stays has not written it.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // Some proxies would hold events back until they have many.
        let buffering = HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        response
    }

    /// The next piece, or a part of a large one. Whoever asks for it has written the part before.
    async fn part(&mut self) -> Option<Bytes> {
        if self
            .sending
            .as_ref()
            .is_none_or(|(rest, _)| rest.is_empty())
        {
            // A client that waits for events holds nothing.
            self.sending = None;
            let piece = self.piece().await?;
            let (room, session) = (self.link.take_room(), self.link.session());
            let unread = HeldBytes::new(&self.held, room, piece.len(), Some(session));
            self.sending = Some((piece, unread));
        }
        let (rest, unread) = self.sending.as_mut()?;
        let part = rest.split_to(rest.len().min(GRAIN_BYTES));
        unread.moved(rest.len());
        Some(part)
    }

    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(begun) = self.begun.take() {
            return Some(self.writer.begun(&begun));
        }
        while !self.is_over {
            let message = self.link.next().await?;
            let (piece, is_last) = self.writer.message(&message)?;
            self.is_over = is_last;
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.sending = None;
        self.held.stream_ended(self.link.session());
    }
}

impl EventWriter {
    fn begun(&self, answer: &[u8]) -> Bytes {
        // The answer begins with the name of the watch, which means nothing here.
        let rest = answer.iter().position(|byte| *byte == b',');
        let rest = rest.and_then(|at| answer.get(at..)).unwrap_or(b"}");
        let mut json = BytesMut::from(&b"{\"type\":\"watching\""[..]);
        json.put_slice(rest);
        self.write(Some("watching"), Some(&self.id()), &json)
    }

    /// How far the reader has come.
    fn id(&self) -> String {
        match self.position {
            Resume {
                offset,
                delivered: 0,
            } => offset.saturating_sub(1).to_string(),
            Resume { offset, delivered } => format!("{offset}.{delivered}"),
        }
    }

    /// A message, written; empty if the reader has it already. `None`: it is not to be understood.
    fn message(&mut self, message: &WireMessage) -> Option<(Bytes, bool)> {
        let payload = &message.payload;
        match Incoming::parse(payload).ok()? {
            Incoming::Event => {
                let passed: Passed = serde_json::from_slice(payload).ok()?;
                if !self.advance(passed.wal_offset) {
                    return Some((Bytes::new(), false));
                }
                let rest = payload.strip_prefix(self.event_begin.as_bytes())?;
                let mut json = BytesMut::with_capacity(payload.len());
                json.put_slice(b"{\"type\":\"event\",");
                json.put_slice(rest);
                Some((self.write(None, Some(&self.id()), &json), false))
            }
            Incoming::Progress => {
                let passed: Passed = serde_json::from_slice(payload).ok()?;
                if passed.wal_offset >= self.position.offset {
                    self.position = Resume {
                        offset: passed.wal_offset.saturating_add(1),
                        delivered: 0,
                    };
                }
                let offset = passed.wal_offset;
                let json = format!("{{\"type\":\"progress\",\"wal_offset\":{offset}}}");
                let piece = self.write(Some("progress"), Some(&self.id()), json.as_bytes());
                Some((piece, false))
            }
            Incoming::End => {
                let ended: Ended = serde_json::from_slice(payload).ok()?;
                Some((self.end(ended.error), true))
            }
            // The token was taken back: the session says so outside of any request.
            Incoming::Response {
                outcome: Err(error),
                ..
            } => Some((self.end(serde_json::from_str(error.get()).ok()?), true)),
            Incoming::Response { .. } | Incoming::Unknown => Some((Bytes::new(), false)),
        }
    }

    /// Counts an event at this offset; `false` if the reader has it already.
    fn advance(&mut self, offset: u64) -> bool {
        if offset != self.position.offset {
            self.position = Resume {
                offset,
                delivered: 1,
            };
            self.repeats = 0;
            return true;
        }
        if self.repeats > 0 {
            self.repeats -= 1;
            return false;
        }
        self.position.delivered += 1;
        true
    }

    fn end(&self, error: ErrorBody) -> Bytes {
        let mut json = BytesMut::from(&b"{\"type\":\"end\",\"problem\":"[..]);
        json.put_slice(&Problem::from(error).to_json());
        json.put_u8(b'}');
        self.write(Some("end"), None, &json)
    }

    fn write(&self, event: Option<&str>, id: Option<&str>, json: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(json.len() + 64);
        if self.format == Format::Lines {
            put_line(&mut out, json);
            return out.freeze();
        }
        if let Some(event) = event {
            out.put_slice(format!("event: {event}\n").as_bytes());
        }
        if let Some(id) = id {
            out.put_slice(format!("id: {id}\n").as_bytes());
        }
        out.put_slice(b"data: ");
        put_without_line_ends(&mut out, json);
        out.put_slice(b"\n\n");
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_rcp::frame::Flags;

    use super::*;

    fn writer(format: Format, position: Resume) -> EventWriter {
        EventWriter {
            format,
            position,
            repeats: position.delivered,
            event_begin: "{\"type\":\"event\",\"subscription_id\":\"s\",".to_owned(),
        }
    }

    fn told(writer: &mut EventWriter, payload: &str) -> (String, bool) {
        let message = WireMessage {
            flags: Flags::STREAM,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        let (piece, is_last) = writer.message(&message).unwrap();
        (String::from_utf8(piece.to_vec()).unwrap(), is_last)
    }

    fn event(offset: u64) -> String {
        format!(
            "{{\"type\":\"event\",\"subscription_id\":\"s\",\"wal_offset\":{offset},\"ctx\":{{\"a\":\n1}}}}"
        )
    }

    const START: Resume = Resume {
        offset: 5,
        delivered: 0,
    };

    #[test]
    fn ids_say_how_far_a_reader_has_come() {
        let mut writer = writer(Format::Sse, START);
        let begun = writer.begun(b"{\"subscription_id\":\"s\",\"wal_offset\":4}");
        assert_eq!(
            begun,
            "event: watching\nid: 4\ndata: {\"type\":\"watching\",\"wal_offset\":4}\n\n"
        );
        let (first, _) = told(&mut writer, &event(7));
        assert_eq!(
            first,
            "id: 7.1\ndata: {\"type\":\"event\",\"wal_offset\":7,\"ctx\":{\"a\": 1}}\n\n"
        );
        assert!(told(&mut writer, &event(7)).0.starts_with("id: 7.2\n"));
        let progress = "{\"type\":\"progress\",\"subscription_id\":\"s\",\"wal_offset\":9}";
        let (progress, _) = told(&mut writer, progress);
        assert_eq!(
            progress,
            "event: progress\nid: 9\ndata: {\"type\":\"progress\",\"wal_offset\":9}\n\n"
        );
        assert!(told(&mut writer, &event(10)).0.starts_with("id: 10.1\n"));
    }

    #[test]
    fn a_reader_that_was_cut_off_in_a_batch_gets_the_rest_of_it() {
        for (id, expected) in [("7", 0), ("7.1", 2), ("7.2", 1), ("7.3", 0), ("6", 3)] {
            let resume = Resume::parse(id).unwrap();
            let mut writer = writer(Format::Lines, resume);
            // What the watch delivers from there on.
            let offsets = [7, 7, 7, 8]
                .into_iter()
                .filter(|offset| *offset >= resume.offset);
            let pieces: Vec<String> = offsets
                .map(|offset| told(&mut writer, &event(offset)).0)
                .collect();
            let new = pieces
                .iter()
                .filter(|piece| piece.contains("\"wal_offset\":7"));
            assert_eq!(new.count(), expected, "{id}");
            assert!(pieces.last().unwrap().contains("\"wal_offset\":8"));
        }
        for wrong in [
            "",
            "x",
            "7.",
            ".1",
            "7.1.1",
            "-1",
            "+7",
            "7.+1",
            "99999999999999999999",
        ] {
            assert_eq!(Resume::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_is_a_problem_and_the_last_piece() {
        let mut writer = writer(Format::Lines, START);
        let end = "{\"type\":\"end\",\"subscription_id\":\"s\",\"error\":{\"code\":\"NO_LEADER\",\"message\":\"m\",\"retryable\":true}}";
        let (piece, is_last) = told(&mut writer, end);
        assert!(is_last && piece.ends_with("}\n"));
        let value = rstmdb_rcp::json::value(&piece).unwrap();
        assert_eq!(value["problem"]["status"], 503);
        let revoked = "{\"type\":\"response\",\"id\":\"\",\"status\":\"error\",\"error\":{\"code\":\"UNAUTHORIZED\",\"message\":\"m\"}}";
        let (piece, is_last) = told(&mut writer, revoked);
        assert!(is_last && piece.contains("\"status\":401"));
    }
}
