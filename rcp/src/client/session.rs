//! The connection a client has now: calls with their deadlines and retries, reconnecting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Connection, Lost, Pending};
use super::dial::Dialer;
use super::retry::{Backoff, Plan, plan};
use super::{Error, Reply};
use crate::Code;
use crate::message::ErrorBody;

pub(super) struct Session {
    pub(super) dialer: Arc<Dialer>,
    current: Mutex<Arc<Connection>>,
    /// Held by the one who reconnects; guards the address to try first.
    reconnecting: tokio::sync::Mutex<usize>,
    /// Calls that wait for a connection. While there are any, later calls queue up behind them, so
    /// that calls leave in the order in which they were made.
    queued: AtomicUsize,
    closed: AtomicBool,
}

/// What to do after an attempt that brought no result.
enum Next {
    Again(Error),
    GiveUp(Error),
}

impl Session {
    pub(super) async fn connect(dialer: Dialer) -> Result<Session, Error> {
        let (link, at) = dialer.dial(0).await?;
        Ok(Session {
            dialer: Arc::new(dialer),
            current: Mutex::new(Connection::start(link)),
            reconnecting: tokio::sync::Mutex::new(at),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(super) fn address(&self) -> String {
        self.lock().address.clone()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lock().fail(Error::Closed);
    }

    /// Sends a last request and waits for its answer, if there is a connection.
    pub(super) async fn goodbye(&self, op: &str) {
        let connection = self.lock().clone();
        if let Ok(params) = serde_json::from_str("{}")
            && let Ok(mut pending) = connection.enqueue(op, params)
        {
            // Whatever comes back, the connection ends here.
            let _ = pending.answer().await;
        }
    }

    /// Calls an operation: its result and meta, unparsed.
    pub(super) async fn call(
        &self,
        op: &str,
        params: &RawValue,
    ) -> Result<(Bytes, Option<Bytes>), Error> {
        let options = &self.dialer.options;
        let deadline = Instant::now() + options.timeout;
        let plan = plan(op, params, options.retry_writes);
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        loop {
            let mut pending = self.send(op, &plan.params, deadline).await?;
            let next = match timeout_at(deadline, pending.answer()).await {
                Err(_) => return Err(self.timed_out(op, &plan, &pending)),
                Ok(Err(lost)) => after_loss(&lost, &plan),
                Ok(Ok(Reply { outcome, meta })) => match outcome {
                    Ok(result) => return Ok((result, meta)),
                    Err(error) => self.after_refusal(error, &plan, &pending),
                },
            };
            let error = match next {
                Next::GiveUp(error) => return Err(error),
                Next::Again(error) => error,
            };
            drop(pending);
            let pause = backoff.pause();
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    fn timed_out(&self, op: &str, plan: &Plan<'_>, pending: &Pending) -> Error {
        let unsent = pending.is_unsent();
        // Not a word in all that time: more likely the server is gone than slow, and nobody else
        // would tell.
        if pending.is_server_silent() {
            pending.connection().fail(Error::Disconnected {
                reason: "the server has gone silent".to_owned(),
                outcome_unknown: false,
            });
        }
        Error::Timeout {
            op: op.to_owned(),
            after: self.dialer.options.timeout,
            outcome_unknown: plan.writes && !unsent,
        }
    }

    fn after_refusal(&self, error: ErrorBody, plan: &Plan<'_>, pending: &Pending) -> Next {
        let again = error.retryable && plan.repeatable;
        // This node cannot serve for a while; another may.
        if again && matches!(error.code, Code::NoLeader | Code::ReadOnlyMode) {
            self.leave(pending.connection());
        }
        let error = Error::Refused(error);
        if again {
            Next::Again(error)
        } else {
            Next::GiveUp(error)
        }
    }

    /// Makes the next call look for a connection to another address. Calls that wait on this one
    /// still get their answers from it.
    fn leave(&self, connection: &Arc<Connection>) {
        if self.dialer.address_count() > 1 {
            connection.retire();
        }
    }

    /// Queues a call on the current connection; waits for one if there is none.
    async fn send(&self, op: &str, params: &RawValue, deadline: Instant) -> Result<Pending, Error> {
        if self.queued.load(Ordering::Acquire) == 0
            && let Some(pending) = self.try_send(op, params)?
        {
            return Ok(pending);
        }
        let _queued = Queued::behind(&self.queued);
        let no_connection = |reason: String| Error::Connect { reason };
        let Ok(mut address) = timeout_at(deadline, self.reconnecting.lock()).await else {
            return Err(no_connection("still trying to connect".to_owned()));
        };
        let options = &self.dialer.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        loop {
            // Queued before the lock is released, so that those who wait for it come after.
            if let Some(pending) = self.try_send(op, params)? {
                return Ok(pending);
            }
            let failure = match timeout_at(deadline, self.dialer.dial(*address + 1)).await {
                Ok(Ok((link, at))) => {
                    *address = at;
                    *self.lock() = Connection::start(link);
                    continue;
                }
                Ok(Err(error)) if error.may_pass() => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => no_connection("no address answered in time".to_owned()),
            };
            let pause = backoff.pause();
            if Instant::now() + pause >= deadline {
                return Err(failure);
            }
            sleep(pause).await;
        }
    }

    fn try_send(&self, op: &str, params: &RawValue) -> Result<Option<Pending>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let connection = self.lock().clone();
        if !connection.is_usable() {
            return Ok(None);
        }
        match connection.enqueue(op, params) {
            Ok(pending) => Ok(Some(pending)),
            Err(lost) => match &*lost.error {
                Error::Request(_) => Err((*lost.error).clone()),
                _ => Ok(None),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Connection>> {
        // What it guards is replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after_loss(lost: &Lost, plan: &Plan<'_>) -> Next {
    let may_repeat = plan.repeatable || !lost.sent;
    let error = match &*lost.error {
        Error::Disconnected { reason, .. } => Error::Disconnected {
            reason: reason.clone(),
            outcome_unknown: plan.writes && lost.sent,
        },
        Error::Refused(error) if plan.writes && lost.sent => Error::Disconnected {
            reason: error.to_string(),
            outcome_unknown: true,
        },
        other => other.clone(),
    };
    if may_repeat && error.may_pass() {
        Next::Again(error)
    } else {
        Next::GiveUp(error)
    }
}

/// One call that waits for a connection, counted.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn behind(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
