//! The tasks of a replica. Each ends by itself when the replica does.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use openraft::type_config::TypeConfigExt;
use tokio::sync::Notify;

use crate::replica::parts::gate::Gate;
use crate::replica::parts::pace::TaskPace;
use crate::replica::types::Types;

/// The tasks that check something again and again, and what they check: they end when this is dropped.
pub(super) struct Tasks {
    parts: Vec<Arc<dyn Any + Send + Sync>>,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
}

impl Tasks {
    /// No task yet. All end once `gate` shuts down and `stop` is notified.
    pub(super) fn new(gate: Arc<Gate>, stop: Arc<Notify>) -> Self {
        Self {
            parts: Vec::new(),
            gate,
            stop,
        }
    }

    /// Starts a task that works with `parts` and does not keep them.
    pub(super) fn spawn<T, P, F>(&mut self, parts: Arc<P>, run: impl FnOnce(TaskPace<P>) -> F)
    where
        T: Types,
        P: Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let pace = TaskPace::new(&parts, self.gate.clone(), self.stop.clone());
        self.parts.push(parts);
        detach::<T>(run(pace));
    }
}

/// Waiting requests must learn that the replica has ended also when it is dropped without a shutdown.
impl Drop for Tasks {
    fn drop(&mut self) {
        self.gate.shut_down();
        self.stop.notify_waiters();
    }
}

/// Spawns a task that ends by itself when the replica does.
pub(super) fn detach<T: Types>(task: impl Future<Output = ()> + Send + 'static) {
    drop(T::spawn(task));
}
