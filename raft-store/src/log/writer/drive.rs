//! The writer as a task. A simulation, which has one thread and its own clock, runs it this way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::{RETRY_PAUSE, Writer};
use crate::fs::FileSystem;
use crate::log::planted;
use crate::log::shared::{SharedLog, Wake};

impl<F: FileSystem> Writer<F> {
    /// Like [`Writer::run`], as a task; without a clock there are no marks for idleness and
    /// `EveryMs` syncs with the next write.
    pub async fn drive(self) {
        self.drive_with(|_| std::future::pending()).await;
    }

    /// Like [`Writer::run`], as a task that sleeps by means of `sleep`.
    pub async fn drive_with<S: Future<Output = ()>>(self, sleep: impl Fn(Duration) -> S) {
        self.drive_slowly(sleep, || None).await;
    }

    /// As [`Writer::drive_with`], with a pause before each batch that stands for the time of a disk. Requests
    /// queued during the pause join the batch. They are lost when the process is killed during the pause.
    pub async fn drive_slowly<S: Future<Output = ()>>(
        mut self,
        sleep: impl Fn(Duration) -> S,
        mut pause: impl FnMut() -> Option<Duration>,
    ) {
        loop {
            if self.shared.has_work()
                && let Some(pause) = pause()
            {
                sleep(pause).await;
            }
            if self.step() {
                continue;
            }
            if self.shared.is_closed() {
                return self.finish();
            }
            if self.waits {
                wait(&self.shared, sleep(RETRY_PAUSE)).await;
                continue;
            }
            if wait(&self.shared, sleep(self.patience())).await == Wake::Timeout {
                self.idle();
            } else if planted::acknowledges_early() {
                wait(&self.shared, sleep(planted::HELD_BACK)).await;
            }
        }
    }
}

/// Waits for work or the end of the store, or until the time is up.
async fn wait<F: FileSystem>(shared: &SharedLog<F>, timeout: impl Future<Output = ()>) -> Wake {
    let mut work = pin!(shared.notify.notified());
    let mut timeout = pin!(timeout);
    poll_fn(|context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(Wake::Work);
        }
        timeout.as_mut().poll(context).map(|()| Wake::Timeout)
    })
    .await
}
