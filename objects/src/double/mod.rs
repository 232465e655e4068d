//! A server for tests that speaks as much of S3 as [`Bucket`](crate::Bucket) needs, and fails as the test says.
//!
//! It checks the signature and the checksum of every request as Amazon's does.

mod listing;
mod signature;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
pub use axum::http::Method;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, header};
use futures_util::stream;
use parking_lot::Mutex;

/// The access key that the server knows.
pub const ACCESS_KEY: &str = "AKTEST";
/// The secret key that belongs to it.
pub const SECRET_KEY: &str = "a/secret+key";
/// The only bucket there is.
pub const BUCKET: &str = "history";
/// Bodies that are taken.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What the server does wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketFault {
    /// It answers with this status.
    Status(u16),
    /// It answers so much later.
    Slow(Duration),
    /// It ends the body of its answer in the middle.
    CutOff,
    /// A byte of what it answers is another one.
    Corrupt,
    /// It keeps only half of the object, and reports success.
    KeepHalf,
}

#[derive(Debug, Default)]
struct DoubleStore {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    /// The next requests with this method fail so.
    faults: VecDeque<(Method, BucketFault)>,
    /// Every request with this method fails so.
    always: Option<(Method, BucketFault)>,
    requests: Vec<String>,
}

/// The server; it ends with this value.
#[derive(Debug)]
pub struct Double {
    /// Its URL.
    pub endpoint: String,
    kept: Arc<Mutex<DoubleStore>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Double {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let kept = Arc::new(Mutex::new(DoubleStore::default()));
        let router = Router::new().fallback(answer).with_state(kept.clone());
        let serving = tokio::spawn(async move {
            // It ends when the test does.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            endpoint,
            kept,
            serving,
        })
    }

    /// The objects, by their whole names.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.kept.lock().objects.clone()
    }

    /// Changes an object behind everybody's back.
    pub fn set(&self, name: &str, content: Option<Bytes>) {
        let objects = &mut self.kept.lock().objects;
        match content {
            Some(content) => drop(objects.insert(name.to_owned(), content)),
            None => drop(objects.remove(name)),
        }
    }

    /// The next request with this method fails, and after it those of earlier calls' followers, in their order.
    pub fn fail_next(&self, method: Method, fault: BucketFault) {
        self.kept.lock().faults.push_back((method, fault));
    }

    /// Every request with this method fails, until `None`.
    pub fn fail_always(&self, fault: Option<(Method, BucketFault)>) {
        self.kept.lock().always = fault;
    }

    /// Method and path of every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.kept.lock().requests.clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl DoubleStore {
    fn fault(&mut self, method: &Method) -> Option<BucketFault> {
        if let Some((_, fault)) = self.always.as_ref().filter(|(of, _)| of == method) {
            return Some(fault.clone());
        }
        let at = self.faults.iter().position(|(of, _)| of == method)?;
        self.faults.remove(at).map(|(_, fault)| fault)
    }
}

async fn answer(State(kept): State<Arc<Mutex<DoubleStore>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return error(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    let fault = {
        let mut kept = kept.lock();
        kept.requests.push(format!("{} {}", head.method, head.uri));
        kept.fault(&head.method)
    };
    match &fault {
        Some(BucketFault::Status(status)) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return error(status, "InternalError");
        }
        Some(BucketFault::Slow(by)) => tokio::time::sleep(*by).await,
        _ => {}
    }
    if let Err(code) = signature::check(&head, &body) {
        return error(StatusCode::FORBIDDEN, code);
    }
    let body = match fault {
        Some(BucketFault::KeepHalf) => body.slice(..body.len() / 2),
        _ => body,
    };
    let done = act(&mut kept.lock(), &head, body);
    match fault {
        Some(fault @ (BucketFault::CutOff | BucketFault::Corrupt)) => spoil(done, &fault).await,
        _ => done,
    }
}

/// Does what a request asks for.
fn act(kept: &mut DoubleStore, head: &Parts, body: Bytes) -> Response<Body> {
    let Some(path) = head.uri.path().strip_prefix(&format!("/{BUCKET}")) else {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let name = listing::decoded(path.trim_start_matches('/'));
    let query = listing::query(head.uri.query().unwrap_or_default());
    match (&head.method, name.is_empty()) {
        (&Method::GET, true) => listing::list(&kept.objects, &query),
        (&Method::GET, false) => get(kept, &name),
        (&Method::PUT, false) => put(kept, &name, &query, body, &head.headers),
        (&Method::POST, false) => upload(kept, &name, &query),
        (&Method::DELETE, false) => {
            kept.objects.remove(&name);
            Response::new(Body::empty())
        }
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn get(kept: &DoubleStore, name: &str) -> Response<Body> {
    let Some(object) = kept.objects.get(name) else {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let mut response = Response::new(Body::from(object.clone()));
    let headers = response.headers_mut();
    if let (Ok(tag), Ok(len)) = (etag(object).parse(), object.len().to_string().parse()) {
        headers.insert(header::ETAG, tag);
        headers.insert(header::CONTENT_LENGTH, len);
    }
    let modified = header::HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT");
    headers.insert(header::LAST_MODIFIED, modified);
    response
}

fn put(
    kept: &mut DoubleStore,
    name: &str,
    query: &BTreeMap<String, String>,
    body: Bytes,
    headers: &axum::http::HeaderMap,
) -> Response<Body> {
    let tag = etag(&body);
    if let (Some(id), Some(part)) = (query.get("uploadId"), query.get("partNumber")) {
        let parts = kept.uploads.entry(id.clone()).or_default();
        parts.insert(part.parse().unwrap_or_default(), body);
        return tagged(&tag);
    }
    let there = kept.objects.get(name).map(|object| etag(object));
    let wanted = headers
        .get(header::IF_MATCH)
        .and_then(|tag| tag.to_str().ok());
    let is_new = headers.contains_key(header::IF_NONE_MATCH);
    if is_new && there.is_some() || wanted.is_some_and(|tag| Some(tag) != there.as_deref()) {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    kept.objects.insert(name.to_owned(), body);
    tagged(&tag)
}

/// Begins an upload in parts, or completes one.
fn upload(kept: &mut DoubleStore, name: &str, query: &BTreeMap<String, String>) -> Response<Body> {
    let Some(id) = query.get("uploadId") else {
        let id = format!("upload-{}", kept.requests.len());
        let xml = format!(
            "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{name}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        return Response::new(Body::from(xml));
    };
    let parts = kept.uploads.remove(id).unwrap_or_default();
    let whole: Vec<u8> = parts.into_values().flatten().collect();
    let whole = Bytes::from(whole);
    let tag = etag(&whole);
    kept.objects.insert(name.to_owned(), whole);
    let xml = format!(
        "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{name}</Key>\
         <ETag>{tag}</ETag></CompleteMultipartUploadResult>"
    );
    Response::new(Body::from(xml))
}

fn tagged(tag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn etag(content: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, content);
    format!("\"{}\"", hex::encode(&hash.as_ref()[..16]))
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let xml = format!("<Error><Code>{code}</Code><Message>told by the test</Message></Error>");
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    response
}

/// Changes the body of an answer, but not its announced length.
async fn spoil(response: Response<Body>, fault: &BucketFault) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let mut content = body.unwrap_or_default().to_vec();
    if let Ok(len) = content.len().to_string().parse() {
        head.headers.insert(header::CONTENT_LENGTH, len);
    }
    let half = content.len() / 2;
    match fault {
        BucketFault::CutOff => {
            content.truncate(half);
            let pieces = [
                Ok(Bytes::from(content)),
                Err(std::io::Error::other("cut off")),
            ];
            Response::from_parts(head, Body::from_stream(stream::iter(pieces)))
        }
        _ => {
            if let Some(byte) = content.get_mut(half) {
                *byte ^= 0x20;
            }
            Response::from_parts(head, Body::from(content))
        }
    }
}
