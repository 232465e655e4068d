//! Watches: a stream of events that survives its connection.

mod search;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::dial::{DialedLink, Dialer, parse_incoming};
use super::position::{BegunWatch, WatchPosition};
use super::session::ClientSession;
use super::{Client, Error, parse};
use crate::Code;
use crate::message::watch::{Event, Progress, WatchAll, WatchEnd, WatchInstance};
use crate::message::{ErrorBody, Incoming, op};
use search::{InstanceEvents, Search, SearchQuestion};

/// How many events may wait for the consumer. Beyond that the client stops reading the socket, and the server waits.
const BUFFERED_EVENTS_MAX: usize = 64;

/// The events of a watch, in ascending order of their offsets, each exactly once.
///
/// A watch has a connection of its own. After a lost connection it resumes, on any of the addresses,
/// right behind the last event it delivered, or behind the progress that the server has reported since. It
/// ends with an error when that is impossible: no node has the offset any more (`OFFSET_COMPACTED`), the log is
/// another one or was restored to an earlier state (`OFFSET_AHEAD`), or no server answers within
/// [`super::ClientOptions::watch_resume_timeout`]. The error's message says what to do then.
/// A node that is behind the watch's position sends nothing until it has caught up.
/// A slow consumer is no problem: the server waits for it.
///
/// As a [`Stream`] it yields the events; [`Watch::next_item`] tells the progress as well.
pub struct Watch {
    items: mpsc::Receiver<Result<WatchItem, Error>>,
    subscription_id: String,
    cluster_id: Option<String>,
    resume_offset: u64,
    started: Box<RawValue>,
    reader: AbortHandle,
}

/// An item of a watch.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every item is an event; a box would cost each of them an allocation"
)]
pub enum WatchItem {
    /// An event.
    Event(Event<'static>),
    /// No event matched lately. The server has compared everything up to this offset, inclusive, with the filter, and
    /// every event that matched came before this item.
    Progress {
        /// The offset.
        wal_offset: u64,
    },
}

impl Client {
    /// WATCH_INSTANCE: the events of one instance.
    ///
    /// # Errors
    /// When the server refuses the request, or no server answers it in time.
    pub async fn watch_instance(&self, params: &WatchInstance<'_>) -> Result<Watch, Error> {
        Watch::start(&self.session, op::WATCH_INSTANCE, params).await
    }

    /// WATCH_ALL: the events of all instances that match.
    ///
    /// # Errors
    /// When the server refuses the request, or no server answers it in time.
    pub async fn watch_all(&self, params: &WatchAll<'_>) -> Result<Watch, Error> {
        Watch::start(&self.session, op::WATCH_ALL, params).await
    }
}

impl Watch {
    async fn start(
        session: &ClientSession,
        op: &'static str,
        params: &impl Serialize,
    ) -> Result<Watch, Error> {
        // Start the watch on the node that answers the client's calls.
        let (dialer, first) = (session.dialer.clone(), session.at());
        let mut params = match crate::json::to_value(params) {
            Ok(Value::Object(params)) => params,
            Ok(_) => return Err(Error::Request("params must be an object".to_owned())),
            Err(error) => return Err(Error::Request(error.to_string())),
        };
        let deadline = Instant::now() + dialer.options.timeout;
        let question = SearchQuestion {
            op,
            params: &params,
            seen: None,
        };
        let (link, started) = Search::new(&dialer, first)
            .find(&question, deadline)
            .await?;
        let raw = parse(op, &started)?;
        let begun: BegunWatch = parse(op, &started)?;
        let position = WatchPosition::of(&params, &begun);
        let resume_offset = position.offset;
        // An offset has a meaning only with its log.
        if let Some(cluster_id) = &begun.cluster_id {
            params.insert("cluster_id".to_owned(), cluster_id.as_str().into());
        }
        let (sender, items) = mpsc::channel(BUFFERED_EVENTS_MAX);
        let reader = WatchReader {
            position,
            last_state: begun.current_state,
            dialer,
            op,
            params,
            subscription_id: begun.subscription_id.clone(),
            items: sender,
        };
        Ok(Watch {
            items,
            subscription_id: begun.subscription_id,
            cluster_id: begun.cluster_id,
            resume_offset,
            started: raw,
            reader: tokio::spawn(reader.run(link)).abort_handle(),
        })
    }

    /// The id every event of this watch carries, also after it was resumed.
    pub fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// The cluster whose log is watched; `None` when the server did not say so.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The offset from which another watch, for example of another process, gets everything that this one has
    /// not yielded yet. It is the offset after the last progress, or the last event's own offset, because
    /// events of one atomic batch share it. Pass [`Watch::cluster_id`] with it.
    pub fn resume_offset(&self) -> u64 {
        self.resume_offset
    }

    /// The next event or notice of progress; `None` after the end. Dropping the future loses nothing.
    pub async fn next_item(&mut self) -> Option<Result<WatchItem, Error>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        let item = std::task::ready!(self.items.poll_recv(cx));
        let reached = match &item {
            Some(Ok(WatchItem::Event(event))) => event.wal_offset,
            Some(Ok(WatchItem::Progress { wal_offset })) => wal_offset.saturating_add(1),
            Some(Err(_)) | None => 0,
        };
        self.resume_offset = self.resume_offset.max(reached);
        Poll::Ready(item)
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
        loop {
            return Poll::Ready(match std::task::ready!(self.poll_item(cx)) {
                Some(Ok(WatchItem::Progress { .. })) => continue,
                Some(Ok(WatchItem::Event(event))) => Some(Ok(event)),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("subscription_id", &self.subscription_id)
            .finish_non_exhaustive()
    }
}

struct WatchReader {
    dialer: Arc<Dialer>,
    op: &'static str,
    params: Map<String, Value>,
    subscription_id: String,
    position: WatchPosition,
    /// The state the last event left its instance in, for a watch of one instance.
    last_state: Option<String>,
    items: mpsc::Sender<Result<WatchItem, Error>>,
}

/// Why no more events come over a connection.
enum WatchStop {
    /// The consumer is gone.
    Dropped,
    /// It may continue on another node.
    Lost(Error),
    /// It may continue only on a node that has kept more of the log.
    Compacted(ErrorBody),
    /// The watch is over.
    Over(Error),
}

impl WatchReader {
    async fn run(mut self, mut link: DialedLink) {
        loop {
            let stop = self.deliver(&mut link).await;
            match self.go_on(stop, link.at).await {
                Ok(Some(next)) => link = next,
                Ok(None) => return,
                Err(over) => {
                    // If the consumer is gone as well, the error has no receiver.
                    let _ = self.items.send(Err(over)).await;
                    return;
                }
            }
        }
    }

    /// Delivers events until the connection, the watch or the consumer ends.
    async fn deliver(&mut self, link: &mut DialedLink) -> WatchStop {
        loop {
            let payload = match link.next_or_ping(&self.dialer.options).await {
                Ok(payload) => payload,
                Err(error) if error.may_pass() => return WatchStop::Lost(error),
                Err(error) => return WatchStop::Over(error),
            };
            let item = match self.accept(&payload) {
                Ok(None) => continue,
                Ok(Some(item)) => item,
                Err(error @ Error::Refused(_)) if error.may_pass() => {
                    return WatchStop::Lost(error);
                }
                Err(Error::Refused(error)) if error.code == Code::OffsetCompacted => {
                    return WatchStop::Compacted(error);
                }
                Err(error) => return WatchStop::Over(error),
            };
            if self.items.send(Ok(item)).await.is_err() {
                return WatchStop::Dropped;
            }
        }
    }

    /// Finds a node to go on with after the one at this address; `None` if the consumer is gone.
    async fn go_on(&mut self, stop: WatchStop, left: usize) -> Result<Option<DialedLink>, Error> {
        let mut search = Search::new(&self.dialer, left + 1);
        match stop {
            WatchStop::Dropped => return Ok(None),
            WatchStop::Over(error) => return Err(error),
            WatchStop::Lost(error) => {
                tracing::debug!(%error, offset = self.position.offset, "watch resumes");
            }
            WatchStop::Compacted(error) => search.strike_out(left, error)?,
        }
        self.params
            .insert("from_offset".to_owned(), self.position.offset.into());
        let question = SearchQuestion {
            op: self.op,
            params: &self.params,
            seen: (self.op == op::WATCH_INSTANCE).then_some(InstanceEvents {
                position: &self.position,
                last_state: self.last_state.as_deref(),
            }),
        };
        let deadline = Instant::now() + self.dialer.options.watch_resume_timeout;
        let (link, _) = search.find(&question, deadline).await?;
        self.position.resume();
        Ok(Some(link))
    }

    fn accept(&mut self, payload: &Bytes) -> Result<Option<WatchItem>, Error> {
        match parse_incoming(payload)? {
            Incoming::Unknown => Ok(None),
            // The answer to a PING, or the server refusing the connection as a whole.
            Incoming::Response { id, outcome, .. } => match outcome {
                Err(error) if id.is_empty() => {
                    Err(Error::Refused(parse(self.op, error.get().as_bytes())?))
                }
                Ok(_) | Err(_) => Ok(None),
            },
            Incoming::Progress => {
                let progress: Progress<'_> = parse(self.op, payload)?;
                let wal_offset = progress.wal_offset;
                self.position.looked_at(wal_offset);
                Ok(Some(WatchItem::Progress { wal_offset }))
            }
            Incoming::End => {
                let end: WatchEnd<'_> = parse(self.op, payload)?;
                Err(Error::Refused(end.error))
            }
            Incoming::Event => {
                let mut event: Event<'static> = parse(self.op, payload)?;
                if !self.position.advance(event.wal_offset)? {
                    return Ok(None);
                }
                if self.op == op::WATCH_INSTANCE {
                    // Empty once the instance is gone.
                    let state = event.to_state.to_string();
                    self.last_state = Some(state).filter(|state| !state.is_empty());
                }
                event.subscription_id = self.subscription_id.clone().into();
                Ok(Some(WatchItem::Event(event)))
            }
        }
    }
}
