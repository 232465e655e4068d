//! From the answer of a session to a response of HTTP.
//!
//! | module | subject |
//! |---|---|
//! | `stream` | live events |
//! | `page` | lists, one item a line |

pub(crate) mod page;
pub(crate) mod stream;

use std::borrow::Cow;
use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION,
};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use rstmdb_rcp::message::ResponseMeta;
use serde::Deserialize;

use super::asked::percent;
use super::held::{Held, HeldBytes};
use super::operations;
use crate::server::clients::budget::{GRAIN_BYTES, ReservedRoom};
use crate::server::messages::op::Op;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Whether the node that answers leads.
const LEADER: HeaderName = HeaderName::from_static("rstmdb-leader");
/// Where a write took effect.
const WAL_OFFSET: HeaderName = HeaderName::from_static("rstmdb-wal-offset");
/// What a list has besides its items.
const PAGE: HeaderName = HeaderName::from_static("rstmdb-page");

/// What a client wants for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Json,
    Lines,
    Events,
}

impl Wanted {
    /// By the header Accept: the first type in it that this server has. Without one, or with none of these, JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(axum::http::header::ACCEPT).iter();
        let accepted = accepts.filter_map(|value| value.to_str().ok());
        for kind in accepted.flat_map(|value| value.split(',')) {
            match kind.split(';').next().unwrap_or_default().trim() {
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                    return Self::Lines;
                }
                "text/event-stream" => return Self::Events,
                "application/json" | "*/*" => return Self::Json,
                _ => {}
            }
        }
        Self::Json
    }
}

/// What headers say of a result.
#[derive(Default, Deserialize)]
struct Noted<'a> {
    wal_offset: Option<u64>,
    last_wal_offset: Option<u64>,
    #[serde(borrow)]
    instance_id: Option<Cow<'a, str>>,
    #[serde(default)]
    dry_run: bool,
}

/// The response for a result.
pub(crate) fn response(
    op: Op,
    meta: ResponseMeta,
    room: ReservedRoom,
    result: Bytes,
    headers: &HeaderMap,
    held: &Held,
) -> Response<Body> {
    // Borrows from a second handle of the same bytes.
    let shown = result.clone();
    let noted = noted(op, &shown);
    let tag = tag(op, &noted);
    let known = |tag: &HeaderValue| headers.get_all(IF_NONE_MATCH).iter().any(|it| it == tag);
    if let Some(tag) = tag
        .as_ref()
        .filter(|tag| op == Op::GetInstance && known(tag))
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, tag.clone());
        add_meta(response.headers_mut(), &meta);
        return response;
    }
    let wants_lines = Wanted::of(headers) == Wanted::Lines;
    let page = operations::items(op).filter(|_| wants_lines);
    let page = page.and_then(|items| page::split(&result, items).ok());
    let (kind, body, rest) = match page {
        Some(page) => (NDJSON, page.lines, page.rest),
        None => (JSON, result, None),
    };
    let mut response = Response::new(Body::empty());
    if op == Op::CreateInstance && !noted.dry_run {
        *response.status_mut() = StatusCode::CREATED;
    }
    let to = response.headers_mut();
    to.insert(CONTENT_TYPE, kind);
    to.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    tag.and_then(|tag| to.insert(ETAG, tag));
    rest.and_then(|rest| to.insert(PAGE, rest));
    add_meta(to, &meta);
    let created = noted
        .instance_id
        .filter(|_| op == Op::CreateInstance && !noted.dry_run);
    let place = created.map(|id| format!("/v1/instances/{}", percent::encode(&id)));
    let place = place.and_then(|place| HeaderValue::from_str(&place).ok());
    place.and_then(|place| to.insert(LOCATION, place));
    *response.body_mut() = body_of(body, room, held);
    response
}

fn noted(op: Op, result: &[u8]) -> Noted<'_> {
    let has_tag = matches!(
        op,
        Op::GetInstance | Op::CreateInstance | Op::ApplyEvent | Op::TimerSet | Op::AllowedEvents
    );
    match has_tag {
        true => serde_json::from_slice(result).unwrap_or_default(),
        false => Noted::default(),
    }
}

/// The offset of the instance's last change: If-Match takes it.
fn tag(op: Op, noted: &Noted<'_>) -> Option<HeaderValue> {
    let offset = match op {
        _ if noted.dry_run => None,
        Op::GetInstance | Op::AllowedEvents => noted.last_wal_offset,
        _ => noted.wal_offset,
    };
    HeaderValue::from_str(&format!("\"{}\"", offset?)).ok()
}

fn add_meta(headers: &mut HeaderMap, meta: &ResponseMeta) {
    if let Some(leader) = meta.leader {
        let text = if leader { "true" } else { "false" };
        headers.insert(LEADER, HeaderValue::from_static(text));
    }
    if let Some(offset) = meta.wal_offset {
        headers.insert(WAL_OFFSET, HeaderValue::from(offset));
    }
}

/// A body that gives its memory back when it is sent. A large one goes out in parts, so that the node sees whether its
/// client goes on.
fn body_of(body: Bytes, room: ReservedRoom, held: &Held) -> Body {
    if body.len() < GRAIN_BYTES {
        return Body::from(body);
    }
    let held = HeldBytes::new(held, room, body.len(), None);
    let state = (body, held);
    Body::from_stream(futures_util::stream::unfold(
        state,
        |(mut rest, mut held)| async move {
            if rest.is_empty() {
                return None;
            }
            let part = rest.split_to(rest.len().min(GRAIN_BYTES));
            held.moved(rest.len());
            Some((Ok::<_, Infallible>(part), (rest, held)))
        },
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_type_that_the_server_has_counts() {
        for (accept, wanted) in [
            ("*/*", Wanted::Json),
            ("text/html, application/x-ndjson;q=0.5, */*", Wanted::Lines),
            ("application/json, application/x-ndjson", Wanted::Json),
            ("text/event-stream", Wanted::Events),
            ("text/html", Wanted::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(axum::http::header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Wanted::of(&headers), wanted, "{accept}");
        }
        assert_eq!(Wanted::of(&HeaderMap::new()), Wanted::Json);
    }

    #[test]
    fn a_tag_is_the_offset_of_the_last_change_and_a_dry_run_has_none() {
        let tag = |op, json: &'static str| tag(op, &noted(op, json.as_bytes()));
        let is = |text| Some(HeaderValue::from_static(text));
        assert_eq!(
            tag(
                Op::GetInstance,
                r#"{"ctx":{"wal_offset":3},"last_wal_offset":7}"#
            ),
            is("\"7\"")
        );
        assert_eq!(
            tag(Op::ApplyEvent, r#"{"wal_offset":8,"applied":true}"#),
            is("\"8\"")
        );
        assert_eq!(
            tag(Op::ApplyEvent, r#"{"wal_offset":null,"dry_run":true}"#),
            None
        );
        assert_eq!(tag(Op::TimerSet, r#"{"applied":false}"#), None);
        assert_eq!(tag(Op::FlushAll, r#"{"wal_offset":8}"#), None);
    }
}
