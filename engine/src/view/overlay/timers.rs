//! Facts in flight that change the timers of an instance and nothing else of it.

use std::sync::Arc;

use super::{KeyInFlight, LiveInFlight, Overlay, OverlayChange};
use crate::fact;
use crate::state::{KeyOutcome, Scope, key_name};

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
    pub(super) fn set_timers(&mut self, set: &fact::SetTimers, offset: u64, time_ms: u64) {
        let instance_id = self.touch(&set.instance_id, set.timers.as_ref(), offset, time_ms);
        if let Some(key) = &set.key {
            let name = key_name(Scope::SetTimers(&set.instance_id), &key.key);
            let in_flight = KeyInFlight {
                offset,
                time_ms,
                params_hash: key.params_hash,
                instance_id,
                outcome: KeyOutcome::TimersSet,
            };
            self.put_key(&name, in_flight);
        }
    }

    pub(super) fn touch(
        &mut self,
        id: &str,
        timers: Option<&fact::Timers>,
        offset: u64,
        time_ms: u64,
    ) -> Arc<str> {
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
        self.put(id, offset, change)
    }
}
