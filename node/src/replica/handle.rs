//! [`Replica`]: the one door through which the server half reaches a replica.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::{Command, Query, Reply, State};
use rstmdb_raft_store::{NodeInfo, Stats, Store};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Error;
use super::applied::Applied;
use super::clocks::Clocks;
use super::compaction::Compaction;
use super::counters::Counters;
use super::gate::Gate;
use super::history::History;
use super::hub::{Hub, WatchFilter};
use super::log_page::{LogPage, read_page};
use super::peers::Peers;
use super::queue::{AnswerTo, Origin, Origins, Request};
use super::reads::{Consistency, Reads};
use super::start::Options;
use super::state_machine::StateMachine;
use super::types::{Host, Types};
use super::watch::Watch;

/// Bytes of entries one page of WAL_READ reads at most.
const LOG_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Done {
    /// The result.
    pub reply: Reply,
    /// Where it took effect; `None` when nothing was written.
    pub offset: Option<u64>,
}

/// The outcome of a submitted command, to be waited for.
#[derive(Debug)]
pub struct Submitted(oneshot::Receiver<Result<Done, Error>>);

impl Future for Submitted {
    type Output = Result<Done, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(Err(Error::OutcomeUnknown)))
    }
}

/// Everything the handles of one replica share.
pub(crate) struct Inner<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub store: Store<T::Fs>,
    pub applied: Arc<Applied>,
    pub hub: Arc<Hub>,
    pub reads: Reads<T>,
    pub peers: Arc<dyn Peers>,
    pub gate: Arc<Gate>,
    pub host: Arc<dyn Host>,
    pub options: Options,
    pub counters: Arc<Counters>,
    pub clocks: Arc<Clocks<T>>,
    pub compaction: Compaction<T>,
    /// Held by who goes through all instances: one at a time does so.
    pub listing: tokio::sync::Mutex<()>,
    /// Held while this node, as the leader, changes the members.
    pub changing: tokio::sync::Mutex<()>,
    pub requests: mpsc::UnboundedSender<Request<T>>,
    pub origins: Origins,
    pub history: Arc<History>,
    pub started: InstantOf<T>,
    /// Ends the background tasks.
    pub stop: Arc<Notify>,
}

impl<T: Types> Inner<T> {
    /// Fetches the history that is missing below the log, if there is any and others may have it.
    pub(crate) fn fetch_history(&self) {
        let floor = self.applied.read().stale_known_from();
        let alone = self.raft.voter_ids().nth(1).is_none();
        if !alone && self.store.earliest_index() > floor.max(1) {
            self.history.fetch(floor);
        }
    }
}

/// A handle to a replica; clones share it.
pub struct Replica<T: Types> {
    pub(crate) inner: Arc<Inner<T>>,
}

impl<T: Types> Clone for Replica<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T: Types> Replica<T> {
    /// Submits a command. It is queued before this returns, so commands take effect in the order
    /// of the calls; the future waits for the outcome, which is durable and applied here.
    ///
    /// Dropping the future gives up the answer, not the command.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn submit(&self, command: Command, actor: Arc<str>) -> Submitted {
        self.submit_from(command, actor, None)
    }

    /// Submits a command that came by `origin`, if another node forwarded it.
    pub(crate) fn submit_from(
        &self,
        command: Command,
        actor: Arc<str>,
        origin: Option<Arc<Origin>>,
    ) -> Submitted {
        let (answer, outcome) = oneshot::channel();
        let gate = &self.inner.gate;
        if let Err(error) = gate.trust().and_then(|()| gate.belong()) {
            // The receiver is below.
            let _ = answer.send(Err(error));
            return Submitted(outcome);
        }
        let request = Request {
            command,
            actor,
            answer: AnswerTo::new(answer),
            deadline: T::now() + self.inner.gate.leader_wait(),
            origin,
        };
        if let Err(SendError(request)) = self.inner.requests.send(request) {
            request.refuse(Error::ShuttingDown);
        }
        Submitted(outcome)
    }

    /// Returns once a read at `level`, and not before `min_offset` was applied here, may be
    /// served from [`Replica::query`] or [`Replica::with_state`].
    ///
    /// # Errors
    ///
    /// [`Error::NoLeader`] when no leader confirmed in time, [`Error::Storage`] when the node
    /// has failed, [`Error::ShuttingDown`].
    pub async fn barrier(&self, level: Consistency, min_offset: Option<u64>) -> Result<(), Error> {
        self.inner.gate.trust()?;
        if level != Consistency::Local {
            self.inner.gate.belong()?;
        }
        self.inner.reads.barrier(level).await?;
        if let Some(offset) = min_offset {
            self.inner.applied.wait_for(offset).await;
        }
        Ok(())
    }

    /// Answers a query from the applied state as it is now.
    ///
    /// # Errors
    ///
    /// A refusal, such as an instance that does not exist; [`Error::Diverged`].
    pub fn query(&self, query: &Query) -> Result<Reply, Error> {
        self.inner.gate.trust()?;
        // A listing may go through many instances; a copy-on-write clone lets apply go on.
        if query.lists() {
            let state = self.inner.applied.read().clone();
            return Ok(state.query(query)?);
        }
        Ok(self.inner.applied.read().query(query)?)
    }

    /// About how many bytes the context of an instance has: as this node has applied it, and without waiting for
    /// apply, which may answer `None`.
    pub fn context_bytes(&self, id: &str) -> Option<usize> {
        let state = self.inner.applied.try_read()?;
        Some(state.context_bytes(id))
    }

    /// Looks at the applied state. Apply waits meanwhile: be short.
    pub fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.inner.applied.read())
    }

    /// Starts a watch of everything `filter` matches: after the head, or from the offset
    /// `from` (0: the earliest that is retained).
    ///
    /// # Errors
    ///
    /// [`Error::OffsetCompacted`] when `from` is no longer retained.
    pub fn watch(&self, filter: WatchFilter, from: Option<u64>) -> Result<Watch<T>, Error> {
        self.inner.gate.trust()?;
        let head = self.inner.applied.read().last_applied();
        Watch::new(self.inner.clone(), filter, head, from)
    }

    /// Starts a watch of one instance together with how it stands at the watch's head: nothing
    /// lies between the two.
    ///
    /// # Errors
    ///
    /// The refusal of an instance that does not exist, and those of [`Replica::watch`].
    pub fn watch_instance(
        &self,
        instance_id: &str,
        from: Option<u64>,
    ) -> Result<(Watch<T>, Reply), Error> {
        self.inner.gate.trust()?;
        let query = Query::GetInstance {
            instance_id: instance_id.to_owned(),
        };
        let (head, instance) = {
            let state = self.inner.applied.read();
            (state.last_applied(), state.query(&query)?)
        };
        let filter = WatchFilter {
            instance: Some(instance_id.to_owned()),
            ..WatchFilter::default()
        };
        let watch = Watch::new(self.inner.clone(), filter, head, from)?;
        Ok((watch, instance))
    }

    /// How many watches this replica serves.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.inner.hub.watches()
    }

    /// How many of them have not caught up although the head is far ahead.
    #[must_use]
    pub fn watches_lagging(&self) -> usize {
        self.inner.hub.lagging()
    }

    /// What this replica counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Reads a page of at most `limit` entries of the applied log from `from` on (0: from the
    /// earliest that is retained).
    ///
    /// # Errors
    ///
    /// [`Error::OffsetCompacted`] when `from` is no longer retained, [`Error::Storage`] when
    /// the log cannot be read.
    pub fn log_read(&self, from: u64, limit: usize) -> Result<LogPage, Error> {
        self.inner.gate.trust()?;
        let from = if from == 0 {
            self.earliest_offset()
        } else {
            from
        };
        let head = self.inner.applied.offset();
        if from > head {
            return Ok(LogPage {
                items: Vec::new(),
                next_offset: from,
            });
        }
        read_page(&self.inner, from, head, limit, LOG_PAGE_BYTES)
    }

    /// The first offset that can be delivered. Raft's first entry, at 0, is there on nodes that
    /// formed the cluster and on no other; 0 asks for the earliest anyway, so it is shown on none.
    pub(crate) fn earliest_offset(&self) -> u64 {
        self.inner.store.earliest_index().max(1)
    }

    /// Sizes and counters of the log.
    #[must_use]
    pub fn store_stats(&self) -> Stats {
        self.inner.store.stats()
    }

    /// Who this node is.
    #[must_use]
    pub fn node(&self) -> (u64, &NodeInfo) {
        (self.inner.options.node_id, &self.inner.options.node)
    }

    /// Resolves when the node can no longer take part: its storage or its Raft core has failed
    /// for good. The text says why.
    pub async fn fatal(&self) -> String {
        let mut metrics = self.inner.raft.server_metrics();
        // A log that fails while nothing is written changes nothing that the Raft core tells.
        let log_failed = Arc::new(Notify::new());
        let failed = log_failed.clone();
        self.inner.store.on_failure(move |_| failed.notify_one());
        loop {
            if let Some(reason) = self.failure() {
                return reason;
            }
            let changed = pin!(WatchReceiver::changed(&mut metrics));
            let log_failed = pin!(log_failed.notified());
            if let Either::Left((Err(_), _)) = select(changed, log_failed).await {
                return self
                    .failure()
                    .unwrap_or_else(|| "the Raft core has stopped".to_owned());
            }
        }
    }

    fn failure(&self) -> Option<String> {
        if let Some(error) = self.inner.store.failed() {
            return Some(error.to_string());
        }
        let metrics = self.inner.raft.metrics();
        let metrics = WatchReceiver::borrow_watched(&metrics);
        let running = metrics.running_state.as_ref();
        running.err().map(ToString::to_string)
    }

    /// Waits until everything queued for the log so far is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the log has failed.
    pub async fn sync_log(&self) -> Result<(), Error> {
        let synced = self.inner.store.sync().await;
        synced.map_err(|error| Error::Storage {
            reason: error.to_string(),
            outcome_unknown: false,
        })
    }

    /// Takes no more writes, stops the Raft core, syncs the log and closes it; the store's writer
    /// then writes its closing mark and ends.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the log could not be closed cleanly; nothing acknowledged is
    /// lost by that.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.inner.gate.shut_down();
        self.inner.stop.notify_waiters();
        let stopped = self.inner.raft.shutdown().await;
        let synced = self.sync_log().await;
        self.inner.store.close();
        if stopped.is_err() {
            return Err(Error::Storage {
                reason: "the Raft core did not stop cleanly".to_owned(),
                outcome_unknown: false,
            });
        }
        synced
    }
}
