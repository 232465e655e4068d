//! Finds a node that can serve a watch from its position.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Code;
use crate::client::dial::{DialedLink, Dialer};
use crate::client::position::{BegunWatch, WatchPosition};
use crate::client::retry::Backoff;
use crate::client::{Error, parse};
use crate::message::ErrorBody;

/// The request to a node.
pub(super) struct SearchQuestion<'a> {
    pub(super) op: &'static str,
    pub(super) params: &'a Map<String, Value>,
    /// For a watch of one instance that was begun before.
    pub(super) seen: Option<InstanceEvents<'a>>,
}

/// What a watch has seen of its instance.
pub(super) struct InstanceEvents<'a> {
    pub(super) position: &'a WatchPosition,
    /// The state the last event left it in.
    pub(super) last_state: Option<&'a str>,
}

/// The addresses that may have what the watch needs, the next one to try first.
pub(super) struct Search<'a> {
    dialer: &'a Dialer,
    order: Vec<usize>,
    /// The refusals of nodes that do not have it. Nodes keep different parts of the log, and an address may
    /// lead to another cluster's node.
    lacking: Option<ErrorBody>,
}

impl<'a> Search<'a> {
    pub(super) fn new(dialer: &'a Dialer, first: usize) -> Self {
        Self {
            dialer,
            order: dialer.order_from(first),
            lacking: None,
        }
    }

    /// Strikes this address out. `Err` if it was the last one.
    pub(super) fn strike_out(&mut self, at: usize, reason: ErrorBody) -> Result<(), Error> {
        self.order.retain(|known| *known != at);
        if self.order.is_empty() {
            return Err(Error::Refused(reason));
        }
        self.lacking = Some(reason);
        Ok(())
    }

    /// Asks one node after the other, with pauses, until one has begun the watch: the connection and
    /// what it answered.
    pub(super) async fn find(
        mut self,
        question: &SearchQuestion<'_>,
        deadline: Instant,
    ) -> Result<(DialedLink, Bytes), Error> {
        let options = &self.dialer.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        let began = Instant::now();
        let mut failed = None;
        loop {
            let failure = match timeout_at(deadline, self.ask_next(question)).await {
                Ok(Ok(begun)) => return Ok(begun),
                Ok(Err(Error::Refused(error))) if is_lacking(&error) => Error::Refused(error),
                Ok(Err(error)) if !error.may_pass() => return Err(error),
                Ok(Err(error)) => error,
                // An attempt that the deadline cut short has a less useful error than a complete one.
                Err(_) => failed.unwrap_or_else(|| unanswered(question.op, began.elapsed())),
            };
            if self.order.is_empty() {
                return Err(failure);
            }
            let pause = backoff.pause();
            if Instant::now() + pause >= deadline {
                return Err(self.lacking.map_or(failure, Error::Refused));
            }
            failed = Some(failure);
            sleep(pause).await;
        }
    }

    async fn ask_next(
        &mut self,
        question: &SearchQuestion<'_>,
    ) -> Result<(DialedLink, Bytes), Error> {
        let mut link = self.dialer.dial(&self.order).await?;
        match question.ask(&mut link, self.answer_timeout()).await {
            Ok(begun) => Ok((link, begun)),
            Err(Error::Refused(error)) if is_lacking(&error) => {
                self.strike_out(link.at, error.clone())?;
                Err(Error::Refused(error))
            }
            Err(error) => {
                self.order.retain(|known| *known != link.at);
                self.order.push(link.at);
                Err(error)
            }
        }
    }

    /// A node that is cut off answers late or never. If there are other addresses, try them too.
    fn answer_timeout(&self) -> Duration {
        let timeout = self.dialer.options.timeout;
        if self.order.len() > 1 {
            timeout / 2
        } else {
            timeout
        }
    }
}

/// Whether a node has refused because it does not have what comes at this offset.
fn is_lacking(error: &ErrorBody) -> bool {
    matches!(error.code, Code::OffsetCompacted | Code::OffsetAhead)
}

impl SearchQuestion<'_> {
    async fn ask(&self, link: &mut DialedLink, limit: Duration) -> Result<Bytes, Error> {
        let asked = timeout(limit, link.request(self.op, self.params)).await;
        match (
            asked.unwrap_or_else(|_| Err(unanswered(self.op, limit))),
            &self.seen,
        ) {
            (Err(Error::Refused(error)), Some(seen)) if error.code == Code::OffsetCompacted => {
                self.ask_about_rest(seen, link, limit, error).await
            }
            (answer, _) => answer,
        }
    }

    /// Retention may drop the last change of an instance that rarely changes. If the instance is still in the
    /// state that the watch has seen, the watch has missed nothing and continues from now.
    async fn ask_about_rest(
        &self,
        seen: &InstanceEvents<'_>,
        link: &mut DialedLink,
        limit: Duration,
        compacted: ErrorBody,
    ) -> Result<Bytes, Error> {
        let mut params = self.params.clone();
        params.remove("from_offset");
        let asked = timeout(limit, link.request(self.op, &params)).await;
        let answer = asked.unwrap_or_else(|_| Err(unanswered(self.op, limit)))?;
        let begun: BegunWatch = parse(self.op, &answer)?;
        let unmoved = begun
            .current_wal_offset
            .is_some_and(|offset| seen.position.covers(offset));
        if unmoved && begun.current_state.as_deref() == seen.last_state {
            Ok(answer)
        } else {
            Err(Error::Refused(compacted))
        }
    }
}

fn unanswered(op: &str, limit: Duration) -> Error {
    Error::Timeout {
        op: op.to_owned(),
        after: limit,
        earlier: None,
        outcome_unknown: false,
    }
}
