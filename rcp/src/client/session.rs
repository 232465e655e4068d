//! The connection a client has now: calls with their deadlines and retries, reconnecting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Connection, Lost, PendingCall};
use super::dial::{DialedLink, Dialer};
use super::retry::{Backoff, RetryPlan, plan};
use super::{ClientReply, Error};
use crate::Code;
use crate::feature::Features;
use crate::message::ErrorBody;

mod first;
mod verdict;

use verdict::{in_doubt, or_refusal};

pub(super) struct ClientSession {
    pub(super) dialer: Arc<Dialer>,
    current: Mutex<Arc<Connection>>,
    /// Held by the task that reconnects.
    reconnecting: tokio::sync::Mutex<()>,
    /// Calls that wait for a connection. While there are any, later calls queue up behind them, so
    /// that calls leave in the order in which they were made.
    queued: AtomicUsize,
    closed: AtomicBool,
}

/// The longest silence of a server before the client sends a PING. Only used if there are other addresses.
const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// How many times a call is retried on another node after its connection was lost while it was in flight. If
/// the call itself has ended the node, it must not end one node after the other.
const LOSSES_MAX: u32 = 1;
/// The client does not leave an attempt for another node before this time, which an election may take.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);
/// It leaves after this time at the latest, so that a node that is cut off costs a call less than two seconds.
const ATTEMPT_MAX: Duration = Duration::from_millis(1_750);

/// An attempt that brought no result.
struct Failed {
    error: Error,
    /// Trying again does no harm and may help.
    again: bool,
    /// It may have taken effect anyway.
    maybe_done: bool,
    /// The connection was lost while the server had it.
    lost: bool,
}

impl ClientSession {
    /// Tries until the deadline of a call.
    pub(super) async fn connect(dialer: Dialer) -> Result<ClientSession, Error> {
        let link = first::link(&dialer).await?;
        Ok(ClientSession::on(dialer, link))
    }

    /// Tries each address once.
    pub(super) async fn connect_once(dialer: Dialer) -> Result<ClientSession, Error> {
        let link = dialer.dial(&dialer.order_from(0)).await?;
        Ok(ClientSession::on(dialer, link))
    }

    fn on(dialer: Dialer, link: DialedLink) -> ClientSession {
        let current = Connection::start(link, patience(&dialer));
        ClientSession {
            dialer: Arc::new(dialer),
            current: Mutex::new(current),
            reconnecting: tokio::sync::Mutex::default(),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn address(&self) -> String {
        self.lock().address.clone()
    }

    /// Which of the addresses the client is connected to, or was last.
    pub(super) fn at(&self) -> usize {
        self.lock().at
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
            // Whatever the answer is, the connection ends here.
            let _ = pending.answer().await;
        }
    }

    /// Calls an operation: its result and meta, unparsed.
    pub(super) async fn call(
        &self,
        op: &str,
        params: &RawValue,
    ) -> Result<(Bytes, Option<Bytes>), Error> {
        self.call_within(op, params, self.dialer.options.timeout)
            .await
    }

    /// As [`Self::call`], with a deadline of its own.
    pub(super) async fn call_within(
        &self,
        op: &str,
        params: &RawValue,
        time: Duration,
    ) -> Result<(Bytes, Option<Bytes>), Error> {
        let options = &self.dialer.options;
        let began = Instant::now();
        let plan = plan(op, params, options.retry_writes);
        let time = time + plan.wait;
        let deadline = began + time;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        // Whether any attempt so far may have taken effect. That stays true if a later attempt is not sent or
        // is refused because there is no leader.
        let mut maybe_done = false;
        let mut losses = 0;
        // A node's refusal of an earlier attempt, and how long that attempt took.
        let mut refused = None;
        let mut took = Duration::ZERO;
        loop {
            let sent = Instant::now();
            let mut pending = match self.send(op, &plan, (began, deadline)).await {
                Ok(pending) => pending,
                Err(error) if maybe_done => {
                    return Err(in_doubt(error, refused.as_ref(), plan.repeatable));
                }
                Err(error) => return Err(or_refusal(error, refused, began.elapsed())),
            };
            let ends = (self.attempt_end(&plan, deadline, took), deadline);
            let failed = match self.answer((op, time), &plan, &mut pending, ends).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            drop(pending);
            maybe_done |= failed.maybe_done;
            losses += u32::from(failed.lost);
            let pause = backoff.pause();
            let is_suspect = losses > LOSSES_MAX;
            let mut is_over = Instant::now() + pause >= deadline;
            if matches!(failed.error, Error::Refused(_)) {
                took = sent.elapsed();
                // The next node will wait as long for a leader as this one did. A write that gets no answer any more
                // would only turn a certain refusal into an unknown outcome.
                is_over |= plan.writes && Instant::now() + pause + took >= deadline;
            }
            if !failed.again || is_suspect || is_over {
                return Err(match failed.error {
                    error if maybe_done => in_doubt(error, refused.as_ref(), plan.repeatable),
                    error if is_over => or_refusal(error, refused, began.elapsed()),
                    error => error,
                });
            }
            if let Error::Refused(refusal) = failed.error {
                refused = Some(refusal);
            }
            sleep(pause).await;
        }
    }

    /// Waits for the answer to an attempt; the error is what became of the attempt.
    async fn answer(
        &self,
        call: (&str, Duration),
        plan: &RetryPlan<'_>,
        pending: &mut PendingCall,
        (attempt_end, deadline): (Instant, Instant),
    ) -> Result<(Bytes, Option<Bytes>), Failed> {
        match timeout_at(attempt_end, pending.answer()).await {
            Err(_) => {
                let again = attempt_end < deadline;
                Err(self.after_silence(call, plan, pending, again))
            }
            Ok(Err(lost)) => Err(after_loss(&lost, plan)),
            Ok(Ok(ClientReply { outcome, meta })) => match outcome {
                Ok(result) => Ok((result, meta)),
                Err(error) => Err(self.after_refusal(error, plan, pending)),
            },
        }
    }

    /// When the call is retried at another node. A node that is cut off from the others answers every PING
    /// but no call, and does not notice the cut before the call's deadline.
    /// An attempt gets at least the time that a refusal before it `took`, and a quarter more.
    fn attempt_end(&self, plan: &RetryPlan<'_>, deadline: Instant, took: Duration) -> Instant {
        let now = Instant::now();
        let half = deadline.saturating_duration_since(now) / 2;
        let attempt = half.min(ATTEMPT_MAX).max(took + took / 4);
        let is_worth_it = attempt >= ATTEMPT_MIN && now + attempt < deadline;
        if plan.movable && self.dialer.has_choice() && is_worth_it {
            now + attempt
        } else {
            deadline
        }
    }

    /// No answer in the attempt's time.
    fn after_silence(
        &self,
        (op, time): (&str, Duration),
        plan: &RetryPlan<'_>,
        pending: &PendingCall,
        again: bool,
    ) -> Failed {
        let sent = !pending.is_unsent();
        // The server has sent nothing in all that time. It is more likely gone than slow, and nothing else
        // would show that. As long as this call can be retried, the other calls of the connection keep
        // waiting, too.
        if !again && pending.is_server_silent() {
            pending.connection().fail(Error::Disconnected {
                reason: "the server has sent nothing for too long".to_owned(),
                outcome_unknown: false,
            });
        } else {
            self.leave(pending.connection());
        }
        Failed {
            error: Error::Timeout {
                op: op.to_owned(),
                after: time,
                earlier: None,
                outcome_unknown: false,
            },
            again,
            maybe_done: plan.writes && sent,
            lost: false,
        }
    }

    fn after_refusal(
        &self,
        error: ErrorBody,
        plan: &RetryPlan<'_>,
        pending: &PendingCall,
    ) -> Failed {
        let undone = matches!(
            error.code,
            Code::NoLeader | Code::RateLimited | Code::ReadOnlyMode | Code::QuotaExceeded
        ) && !error.outcome_unknown();
        // This node cannot serve for a while, but another may. At a limit, the client waits instead.
        let is_limit = matches!(error.code, Code::RateLimited | Code::QuotaExceeded);
        if error.retryable && !is_limit {
            self.leave(pending.connection());
        }
        // The cluster has retried it already.
        let tried_enough = error.leaders_lost() > 0;
        Failed {
            again: error.retryable && !tried_enough && (plan.repeatable || undone),
            maybe_done: plan.writes && error.outcome_unknown(),
            lost: false,
            error: Error::Refused(error),
        }
    }

    /// Makes the next call connect to another address. Calls that wait on this connection still get their
    /// answers from it.
    fn leave(&self, connection: &Arc<Connection>) {
        if self.dialer.has_choice() {
            connection.retire();
        }
    }

    /// Queues a call on the current connection; waits for one if there is none.
    async fn send(
        &self,
        op: &str,
        plan: &RetryPlan<'_>,
        (began, deadline): (Instant, Instant),
    ) -> Result<PendingCall, Error> {
        if self.queued.load(Ordering::Acquire) == 0
            && let Some(pending) = self.try_send(op, plan, began)?
        {
            return Ok(pending);
        }
        let _queued = Queued::behind(&self.queued);
        let no_connection = |reason: String| Error::Connect { reason };
        let Ok(_reconnecting) = timeout_at(deadline, self.reconnecting.lock()).await else {
            return Err(no_connection("still trying to connect".to_owned()));
        };
        let options = &self.dialer.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        loop {
            // Queue it before the lock is released, so that calls waiting for the lock come after it.
            if let Some(pending) = self.try_send(op, plan, began)? {
                return Ok(pending);
            }
            let order = self.dialer.order_from(self.at() + 1);
            let failure = match timeout_at(deadline, self.dialer.dial(&order)).await {
                Ok(Ok(link)) => {
                    *self.lock() = Connection::start(link, patience(&self.dialer));
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

    fn try_send(
        &self,
        op: &str,
        plan: &RetryPlan<'_>,
        began: Instant,
    ) -> Result<Option<PendingCall>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let connection = self.lock().clone();
        if !connection.is_usable() {
            return Ok(None);
        }
        if plan.dry_run && !connection.features.contains(Features::LIFECYCLE) {
            return Err(Error::Request(format!(
                "{} does not know dry_run and would carry out {op}: upgrade it, and offer the feature \"lifecycle\"",
                connection.address
            )));
        }
        match connection.enqueue(op, &plan.params_after(began.elapsed())) {
            Ok(pending) => Ok(Some(pending)),
            Err(lost) => match &*lost.error {
                Error::Request(_) => Err((*lost.error).clone()),
                _ => Ok(None),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Connection>> {
        // The value behind the lock is only ever replaced as a whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a server may send nothing while calls wait. If there is no other address, calls wait until their
/// own deadlines, because the server may still wake up and answer in time.
fn patience(dialer: &Dialer) -> Option<Duration> {
    let share = dialer.options.timeout / 3;
    dialer.has_choice().then_some(share.min(PATIENCE_MAX))
}

fn after_loss(lost: &Lost, plan: &RetryPlan<'_>) -> Failed {
    let error = (*lost.error).clone();
    Failed {
        again: (plan.repeatable || !lost.sent) && error.may_pass(),
        // This refusal is of the connection, not of the call.
        error: match error {
            Error::Refused(refusal) if plan.writes && lost.sent => Error::Disconnected {
                reason: refusal.to_string(),
                outcome_unknown: false,
            },
            error => error,
        },
        maybe_done: plan.writes && lost.sent,
        lost: lost.sent,
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
