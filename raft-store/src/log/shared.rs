//! What the store's handles and its writer share: the log in memory, the queue between them, and
//! the latch that a failure closes for good.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
#[cfg(feature = "testing")]
use tokio::sync::Notify;

use crate::error::Error;
use crate::folder::roster::Roster;
use crate::folder::{Layout, Options};
use crate::fs::FileSystem;
use crate::log::catalog::Catalog;
use crate::log::invariants;
use crate::log::tail::Tail;
use crate::segment::SegmentTable;
use crate::types::{Entry, LogId, Vote};

/// Called once with the result of a request. If it is dropped without a call, it must report an error.
pub(crate) type WhenDone = Box<dyn FnOnce(Result<(), Arc<Error>>) + Send>;

/// What the writer is asked to write, in the order of the log.
pub(crate) enum WriterRequest {
    Append {
        entries: Vec<Entry>,
        bytes: usize,
        epoch: u64,
        done: WhenDone,
    },
    Vote {
        vote: Vote,
        done: WhenDone,
    },
    Truncate {
        keep: Option<LogId>,
        epoch: u64,
    },
    Purge {
        id: LogId,
        epoch: u64,
    },
    /// Make everything before it durable.
    Sync {
        done: WhenDone,
    },
}

#[derive(Default)]
struct WriterQueue {
    requests: VecDeque<WriterRequest>,
    closed: bool,
}

/// Counters behind [`Stats`](crate::Stats).
#[derive(Default)]
pub(crate) struct StoreCounters {
    pub(crate) bytes_written: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) fsync_us_sum: AtomicU64,
    pub(crate) fsync_us_last: AtomicU64,
}

impl StoreCounters {
    pub(crate) fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, bytes: u64) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn fsync(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.fsync_us_sum.fetch_add(us, Ordering::Relaxed);
        self.fsync_us_last.store(us, Ordering::Relaxed);
    }
}

type FailureCallback = Box<dyn Fn(&Arc<Error>) + Send>;

/// Locks are taken in the order of the fields. No I/O happens under a lock, except under `history_files` and
/// `catalog`.
pub(crate) struct SharedLog<F: FileSystem> {
    pub(crate) fs: F,
    pub(crate) options: Options,
    pub(crate) layout: Layout,
    /// Held while history files are named or removed. A name can be used again, and its new file must not be
    /// removed in place of the old one. Counts the temporary files.
    pub(crate) history_files: Mutex<u64>,
    pub(crate) tail: RwLock<Tail>,
    queue: Mutex<WriterQueue>,
    pub(crate) table: RwLock<SegmentTable<F>>,
    pub(crate) catalog: Mutex<Catalog>,
    pub(crate) counters: StoreCounters,
    wakeup: Condvar,
    /// Wakes a writer that runs as a task.
    #[cfg(feature = "testing")]
    pub(crate) notify: Notify,
    /// Whether the log was consistent when it was opened; debug builds only.
    was_sound: bool,
    failure: OnceLock<Arc<Error>>,
    /// Why the writer waits for room.
    shortage: Mutex<Option<String>>,
    on_failure: Mutex<Vec<FailureCallback>>,
    pub(crate) roster: Mutex<Option<Roster<F>>>,
    /// The ranges of the history files on which a read or a check has failed.
    pub(crate) damaged_history: Mutex<BTreeSet<(u64, u64)>>,
    /// Held until the log is closed and the writer has ended.
    pub(crate) lock: Mutex<Option<F::Lock>>,
}

/// Why [`SharedLog::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Work,
    Timeout,
    Closed,
}

impl<F: FileSystem> SharedLog<F> {
    pub(crate) fn new(
        fs: F,
        options: Options,
        layout: Layout,
        tail: Tail,
        table: SegmentTable<F>,
        catalog: Catalog,
        lock: F::Lock,
    ) -> Self {
        SharedLog {
            was_sound: cfg!(debug_assertions) && invariants::fault(&tail, &table).is_none(),
            fs,
            options,
            layout,
            history_files: Mutex::default(),
            tail: RwLock::new(tail),
            queue: Mutex::default(),
            table: RwLock::new(table),
            catalog: Mutex::new(catalog),
            counters: StoreCounters::default(),
            wakeup: Condvar::new(),
            #[cfg(feature = "testing")]
            notify: Notify::new(),
            failure: OnceLock::new(),
            shortage: Mutex::default(),
            on_failure: Mutex::default(),
            roster: Mutex::default(),
            damaged_history: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        }
    }

    /// Asserts in debug builds what must hold after every step; see [`invariants`]. The caller holds none of the
    /// locks.
    pub(crate) fn check_invariants(&self) {
        if cfg!(debug_assertions) && self.was_sound {
            assert_eq!(self.fault(), None, "the log contradicts itself");
        }
    }

    /// The first contradiction in memory or in the table of files; `None` when there is none.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let tail = self.tail.read();
        invariants::fault(&tail, &self.table.read())
    }

    /// Releases the folder, so that another process or another store can open it.
    pub(crate) fn release(&self) {
        *self.lock.lock() = None;
    }

    /// Queues a request. Call it under the lock of `tail` when the order against other changes
    /// matters. A refused request is dropped, which reports the error.
    pub(crate) fn push(&self, request: WriterRequest) -> Result<(), Error> {
        self.check()?;
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Error::Closed);
        }
        queue.requests.push_back(request);
        drop(queue);
        self.wake_writer();
        Ok(())
    }

    fn wake_writer(&self) {
        self.wakeup.notify_one();
        #[cfg(feature = "testing")]
        self.notify.notify_one();
    }

    /// Purges the log up to `id`. If `id` is beyond the end of the log, no history leads to the next entry yet.
    pub(crate) fn purge(&self, tail: &mut Tail, id: LogId) -> Result<(), Error> {
        if tail.purge(id) {
            self.table.write().join_history(id.index + 1);
        }
        let epoch = tail.epoch;
        self.push(WriterRequest::Purge { id, epoch })
    }

    /// Moves queued requests into `into`, up to about `bytes_max` bytes of entries.
    pub(crate) fn take(&self, into: &mut Vec<WriterRequest>, bytes_max: usize) {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        while taken < bytes_max {
            let Some(request) = queue.requests.pop_front() else {
                return;
            };
            if let WriterRequest::Append { bytes, .. } = &request {
                taken += bytes;
            }
            into.push(request);
        }
    }

    /// Puts requests back at the front of the queue.
    pub(crate) fn put_back(&self, requests: &mut Vec<WriterRequest>) {
        let mut queue = self.queue.lock();
        for request in requests.drain(..).rev() {
            queue.requests.push_front(request);
        }
    }

    /// Notes that the writer waits for disk space, or no longer waits.
    pub(crate) fn set_shortage(&self, error: Option<&Error>) {
        let mut shortage = self.shortage.lock();
        match (&*shortage, error) {
            (None, Some(error)) => {
                tracing::error!(%error, "the log waits because its next segment cannot be created");
                *shortage = Some(format!(
                    "the next segment of the log cannot be created: {error}"
                ));
            }
            (Some(_), None) => {
                tracing::info!("the log continues: its next segment was created");
                *shortage = None;
            }
            _ => {}
        }
    }

    pub(crate) fn shortage(&self) -> Option<String> {
        self.shortage.lock().clone()
    }

    /// Blocks until there is work, the time is up or the store was closed.
    pub(crate) fn wait(&self, timeout: Duration) -> Wake {
        let mut queue = self.queue.lock();
        if queue.requests.is_empty() && !queue.closed {
            self.wakeup.wait_for(&mut queue, timeout);
        }
        match (queue.requests.is_empty(), queue.closed) {
            (false, _) => Wake::Work,
            (true, true) => Wake::Closed,
            (true, false) => Wake::Timeout,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.lock().requests.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Refuses new requests. The writer finishes the queued ones and ends.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.wake_writer();
    }

    /// Drops all queued requests. Each then reports that it failed.
    pub(crate) fn abandon(&self) {
        let abandoned = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.requests)
        };
        drop(abandoned);
    }

    /// The first failure, as the error of every later call.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.failure.get() {
            Some(first) => Err(Error::Failed(first.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn failed(&self) -> Option<Arc<Error>> {
        self.failure.get().cloned()
    }

    /// Latches a failure (the first one stays) and runs the callbacks of [`SharedLog::on_failure`].
    pub(crate) fn fail(&self, error: Error) -> Arc<Error> {
        let error = Arc::new(error);
        if self.failure.set(error.clone()).is_err() {
            return self.failure.get().cloned().unwrap_or(error);
        }
        tracing::error!(%error, "the log has failed; this node stops taking part in the cluster");
        for callback in self.on_failure.lock().drain(..) {
            callback(&error);
        }
        error
    }

    pub(crate) fn on_failure(&self, callback: FailureCallback) {
        let mut callbacks = self.on_failure.lock();
        match self.failure.get() {
            Some(error) => callback(error),
            None => callbacks.push(callback),
        }
    }
}
