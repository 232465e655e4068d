//! The client library: one [`Client`] speaks to a cluster through any of its addresses.
//!
//! - **One connection, pipelined.** Calls are queued at their first poll and leave in that order;
//!   many are written and read at once. A clone of the client shares the connection.
//! - **It reconnects automatically**, to any of the addresses, with growing and jittered pauses. Meanwhile
//!   calls wait, each until its own deadline.
//! - **With several addresses no single node blocks it.** The client leaves a node that hangs (a stopped
//!   process, a dead host) after 1.5 s or half of the deadline without a sign of life, whichever is less. It
//!   leaves a node that is alive but cannot answer (cut off from the others) after half of the deadline.
//! - **A retry takes effect once.** Reads, and writes with an idempotency key, are tried again after a
//!   lost connection or a retryable error, until the deadline. A write without a key is tried again
//!   only if it certainly was not done: never sent, or refused before it was begun (no leader, a
//!   limit, a node that takes no writes). Otherwise the error says that its outcome is unknown. With
//!   [`ClientOptions::retry_writes`] writes without a key are given one.
//! - **A key lives as long as its instance.** If another client deletes the instance, or creates it again, while a
//!   call is being retried, the second try finds no key. A creation then makes the deleted instance anew (without
//!   an `instance_id`, another instance). A deletion deletes the instance that was created meanwhile, and an event
//!   takes effect in that instance. The client library cannot notice this, and retries. A program that must not risk
//!   this gives the write no key (`null` where `retry_writes` is set), and reads the instance when the error says
//!   that the outcome is unknown.
//! - **Each watch has its own connection**, so that a slow consumer delays only its own watch. It resumes
//!   after a lost connection, on any node, without gap or duplicate.
//! - **A lock is a guard** ([`Client::lock`]): it renews by itself, tells its holder when the lock is lost, and gives the
//!   fence that the cluster checks with each write.
//!
//! A retried call may overtake calls that were queued after it; callers who need an order across
//! failures await one call before the next, or use `expected_wal_offset`.
//!
//! [The front page](crate) of this crate shows a program: create, apply, errors, watch.

mod address;
mod connection;
mod dial;
mod error;
mod lock;
mod ops;
mod options;
mod position;
mod retry;
mod session;
mod tls;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use error::Error;
pub use lock::{Lock, LockRequest};
pub use options::{ClientOptions, TlsOptions};
pub use watch::{Watch, WatchItem};

use crate::message::{ErrorBody, ResponseMeta, op};
use dial::Dialer;
use session::ClientSession;

/// A client of a cluster; cheap to clone.
#[derive(Clone)]
pub struct Client {
    session: Arc<ClientSession>,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<R> {
    /// The result.
    pub result: R,
    /// What the server said beside it.
    pub meta: ResponseMeta,
}

/// The answer to a call, unparsed.
#[derive(Debug, Clone)]
pub struct RawResponse {
    /// The result, as it was sent.
    pub result: Box<RawValue>,
    /// What the server said beside it.
    pub meta: ResponseMeta,
}

/// The answer to one request as the connection hands it over.
pub(crate) struct ClientReply {
    outcome: Result<Bytes, ErrorBody>,
    meta: Option<Bytes>,
}

impl Client {
    /// Connects to the first address that answers. A node may be restarting, so it tries all of them until
    /// [`ClientOptions::timeout`] has passed.
    ///
    /// # Errors
    /// [`Error::Options`] for options that cannot be used, [`Error::Refused`] when the server refuses
    /// the credentials, [`Error::Tls`] and [`Error::Connect`] when no address can be reached.
    pub async fn connect(options: ClientOptions) -> Result<Client, Error> {
        let session = ClientSession::connect(Dialer::new(options)?).await?;
        Ok(Client::of(session))
    }

    /// The same, but each address is tried once: for programs whose user waits, such as a command line.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_once(options: ClientOptions) -> Result<Client, Error> {
        let session = ClientSession::connect_once(Dialer::new(options)?).await?;
        Ok(Client::of(session))
    }

    fn of(session: ClientSession) -> Client {
        Client {
            session: Arc::new(session),
        }
    }

    /// Calls any operation but a watch.
    ///
    /// # Errors
    /// When the server refuses the request, or no server answers it in time.
    pub async fn call<P, R>(&self, op: &str, params: &P) -> Result<Response<R>, Error>
    where
        P: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let params = serde_json::value::to_raw_value(params)
            .map_err(|error| Error::Request(error.to_string()))?;
        let (result, meta) = self.session.call(op, &params).await?;
        Ok(Response {
            result: parse(op, &result)?,
            meta: parse_meta(op, meta)?,
        })
    }

    /// Calls any operation but a watch, with parameters and result left as they are.
    ///
    /// # Errors
    /// When the server refuses the request, or no server answers it in time.
    pub async fn call_raw(&self, op: &str, params: &RawValue) -> Result<RawResponse, Error> {
        let (result, meta) = self.session.call(op, params).await?;
        Ok(RawResponse {
            result: parse(op, &result)?,
            meta: parse_meta(op, meta)?,
        })
    }

    /// The address the client is connected to, or was last.
    pub fn address(&self) -> String {
        self.session.address()
    }

    /// Says goodbye and closes the connection, for all clones; watches live on.
    pub async fn close(self) {
        const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
        let goodbye = self.session.goodbye(op::BYE);
        // The server closes an abandoned connection anyway.
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
        self.session.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

fn parse<R: DeserializeOwned>(op: &str, json: &[u8]) -> Result<R, Error> {
    serde_json::from_slice(json)
        .map_err(|error| Error::Protocol(format!("the result of {op} is not as expected: {error}")))
}

fn parse_meta(op: &str, meta: Option<Bytes>) -> Result<ResponseMeta, Error> {
    match meta {
        None => Ok(ResponseMeta::default()),
        Some(meta) => parse(op, &meta),
    }
}
