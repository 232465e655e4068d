//! The end of a replica: by failure, or because it is shut down.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use rstmdb_raft_store::{FileSystem, Store};
use tokio::sync::Notify;

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::error::Error;
use crate::replica::parts::gate::Gate;
use crate::replica::types::Types;

/// What has to end.
pub(crate) struct Ending<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub store: Store<T::Fs>,
    pub gate: Arc<Gate>,
    /// Ends the background tasks.
    pub stop: Arc<Notify>,
}

impl<T: Types> Ending<T> {
    /// Resolves when the node can no longer take part: its storage or its Raft core has failed
    /// for good. The text says why.
    pub(crate) async fn fatal(&self) -> String {
        let mut metrics = self.raft.server_metrics();
        // If the log fails while nothing is written, the Raft core does not notice it.
        let log_failed = Arc::new(Notify::new());
        let failed = log_failed.clone();
        self.store.on_failure(move |_| failed.notify_one());
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
        if let Some(error) = self.store.failed() {
            return Some(error.to_string());
        }
        let metrics = self.raft.metrics();
        let metrics = WatchReceiver::borrow_watched(&metrics);
        let running = metrics.running_state.as_ref();
        running.err().map(ToString::to_string)
    }

    /// Takes no more writes, stops the Raft core, syncs the log and closes it.
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        self.gate.shut_down();
        self.stop.notify_waiters();
        let stopped = self.raft.shutdown().await;
        let synced = sync_log(&self.store).await;
        self.store.close();
        if stopped.is_err() {
            return Err(Error::Storage {
                reason: "the Raft core did not stop cleanly".to_owned(),
                outcome_unknown: false,
            });
        }
        synced
    }
}

/// Waits until everything queued for the log so far is on disk.
pub(crate) async fn sync_log<F: FileSystem>(store: &Store<F>) -> Result<(), Error> {
    let synced = store.sync().await;
    synced.map_err(|error| Error::Storage {
        reason: error.to_string(),
        outcome_unknown: false,
    })
}
