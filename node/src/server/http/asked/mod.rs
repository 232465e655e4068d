//! From a request of HTTP to an operation and its parameters.
//!
//! | module | subject |
//! |---|---|
//! | `percent` | texts in a URL |
//! | `members` | what path, query and headers say, as JSON |
//! | `object` | the body, passed on as it is |

pub(crate) mod members;
pub(crate) mod object;
pub(crate) mod percent;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MATCH, TRANSFER_ENCODING,
};
use axum::http::{HeaderName, Method, StatusCode, Uri, request};
use rstmdb_rcp::PAYLOAD_BYTES_MAX;
use rstmdb_rcp::message::op::{self, OpKind};

use super::operations::{ENTRIES, Entry, Field, Kind, Shape, shape};
use super::problem::Problem;
use crate::server::messages::op::Op;
use members::Members;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the envelope of a request adds to its parameters, at most.
const ENVELOPE_BYTES: usize = 256;
/// A path has no more segments than this; further ones lead nowhere.
const SEGMENTS_MAX: usize = 8;

/// A request that was understood, but for its body.
pub(crate) struct Asked {
    /// The route.
    pub(crate) entry: &'static Entry,
    /// What its operation takes.
    pub(crate) shape: &'static Shape,
    /// What everything but the body says.
    pub(crate) members: Members,
    /// The length of the body; 0 for none.
    pub(crate) body_bytes: usize,
    /// Where a stream goes on.
    pub(crate) resume: Option<Resume>,
    /// The header If-Match was there.
    pub(crate) is_conditional: bool,
}

/// How far a client has read a stream: everything before `offset`, and the first `delivered` events at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) offset: u64,
    pub(crate) delivered: u64,
}

impl Resume {
    /// Reads the id of an event: `OFFSET.COUNT` for the first events at an offset, `OFFSET` for all of them.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        match id.split_once('.') {
            Some((offset, count)) => Some(Self {
                offset: offset_of(offset)?,
                delivered: offset_of(count)?,
            }),
            None => Some(Self {
                offset: offset_of(id)?.checked_add(1)?,
                delivered: 0,
            }),
        }
    }
}

/// The number that these digits are. Unlike `parse`, a sign is refused.
fn offset_of(digits: &str) -> Option<u64> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| are_digits)
}

/// What a path leads to.
pub(crate) enum Found {
    /// This operation, with the parameters in the path.
    Entry(&'static Entry, Vec<(&'static str, String)>),
    /// Other methods only.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// Looks a path up.
///
/// # Errors
/// When it cannot be decoded.
pub(crate) fn find(method: &Method, path: &str) -> Result<Found, Problem> {
    let segments: Vec<&str> = path
        .strip_prefix('/')
        .unwrap_or(path)
        .splitn(SEGMENTS_MAX + 1, '/')
        .collect();
    let decode = |text: &&str| {
        percent::decode(text, false)
            .map(Cow::into_owned)
            .map(Cow::Owned)
    };
    let decoded: Result<Vec<Cow<'_, str>>, _> = segments.iter().map(decode).collect();
    let decoded = decoded.map_err(|why| Problem::bad("path", &format!("the path {why}")))?;
    let mut others = Vec::new();
    for entry in ENTRIES.iter() {
        let Some(values) = entry.values(&decoded) else {
            continue;
        };
        let is_head =
            *method == Method::HEAD && entry.route.method == Method::GET && !entry.streams();
        if entry.route.method == *method || is_head {
            let owned = values
                .into_iter()
                .map(|(name, value)| (name, value.to_owned()));
            return Ok(Found::Entry(entry, owned.collect()));
        }
        others.push(entry.route.method.clone());
        if entry.route.method == Method::GET && !entry.streams() {
            others.push(Method::HEAD);
        }
    }
    if others.is_empty() {
        return Ok(Found::Nothing);
    }
    others.push(Method::OPTIONS);
    Ok(Found::OtherMethods(others))
}

/// Understands a request for this operation.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn understand(
    entry: &'static Entry,
    in_path: Vec<(&'static str, String)>,
    head: &request::Parts,
) -> Result<Asked, Problem> {
    let Some(shape) = shape(entry.op) else {
        return Err(Problem::nowhere(head.uri.path()));
    };
    let mut members = Members::default();
    for (name, value) in in_path {
        if let Some(field) = shape.param(name) {
            add(&mut members, field, &value)?;
        }
    }
    read_query(&mut members, entry, shape, &head.uri, &head.method)?;
    read_key(&mut members, entry.op, &head.headers)?;
    let is_conditional = read_condition(&mut members, shape, &head.headers)?;
    let resume = read_resume(&mut members, entry, &head.headers)?;
    let body_bytes = body_bytes(entry, &members, &head.headers)?;
    Ok(Asked {
        entry,
        shape,
        members,
        body_bytes,
        resume,
        is_conditional,
    })
}

fn add(members: &mut Members, field: &'static Field, value: &str) -> Result<(), Problem> {
    let added = members.add(field, value);
    added.map_err(|why| {
        Problem::bad(
            &format!("params.{}", field.name),
            &format!("{}: {why}", field.name),
        )
    })
}

fn read_query(
    members: &mut Members,
    entry: &Entry,
    shape: &'static Shape,
    uri: &Uri,
    method: &Method,
) -> Result<(), Problem> {
    // What a link or an image can ask for must change nothing.
    let is_link = *method == Method::GET || *method == Method::HEAD;
    let takes_any = !(is_link && op::kind(entry.op.name()) == Some(OpKind::Write));
    let mut lists: Vec<(&'static Field, Vec<String>)> = Vec::new();
    for pair in uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| {
            let decoded = percent::decode(text, true);
            decoded.map_err(|why| Problem::bad("query", &format!("the query {why}")))
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        let field = shape.param(&name).filter(|_| takes_any);
        let Some(field) = field else {
            return Err(unknown_name("query", &name, shape, takes_any));
        };
        if field.kind == Kind::Texts {
            match lists.iter_mut().find(|(known, _)| known.name == field.name) {
                Some((_, values)) => values.push(value.into_owned()),
                None => lists.push((field, vec![value.into_owned()])),
            }
        } else if members.has(field.name) {
            let problem = format!("{} is given twice", field.name);
            return Err(Problem::bad(&format!("params.{}", field.name), &problem));
        } else {
            add(members, field, &value)?;
        }
    }
    for (field, values) in lists {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        members.add_texts(field.name, &values);
    }
    Ok(())
}

/// For a name in this `part` of the request that is no parameter of the operation.
pub(crate) fn unknown_name(
    part: &str,
    name: &str,
    shape: &'static Shape,
    takes_any: bool,
) -> Problem {
    let shown: String = name.chars().take(64).collect();
    let known: Vec<&str> = shape.all_params().map(|field| field.name).collect();
    let takes = match known.as_slice() {
        _ if !takes_any => "a GET takes none here".to_owned(),
        [] => "there are none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Problem::bad(
        &format!("{part}.{shown}"),
        &format!("{shown:?} is not a parameter: {takes}"),
    )
}

/// The text of a header; `None` where it is not there.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let wrong = |why: &str| Problem::bad(name.as_str(), &format!("the header {name} {why}"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("is there twice"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong("is not UTF-8"))?;
    Ok(Some(text.trim()))
}

fn read_key(members: &mut Members, op: Op, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(key) = text(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(());
    };
    if !op::takes_idempotency_key(op.name()) {
        let why = match op {
            Op::Batch => "each operation of a batch has its own idempotency_key",
            _ => "this request takes none",
        };
        return Err(Problem::bad(
            IDEMPOTENCY_KEY.as_str(),
            &format!("Idempotency-Key: {why}"),
        ));
    }
    if members.has("idempotency_key") {
        return Err(Problem::bad(
            "params.idempotency_key",
            "idempotency_key is given twice",
        ));
    }
    // Some clients write it as a quoted text, as the draft of the header has it.
    let bare = key
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    members.add_text("idempotency_key", bare.unwrap_or(key));
    Ok(())
}

fn read_condition(
    members: &mut Members,
    shape: &Shape,
    headers: &HeaderMap,
) -> Result<bool, Problem> {
    let Some(tag) = text(headers, &IF_MATCH)? else {
        return Ok(false);
    };
    let wrong = |why: &str| Problem::bad(IF_MATCH.as_str(), &format!("If-Match: {why}"));
    if shape.param("expected_wal_offset").is_none() {
        return Err(wrong("this request takes none"));
    }
    if members.has("expected_wal_offset") {
        return Err(wrong("expected_wal_offset is given, too"));
    }
    let offset = tag
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let offset = offset.and_then(offset_of);
    let expected = "expected one offset in quotes, as an ETag of this server has it";
    members.add_number(
        "expected_wal_offset",
        offset.ok_or_else(|| wrong(expected))?,
    );
    Ok(true)
}

fn read_resume(
    members: &mut Members,
    entry: &Entry,
    headers: &HeaderMap,
) -> Result<Option<Resume>, Problem> {
    let Some(id) = text(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    if !entry.streams() {
        return Ok(None);
    }
    let expected = "expected the id of an event of this server, OFFSET or OFFSET.COUNT";
    let resume = Resume::parse(id).ok_or_else(|| {
        Problem::bad(
            LAST_EVENT_ID.as_str(),
            &format!("Last-Event-ID: {expected}"),
        )
    })?;
    // A browser that connects again sends the first URL, so the header counts.
    members.add_number("from_offset", resume.offset);
    Ok(Some(resume))
}

/// The length of the body.
fn body_bytes(entry: &Entry, members: &Members, headers: &HeaderMap) -> Result<usize, Problem> {
    let length = text(headers, &CONTENT_LENGTH)?.map(str::parse::<u64>);
    let length = match length {
        Some(Ok(length)) => length,
        None if !headers.contains_key(TRANSFER_ENCODING) => 0,
        _ => {
            let why = "a body needs the header Content-Length";
            return Err(Problem::new(StatusCode::LENGTH_REQUIRED, why));
        }
    };
    if length == 0 {
        return Ok(0);
    }
    if entry.route.method == Method::GET {
        return Err(Problem::bad(
            "body",
            "a GET has no body: its parameters are in the query",
        ));
    }
    let kind = text(headers, &CONTENT_TYPE)?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // A page of a stranger may send other types without asking first.
    if !kind.eq_ignore_ascii_case("application/json") {
        let why =
            "a body has to be JSON, and the header Content-Type has to say so: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let coding = text(headers, &CONTENT_ENCODING)?.unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        let why = "a body cannot be compressed: the header Content-Encoding has to be absent";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let room = PAYLOAD_BYTES_MAX - ENVELOPE_BYTES - members.text().len();
    match usize::try_from(length) {
        Ok(length) if length <= room => Ok(length),
        _ => {
            let why = format!("a body has at most {room} bytes here, got {length}");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
    }
}
