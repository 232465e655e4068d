//! The pace of background tasks, which live as long as the replica.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use tokio::sync::Notify;

use super::gate::Gate;
use crate::replica::types::Types;

/// What a background task holds between two checks: the parts it works with, as long as the replica lives.
pub(crate) struct TaskPace<P> {
    parts: Weak<P>,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
}

impl<P> TaskPace<P> {
    /// The replica owns `parts`. It has ended when `parts` are dropped, `gate` shuts down, or `stop` is notified.
    pub(crate) fn new(parts: &Arc<P>, gate: Arc<Gate>, stop: Arc<Notify>) -> Self {
        Self {
            parts: Arc::downgrade(parts),
            gate,
            stop,
        }
    }

    /// The parts, unless the replica has ended.
    pub(crate) fn parts(&self) -> Option<Arc<P>> {
        let parts = self.parts.upgrade()?;
        (!self.gate.is_shutting_down()).then_some(parts)
    }

    /// Waits until the next check is due; `None` once the replica is gone or was stopped.
    pub(crate) async fn next<T: Types>(&self, pause: Duration) -> Option<Arc<P>> {
        // A task that was busy when `stop` was notified has not heard it. By now the runtime may be gone, and the
        // timers with it, so the task must not wait for one.
        self.parts()?;
        tokio::select! {
            biased;
            () = self.stop.notified() => return None,
            () = T::sleep(pause) => {}
        }
        self.parts()
    }

    /// Resolves once the replica is stopped or dropped after this call.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> {
        self.stop.notified()
    }
}

/// Yields once, on any runtime: a task with much to do must not hold its thread.
pub(crate) async fn let_others_run() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::replica::types::tests::TestTypes;

    const LONG: Duration = Duration::from_secs(3600);

    /// The runtime may be gone by then, and its timers with it.
    #[test]
    fn a_task_that_was_at_work_when_the_replica_ended_waits_no_more() {
        let (parts, gate) = (Arc::new(()), Arc::new(Gate::default()));
        let pace = TaskPace::new(&parts, gate.clone(), Arc::default());
        gate.shut_down();
        let next = pace.next::<TestTypes>(LONG).now_or_never();
        assert!(next.is_some_and(|parts| parts.is_none()));
    }

    #[test]
    fn a_task_ends_with_the_parts_that_only_the_replica_keeps() {
        let parts = Arc::new(());
        let pace = TaskPace::new(&parts, Arc::default(), Arc::default());
        assert!(pace.parts().is_some());
        drop(parts);
        let next = pace.next::<TestTypes>(LONG).now_or_never();
        assert!(next.is_some_and(|parts| parts.is_none()));
    }
}
