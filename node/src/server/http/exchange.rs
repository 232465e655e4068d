//! One request and its answer.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, request};
use bytes::BytesMut;
use futures_util::StreamExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::op::{self, OpKind};
use rstmdb_rcp::message::request::NOT_AN_OBJECT;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::answered::stream::{EventStream, Format};
use super::answered::{self, Wanted};
use super::asked::object::{ObjectPasser, Refused};
use super::asked::{self, Asked, Found};
use super::browser;
use super::documents;
use super::held::Held;
use super::link::{self, Link, LinkAnswer, LinkContext};
use super::problem::Problem;
use crate::server::logging::traces::TraceParent;
use crate::server::transport::strangers::{Stranger, Strangers};

/// A connection, as its requests see it.
pub(crate) struct Exchange {
    pub(crate) context: LinkContext,
    pub(crate) strangers: Arc<Strangers>,
    /// The place of the connection among those that are not known yet, until a session takes it over.
    pub(crate) stranger: Mutex<Option<Stranger>>,
    /// Between two requests: the session of this connection.
    pub(crate) link: Mutex<Option<Link>>,
    pub(crate) held: Held,
    pub(crate) is_tls: bool,
}

impl Exchange {
    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut response = match self.answer_or_refuse(&head, body).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        };
        let headers = response.headers_mut();
        let sniffing = HeaderName::from_static("x-content-type-options");
        headers.insert(sniffing, HeaderValue::from_static("nosniff"));
        if !headers.contains_key(CACHE_CONTROL) {
            // Answers change with every write. A client that has one may ask whether it still holds (ETag).
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        self.context.shared.metrics.http_answered(response.status());
        response
    }

    async fn answer_or_refuse(
        &self,
        head: &request::Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let is_open = !self.is_tls && !self.context.shared.tokens.required();
        if let Some(refusal) = browser::refusal(head, is_open) {
            return Err(refusal);
        }
        let path = head.uri.path();
        if let Some(document) = documents::find(path) {
            return documents::answer(document, head);
        }
        let (entry, in_path) = match asked::find(&head.method, path)? {
            Found::Entry(entry, in_path) => (entry, in_path),
            Found::OtherMethods(allowed) if head.method == Method::OPTIONS => {
                return Ok(documents::options(&allowed));
            }
            Found::OtherMethods(allowed) => {
                return Err(Problem::not_allowed(&head.method, &allowed));
            }
            Found::Nothing => return Err(Problem::nowhere(path)),
        };
        let token = bearer(&head.headers)?;
        let mut asked = asked::understand(entry, in_path, head)?;
        if token.is_none() && self.is_stranger() {
            // The session refuses the request whatever is in it, and takes only short ones from strangers.
            asked.body_bytes = 0;
        }
        let mut link = self.link(token).await?;
        if let Some(token) = token
            && let Err(error) = link.authenticate(token).await
        {
            self.keep(link);
            return Err(error.into());
        }
        if self.context.shared.traces.is_some() {
            link.belong_to(traceparent(&head.headers));
        }
        send(&mut link, &asked, body, &self.context.drain).await?;
        self.receive(link, &asked, &head.headers).await
    }

    /// Whether a request without a token comes from a client that is not known, and has to be.
    fn is_stranger(&self) -> bool {
        let tokens = &self.context.shared.tokens;
        let names = self.context.origin.names.as_deref();
        let by_certificate = names.and_then(|names| tokens.bearer_of_certificate(names));
        tokens.required() && by_certificate.is_none()
    }

    /// The session for a request with this token.
    async fn link(&self, token: Option<&str>) -> Result<Link, Problem> {
        let kept = self.link.lock().take();
        if let Some(link) = kept.filter(|link| link.serves(token)) {
            return Ok(link);
        }
        let stranger = self.stranger.lock().take();
        let stranger = match stranger {
            Some(stranger) => stranger,
            None => self.strangers.admit().await,
        };
        let link = Link::open(&self.context, stranger).await;
        link.ok_or_else(|| Problem::from(link::ended()).closing())
    }

    fn keep(&self, link: Link) {
        *self.link.lock() = Some(link);
    }

    async fn receive(
        &self,
        mut link: Link,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Problem> {
        let Some(answer) = link.answer().await else {
            return Err(lost(asked).closing());
        };
        let LinkAnswer {
            outcome,
            meta,
            room,
        } = answer;
        let result = match outcome {
            Ok(result) => result,
            Err(error) => {
                if let Some(problem) = not_json(&error) {
                    // The session ends with this answer.
                    return Err(problem.closing());
                }
                self.keep(link);
                let problem = Problem::from(error);
                return Err(if asked.is_conditional {
                    problem.of_condition()
                } else {
                    problem
                });
            }
        };
        if asked.entry.streams() {
            let format = match Wanted::of(headers) {
                Wanted::Lines => Format::Lines,
                Wanted::Events | Wanted::Json => Format::Sse,
            };
            let from = from_offset(asked);
            let stream = EventStream::new(link, result, format, from, asked.resume, &self.held);
            let stream =
                stream.map_err(|_| ErrorBody::new(Code::InternalError, "the watch has no name"))?;
            return Ok(stream.into_response());
        }
        self.keep(link);
        Ok(answered::response(
            asked.entry.op,
            meta,
            room,
            result,
            headers,
            &self.held,
        ))
    }
}

/// Sends the request to the session.
async fn send(
    link: &mut Link,
    asked: &Asked,
    body: Incoming,
    drain: &CancellationToken,
) -> Result<(), Problem> {
    let (op, members) = (asked.entry.op.name(), asked.members.text());
    if asked.body_bytes == 0 {
        let mut params = BytesMut::with_capacity(members.len() + 2);
        params.extend_from_slice(b"{");
        params.extend_from_slice(members);
        params.extend_from_slice(b"}");
        link.ask(op, &params).await;
        return Ok(());
    }
    let params_bytes = ObjectPasser::passed_bytes(asked.body_bytes, members);
    link.begin(op, params_bytes).await;
    let mut pieces = Body::new(body).into_data_stream();
    let mut passer = ObjectPasser::new(asked.shape);
    let refused = |why| {
        let problem = match why {
            Refused::NotAnObject => Problem::bad("body", "the body is not one JSON object"),
            Refused::UnknownName(name) => asked::unknown_name("body", &name, asked.shape, true),
        };
        problem.closing()
    };
    while let Some(piece) = next_piece(&mut pieces, link, drain).await? {
        let mut passed = BytesMut::with_capacity(piece.len() + members.len() + 1);
        // The session is given up with the request that was begun.
        passer.pass(&piece, members, &mut passed).map_err(refused)?;
        link.go_on(&passed).await;
    }
    passer.end().map_err(refused)?;
    link.go_on(b"}").await;
    Ok(())
}

/// The next piece of a body, unless the session gives up waiting for it.
async fn next_piece(
    pieces: &mut BodyDataStream,
    link: &mut Link,
    drain: &CancellationToken,
) -> Result<Option<bytes::Bytes>, Problem> {
    let piece = tokio::select! {
        biased;
        piece = pieces.next() => piece,
        () = link.ended() => {
            // A node that stops ends its sessions, too: another node can serve the request.
            if drain.is_cancelled() {
                return Err(Problem::from(link::ended()).closing());
            }
            let why = "the body has not come in time";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, why).closing());
        }
    };
    piece.transpose().map_err(|error| {
        tracing::debug!(%error, "the body of a request could not be read");
        Problem::bad("body", "the body ends before its Content-Length").closing()
    })
}

/// The problem, if this error says that the request to the session was not JSON, which only a body can cause. Where the
/// session found it says nothing to a client, because the body stands inside that request.
fn not_json(error: &ErrorBody) -> Option<Problem> {
    let why = error.message.strip_prefix(NOT_AN_OBJECT)?;
    let why = [" at line ", " from index "]
        .iter()
        .find_map(|place| why.rsplit_once(place))
        .map_or(why, |(why, _)| why);
    Some(Problem::bad(
        "body",
        &format!("the body is not JSON: {why}"),
    ))
}

/// The session has ended without an answer, because the node stops.
fn lost(asked: &Asked) -> Problem {
    let name = asked.entry.op.name();
    let message = "this node stops, and the answer is not known";
    let error = ErrorBody::new(Code::NoLeader, message);
    let is_keyed = asked.members.has("idempotency_key");
    let error = match op::kind(name) {
        Some(OpKind::Write) if !is_keyed => error.with_unknown_outcome(),
        Some(OpKind::Write | OpKind::Maintenance) => {
            error.with_details(json!({ "outcome": "unknown" }))
        }
        _ => error,
    };
    error.into()
}

/// What the request says it belongs to. Anything but one valid header counts as none.
fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all("traceparent").iter();
    let value = values.next()?;
    let is_one = values.next().is_none();
    TraceParent::parse(value.to_str().ok()?).filter(|_| is_one)
}

/// The token in the header Authorization.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let wrong = || {
        let message = "the header Authorization: expected Bearer and a token";
        Problem::from(ErrorBody::new(Code::AuthFailed, message))
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(wrong)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong());
    }
    Ok(Some(token.trim()))
}

/// Where the query lets a watch start.
fn from_offset(asked: &Asked) -> Option<u64> {
    #[derive(Deserialize)]
    struct Start {
        from_offset: Option<u64>,
    }
    let mut text = vec![b'{'];
    text.extend_from_slice(asked.members.text());
    text.push(b'}');
    let start: Option<Start> = serde_json::from_slice(&text).ok();
    start?.from_offset
}
