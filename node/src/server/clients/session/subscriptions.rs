//! The watches of one connection.
//!
//! The session asks a watch for its next events only while the client keeps up with what was sent. A slow client's
//! watches stand still, and the node keeps nothing for it beyond the one batch that is being written.
//!
//! A watch that has had no event for [`NOTICE_INTERVAL`] tells how far it has come. For that an idle watch costs an
//! entry in an ordered set, and all watches of the connection share one timer.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, Stream};
use uuid::Uuid;

use crate::replica::{Progress, Watch, WatchEnd, WatchEvent};
use crate::server::clients::ops::{BegunWatching, ShownParts};
use crate::server::clients::shared::ServerShared;
use crate::server::product::Product;

/// Watches one connection may have.
pub(crate) const WATCHES_MAX: usize = 10_000;
/// Bytes of the filters of one connection's watches, [`NAME_BYTES`] for each name included.
pub(crate) const FILTERS_BYTES_MAX: usize = 4 << 20;
/// About how many bytes a name of a filter costs besides its own.
const NAME_BYTES: usize = 64;
/// How long a watch has no event before it tells how far it has come.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
/// Notices that are due within this time of each other go together.
const NOTICE_SLACK: Duration = Duration::from_millis(500);
/// Contexts and payloads asked for at once.
const BATCH_BYTES: usize = 64 * 1024;

/// A watch and its answer.
pub(crate) struct Pulled {
    pub(crate) id: Arc<str>,
    pub(crate) shown: ShownParts,
    pub(crate) events: Result<Vec<WatchEvent>, WatchEnd>,
    watch: Watch<Product>,
}

struct LiveWatch {
    of_instance: bool,
    abort: AbortHandle,
    filter_bytes: usize,
    /// For clients that know of notices.
    notices: Option<WatchNotices>,
}

struct WatchNotices {
    progress: Progress,
    /// Its place in [`Subscriptions::due`].
    due: Instant,
    /// When the client was last sent something of this watch.
    told_at: Instant,
    /// The progress that the client was last told. It is never told a lower one later.
    told: u64,
}

impl WatchNotices {
    fn tell(&mut self, now: Instant) -> u64 {
        self.told_at = now;
        self.told = self.told.max(self.progress.looked_at());
        self.told
    }
}

/// The watches of one connection, and whose turn it is.
pub(crate) struct Subscriptions {
    shared: Arc<ServerShared>,
    live: HashMap<Arc<str>, LiveWatch>,
    filter_bytes: usize,
    /// Which watch has to tell how far it has come, and when.
    due: BTreeSet<(Instant, Arc<str>)>,
    pulls: FuturesUnordered<Abortable<BoxFuture<'static, Pulled>>>,
}

impl Subscriptions {
    pub(crate) fn new(shared: Arc<ServerShared>) -> Self {
        Self {
            shared,
            live: HashMap::new(),
            filter_bytes: 0,
            due: BTreeSet::new(),
            pulls: FuturesUnordered::new(),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether there is a watch of this name.
    pub(crate) fn is_live(&self, id: &str) -> bool {
        self.live.contains_key(id)
    }

    /// Why there may not be one more of this kind.
    pub(crate) fn refusal(&self, watching: &BegunWatching) -> Option<String> {
        if self.live.len() >= WATCHES_MAX {
            return Some(format!(
                "a connection may have at most {WATCHES_MAX} watches"
            ));
        }
        let bytes = self.filter_bytes + filter_bytes(&watching.watch);
        (bytes > FILTERS_BYTES_MAX).then(|| {
            format!(
                "the filters of a connection's watches may have {FILTERS_BYTES_MAX} bytes, \
                 {NAME_BYTES} for each name included; with this watch they would have {bytes}"
            )
        })
    }

    /// Takes over a watch and names it; `notices` for clients that know of them.
    pub(crate) fn add(&mut self, watching: BegunWatching, now: Instant, notices: bool) -> Arc<str> {
        let id: Arc<str> = Uuid::new_v4().to_string().into();
        let of_instance = watching.instance.is_some();
        self.shared.metrics.subscriptions(of_instance, 1);
        let filter_bytes = filter_bytes(&watching.watch);
        self.filter_bytes += filter_bytes;
        let notices = notices.then(|| WatchNotices {
            progress: watching.watch.progress(),
            due: now + NOTICE_INTERVAL,
            told_at: now,
            told: 0,
        });
        if let Some(notices) = &notices {
            self.due.insert((notices.due, id.clone()));
        }
        let abort = self.pull(id.clone(), watching.shown, watching.watch);
        let live = LiveWatch {
            of_instance,
            abort,
            filter_bytes,
            notices,
        };
        self.live.insert(id.clone(), live);
        id
    }

    /// Ends a watch; false when there is none of this name.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        match self.live.remove(id) {
            Some(live) => {
                live.abort.abort();
                self.filter_bytes -= live.filter_bytes;
                if let Some(notices) = live.notices {
                    self.due.remove(&(notices.due, id.into()));
                }
                self.shared.metrics.subscriptions(live.of_instance, -1);
                true
            }
            None => false,
        }
    }

    /// Ends all watches and names them.
    pub(crate) fn end_all(&mut self) -> Vec<Arc<str>> {
        let ids: Vec<Arc<str>> = self.live.keys().cloned().collect();
        for id in &ids {
            self.remove(id);
        }
        ids
    }

    /// The next events of any live watch. `Pending` also when there is none.
    pub(crate) fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        loop {
            match Pin::new(&mut self.pulls).poll_next(cx) {
                Poll::Ready(Some(Ok(pulled))) if self.live.contains_key(&pulled.id) => {
                    return Poll::Ready(pulled);
                }
                // Ended while it was being asked.
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Asks a watch again, after its events were written.
    pub(crate) fn ask_again(&mut self, pulled: Pulled, now: Instant) {
        if !self.live.contains_key(&pulled.id) {
            return;
        }
        let abort = self.pull(pulled.id.clone(), pulled.shown, pulled.watch);
        if let Some(live) = self.live.get_mut(&pulled.id) {
            live.abort = abort;
            if let Some(notices) = &mut live.notices {
                notices.told_at = now;
            }
        }
    }

    /// How far a watch has come that has just reported the head by an empty list; `None` when its client does not know
    /// notices.
    pub(crate) fn caught_up(&mut self, id: &str, now: Instant) -> Option<u64> {
        let notices = self.live.get_mut(id)?.notices.as_mut()?;
        Some(notices.tell(now))
    }

    /// When the next notice is due.
    pub(crate) fn next_notice(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A watch whose notice is due, and how far it has come. All events that it has found up to there must have been
    /// written. They are, because this task asks the watches and writes what they find in one go.
    pub(crate) fn take_notice(&mut self, now: Instant) -> Option<(Arc<str>, u64)> {
        while self.next_notice()? <= now + NOTICE_SLACK {
            let (_, id) = self.due.pop_first()?;
            let live = self.live.get_mut(&id);
            let Some(notices) = live.and_then(|live| live.notices.as_mut()) else {
                continue;
            };
            let is_quiet = notices.told_at + NOTICE_INTERVAL <= now + NOTICE_SLACK;
            let told = is_quiet.then(|| notices.tell(now));
            notices.due = notices.told_at + NOTICE_INTERVAL;
            self.due.insert((notices.due, id.clone()));
            if let Some(told) = told {
                return Some((id, told));
            }
        }
        None
    }

    fn pull(&mut self, id: Arc<str>, shown: ShownParts, mut watch: Watch<Product>) -> AbortHandle {
        let (abort, registration) = AbortHandle::new_pair();
        let pull: BoxFuture<'static, Pulled> = Box::pin(async move {
            let events = watch.next(BATCH_BYTES).await;
            Pulled {
                id,
                shown,
                events,
                watch,
            }
        });
        self.pulls.push(Abortable::new(pull, registration));
        abort
    }
}

fn filter_bytes(watch: &Watch<Product>) -> usize {
    watch
        .filter()
        .names()
        .map(|name| name.len() + NAME_BYTES)
        .sum()
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.end_all();
    }
}
