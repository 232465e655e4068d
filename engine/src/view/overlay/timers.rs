//! Facts in flight that change the timers of an instance and nothing else of it.

use std::sync::Arc;

use super::{LiveInFlight, Overlay, OverlayChange};
use crate::fact;

/// A change of the timers alone.
pub(crate) struct TimersTouch {
    pub(crate) updated_ms: u64,
    pub(crate) timers: TimersInFlight,
}

/// The timers of an instance; `None` where no fact in this overlay has changed them.
pub(crate) type TimersInFlight = Option<Arc<fact::Timers>>;

/// The timers that a fact at this offset leaves.
pub(super) fn held(timers: Option<&fact::Timers>, offset: u64) -> TimersInFlight {
    let mut timers = timers?.clone();
    if timers.entry == 0 {
        timers.entry = offset;
    }
    Some(Arc::new(timers))
}

impl Overlay {
    pub(super) fn touch(
        &mut self,
        id: &str,
        timers: Option<&fact::Timers>,
        offset: u64,
        time_ms: u64,
    ) {
        let timers = held(timers, offset);
        let before = self.instances.remove(id).map(|item| item.change);
        let change = match before {
            Some(OverlayChange::Live(live)) => OverlayChange::Live(LiveInFlight {
                timers: timers.or(live.timers.clone()),
                updated_ms: time_ms,
                ..live
            }),
            Some(OverlayChange::Touched(touch)) => OverlayChange::Touched(TimersTouch {
                timers: timers.or(touch.timers),
                updated_ms: time_ms,
            }),
            Some(OverlayChange::Deleted { .. }) | None => OverlayChange::Touched(TimersTouch {
                timers,
                updated_ms: time_ms,
            }),
        };
        self.put(id, offset, change);
    }
}
