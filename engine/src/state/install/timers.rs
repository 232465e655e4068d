//! Installing facts about timers.

use super::{FactAt, InstanceParts, KeyBrief, Scope, State, contradiction};
use crate::fact;
use crate::state::error::Error;

impl State {
    pub(super) fn set_timers(
        &mut self,
        set: &fact::SetTimers,
        at: FactAt<'_>,
    ) -> Result<(), Error> {
        self.touch(&set.instance_id, set.timers.as_ref(), at)?;
        if let Some(key) = &set.key {
            let scope = Scope::SetTimers(&set.instance_id);
            self.put_key(scope, key, at, KeyBrief::default());
        }
        Ok(())
    }

    /// Changes nothing of an instance but its timers and the offset of its last fact.
    pub(super) fn touch(
        &mut self,
        id: &str,
        timers: Option<&fact::Timers>,
        at: FactAt<'_>,
    ) -> Result<(), Error> {
        let Some(before) = self.instances.get(id.as_bytes()).cloned() else {
            return Err(contradiction(at, "the instance of the timers is gone"));
        };
        let parts = InstanceParts {
            id,
            machine: before.machine(),
            state: before.state(),
            ctx: before.ctx(),
            event_id: before.event_id().unwrap_or_default(),
            created_ms: before.created_ms(),
            updated_ms: at.time_ms,
            last_offset: at.offset,
            created_offset: before.created_offset(),
        };
        self.put_instance(&parts, at)?;
        self.put_timers(id, timers, at);
        Ok(())
    }

    /// Puts the timers that a fact holds in place of the instance's earlier ones.
    pub(super) fn put_timers(&mut self, id: &str, timers: Option<&fact::Timers>, at: FactAt<'_>) {
        let Some(timers) = timers else { return };
        let entry = match timers.entry {
            0 => at.offset,
            earlier => earlier,
        };
        let shift_ms = self.shift_ms();
        let (gone, come) = self.timers.put(id, timers, entry, shift_ms);
        if let Some(digest) = gone {
            self.remove_digest(digest);
        }
        if let Some(digest) = come {
            self.add_digest(digest);
        }
    }
}
