//! The timers in a snapshot.

use super::StateLoader;
use super::proto;
use crate::fact;

impl StateLoader {
    pub(super) fn timers(&mut self, message: &proto::InstanceTimers) -> Result<(), String> {
        let id = &message.id;
        if !self.state.ids.contains(id.as_str()) {
            return Err(format!("there are timers of {id:?}, and no such instance"));
        }
        if self.state.timers.get(id).is_some() {
            return Err(format!("the timers of {id:?} are there twice"));
        }
        self.check_offset(message.entry)?;
        let names = message.armed.windows(2);
        if message.armed.is_empty() || names.into_iter().any(|it| it[0].name >= it[1].name) {
            return Err(format!("the timers of {id:?} are none, or do not ascend"));
        }
        // Kept times are without shifts, as if there had been none.
        let armed = message.armed.iter().map(|kept| fact::Timer {
            name: kept.name.clone(),
            due_ms: kept.kept_ms,
            refusals: kept.refusals,
        });
        let timers = fact::Timers {
            entry: message.entry,
            armed: armed.collect(),
            shift_ms: 0,
            minute_ms: message.minute_ms,
            firings: message.firings,
            suspended: message.suspended,
        };
        let (_, come) = self.state.timers.put(id, &timers, message.entry, 0);
        if let Some(digest) = come {
            self.state.add_digest(digest);
        }
        Ok(())
    }
}
