//! The watches of one connection.
//!
//! Each watch is asked for its next events only while the client keeps up with what was sent: a
//! slow client's watches stand still, and nothing is kept for it beyond the one batch that is
//! being written.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, Stream};
use uuid::Uuid;

use crate::replica::{Watch, WatchEnd, WatchEvent};
use crate::server::ops::Watching;
use crate::server::product::Product;
use crate::server::shared::Shared;

/// Watches one connection may have.
pub(crate) const WATCHES_MAX: usize = 10_000;
/// Contexts and payloads asked for at once.
const BATCH_BYTES: usize = 64 * 1024;

/// A watch and what came of asking it.
pub(crate) struct Pulled {
    pub(crate) id: Arc<str>,
    pub(crate) include_ctx: bool,
    pub(crate) events: Result<Vec<WatchEvent>, WatchEnd>,
    watch: Watch<Product>,
}

struct Live {
    of_instance: bool,
    abort: AbortHandle,
}

/// See the module documentation.
pub(crate) struct Subscriptions {
    shared: Arc<Shared>,
    live: HashMap<Arc<str>, Live>,
    pulls: FuturesUnordered<Abortable<BoxFuture<'static, Pulled>>>,
}

impl Subscriptions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            live: HashMap::new(),
            pulls: FuturesUnordered::new(),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether there may be no more.
    pub(crate) fn is_full(&self) -> bool {
        self.live.len() >= WATCHES_MAX
    }

    /// Takes over a watch and names it.
    pub(crate) fn add(&mut self, watching: Watching) -> Arc<str> {
        let id: Arc<str> = Uuid::new_v4().to_string().into();
        let of_instance = watching.instance.is_some();
        self.shared.metrics.subscriptions(of_instance, 1);
        self.pull(
            id.clone(),
            watching.include_ctx,
            of_instance,
            watching.watch,
        );
        id
    }

    /// Ends a watch; false when there is none of this name.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        match self.live.remove(id) {
            Some(live) => {
                live.abort.abort();
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
    pub(crate) fn ask_again(&mut self, pulled: Pulled) {
        if let Some(live) = self.live.get(&pulled.id) {
            let of_instance = live.of_instance;
            self.pull(pulled.id, pulled.include_ctx, of_instance, pulled.watch);
        }
    }

    fn pull(
        &mut self,
        id: Arc<str>,
        include_ctx: bool,
        of_instance: bool,
        mut watch: Watch<Product>,
    ) {
        let (abort, registration) = AbortHandle::new_pair();
        let named = id.clone();
        let pull: BoxFuture<'static, Pulled> = Box::pin(async move {
            let events = watch.next(BATCH_BYTES).await;
            Pulled {
                id: named,
                include_ctx,
                events,
                watch,
            }
        });
        self.pulls.push(Abortable::new(pull, registration));
        self.live.insert(id, Live { of_instance, abort });
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.end_all();
    }
}
