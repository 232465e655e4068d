//! Watches: a stream of events that survives its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::dial::{Dialer, Link, parse_incoming};
use super::position::{Begun, Position};
use super::retry::Backoff;
use super::{Client, Error, parse};
use crate::Code;
use crate::message::session::NoParams;
use crate::message::watch::{End, Event, WatchAll, WatchInstance};
use crate::message::{ErrorBody, Incoming, op};

/// Events that wait for the consumer. Beyond them the socket is not read and the server waits.
const BUFFERED_EVENTS_MAX: usize = 64;

/// The events of a watch, in ascending order of their offsets, each exactly once.
///
/// A watch has a connection of its own. After a lost connection it resumes, on any of the addresses,
/// right behind the last event it delivered. It ends with an error when that is impossible (the
/// offset fell out of retention, no server within [`super::ClientOptions::watch_resume_timeout`]).
/// A consumer may take its time: the server waits for it.
pub struct Watch {
    events: mpsc::Receiver<Result<Event<'static>, Error>>,
    subscription_id: String,
    started: Box<RawValue>,
    reader: AbortHandle,
}

impl Client {
    /// WATCH_INSTANCE: the events of one instance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch_instance(&self, params: &WatchInstance<'_>) -> Result<Watch, Error> {
        Watch::start(self.session.dialer.clone(), op::WATCH_INSTANCE, params).await
    }

    /// WATCH_ALL: the events of all instances that match.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch_all(&self, params: &WatchAll<'_>) -> Result<Watch, Error> {
        Watch::start(self.session.dialer.clone(), op::WATCH_ALL, params).await
    }
}

impl Watch {
    async fn start(
        dialer: Arc<Dialer>,
        op: &'static str,
        params: &impl Serialize,
    ) -> Result<Watch, Error> {
        let params = match serde_json::to_value(params) {
            Ok(Value::Object(params)) => params,
            Ok(_) => return Err(Error::Request("parameters that are no object".to_owned())),
            Err(error) => return Err(Error::Request(error.to_string())),
        };
        let deadline = dialer.options.timeout;
        let opening = async {
            let (mut link, address) = dialer.dial(0).await?;
            let started = link.request(op, &params).await?;
            Ok((link, address, started))
        };
        let (link, address, started) = match timeout(deadline, opening).await {
            Ok(opened) => opened?,
            Err(_) => return Err(unanswered(op, deadline)),
        };
        let raw = parse(op, &started)?;
        let begun: Begun = parse(op, &started)?;
        let (sender, events) = mpsc::channel(BUFFERED_EVENTS_MAX);
        let reader = Reader {
            position: Position::of(&params, &begun),
            last_state: begun.current_state,
            dialer,
            op,
            params,
            subscription_id: begun.subscription_id.clone(),
            address,
            events: sender,
        };
        Ok(Watch {
            events,
            subscription_id: begun.subscription_id,
            started: raw,
            reader: tokio::spawn(reader.run(link)).abort_handle(),
        })
    }

    /// The id every event of this watch carries, also after it was resumed.
    pub fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// What the server answered when the watch began, as it was sent.
    pub fn started(&self) -> &RawValue {
        &self.started
    }

    /// Ends the watch: closes its connection, which is all the server needs. Dropping it does the
    /// same.
    pub fn unwatch(self) {}
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Stream for Watch {
    type Item = Result<Event<'static>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("subscription_id", &self.subscription_id)
            .finish_non_exhaustive()
    }
}

struct Reader {
    dialer: Arc<Dialer>,
    op: &'static str,
    params: Map<String, Value>,
    subscription_id: String,
    position: Position,
    /// The state the last event left its instance in, for a watch of one instance.
    last_state: Option<String>,
    address: usize,
    events: mpsc::Sender<Result<Event<'static>, Error>>,
}

/// Why no more events come over a connection.
enum Stop {
    /// The consumer is gone.
    Dropped,
    /// It may go on elsewhere.
    Lost(Error),
    /// The watch is over.
    Over(Error),
}

impl Reader {
    async fn run(mut self, mut link: Link) {
        loop {
            let over = match self.deliver(&mut link).await {
                Stop::Dropped => return,
                Stop::Over(error) => error,
                Stop::Lost(error) => {
                    tracing::debug!(%error, offset = self.position.offset, "watch resumes");
                    match self.resume().await {
                        Ok(resumed) => {
                            link = resumed;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
            };
            // If the consumer is gone as well, nobody needs to know.
            let _ = self.events.send(Err(over)).await;
            return;
        }
    }

    /// Delivers events until the connection, the watch or the consumer ends.
    async fn deliver(&mut self, link: &mut Link) -> Stop {
        loop {
            let payload = match self.next(link).await {
                Ok(payload) => payload,
                Err(error) if error.may_pass() => return Stop::Lost(error),
                Err(error) => return Stop::Over(error),
            };
            let event = match self.accept(&payload) {
                Ok(None) => continue,
                Ok(Some(event)) => event,
                Err(error @ Error::Refused(_)) if error.may_pass() => return Stop::Lost(error),
                Err(error) => return Stop::Over(error),
            };
            if self.events.send(Ok(event)).await.is_err() {
                return Stop::Dropped;
            }
        }
    }

    /// The next message. A connection that stays quiet is asked for a sign of life: a server that
    /// vanished without a word would otherwise look like one with nothing to tell.
    async fn next(&self, link: &mut Link) -> Result<Bytes, Error> {
        let keepalive = self.dialer.options.watch_keepalive;
        if let Ok(message) = timeout(keepalive, link.read.next()).await {
            return message;
        }
        let asked = async {
            link.send(op::PING, &NoParams {}).await?;
            link.read.next().await
        };
        match timeout(keepalive, asked).await {
            Ok(message) => message,
            Err(_) => Err(Error::Disconnected {
                reason: "the server has gone silent".to_owned(),
                outcome_unknown: false,
            }),
        }
    }

    fn accept(&mut self, payload: &Bytes) -> Result<Option<Event<'static>>, Error> {
        match parse_incoming(payload)? {
            Incoming::Unknown => Ok(None),
            // The answer to a PING, or the server refusing the connection as a whole.
            Incoming::Response { id, outcome, .. } => match outcome {
                Err(error) if id.is_empty() => {
                    Err(Error::Refused(parse(self.op, error.get().as_bytes())?))
                }
                Ok(_) | Err(_) => Ok(None),
            },
            Incoming::End => {
                let end: End<'_> = parse(self.op, payload)?;
                Err(Error::Refused(end.error))
            }
            Incoming::Event => {
                let mut event: Event<'static> = parse(self.op, payload)?;
                if !self.position.advance(event.wal_offset)? {
                    return Ok(None);
                }
                if self.op == op::WATCH_INSTANCE {
                    self.last_state = Some(event.to_state.to_string());
                }
                event.subscription_id = self.subscription_id.clone().into();
                Ok(Some(event))
            }
        }
    }

    /// Finds a server to go on with.
    async fn resume(&mut self) -> Result<Link, Error> {
        let options = &self.dialer.options;
        let deadline = Instant::now() + options.watch_resume_timeout;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        self.params
            .insert("from_offset".to_owned(), self.position.offset.into());
        loop {
            let failure = match self.dialer.dial(self.address).await {
                Err(error) => error,
                Ok((link, at)) => {
                    // Should this one fail as well, the next attempt is another's.
                    self.address = at + 1;
                    match self.restart(link).await {
                        Ok(link) => {
                            self.address = at;
                            return Ok(link);
                        }
                        Err(error) => error,
                    }
                }
            };
            let pause = backoff.pause();
            if !failure.may_pass() || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            sleep(pause).await;
        }
    }

    /// Asks for the watch again, from where it stands.
    async fn restart(&mut self, mut link: Link) -> Result<Link, Error> {
        let limit = self.dialer.options.timeout;
        let asked = timeout(limit, link.request(self.op, &self.params)).await;
        match asked.unwrap_or_else(|_| Err(unanswered(self.op, limit))) {
            Ok(_) => {
                self.position.resume();
                Ok(link)
            }
            Err(Error::Refused(error))
                if error.code == Code::OffsetCompacted && self.op == op::WATCH_INSTANCE =>
            {
                self.restart_rested(link, error).await
            }
            Err(error) => Err(error),
        }
    }

    /// An instance that rests outlives the history of its last change. If it still stands where the
    /// watch has seen it, nothing was missed, and the watch goes on from now.
    async fn restart_rested(&self, mut link: Link, compacted: ErrorBody) -> Result<Link, Error> {
        let mut params = self.params.clone();
        params.remove("from_offset");
        let limit = self.dialer.options.timeout;
        let asked = timeout(limit, link.request(self.op, &params)).await;
        let begun = asked.unwrap_or_else(|_| Err(unanswered(self.op, limit)))?;
        let begun: Begun = parse(self.op, &begun)?;
        let seen = begun
            .current_wal_offset
            .is_some_and(|offset| self.position.covers(offset));
        if seen && begun.current_state == self.last_state {
            Ok(link)
        } else {
            Err(Error::Refused(compacted))
        }
    }
}

fn unanswered(op: &str, limit: Duration) -> Error {
    Error::Timeout {
        op: op.to_owned(),
        after: limit,
        outcome_unknown: false,
    }
}
