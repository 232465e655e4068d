//! The pace of tasks that look at something again and again, for as long as the replica lives.

use std::sync::Weak;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use tokio::sync::Notify;

use super::handle::{Inner, Replica};
use super::types::Types;

/// Waits until it is time to look again; nothing once the replica is gone or `stop` was notified.
pub(crate) async fn next_look<T: Types>(
    replica: &Weak<Inner<T>>,
    stop: &Notify,
    pause: Duration,
) -> Option<Replica<T>> {
    // Whoever was at work when `stop` was notified has not heard it. The runtime may be gone by now, and with
    // it the timers that one could wait for.
    if replica.upgrade()?.gate.is_shutting_down() {
        return None;
    }
    tokio::select! {
        biased;
        () = stop.notified() => return None,
        () = T::sleep(pause) => {}
    }
    let inner = replica.upgrade()?;
    (!inner.gate.is_shutting_down()).then_some(Replica { inner })
}
