//! Installing facts about locks.

use super::{FactAt, contradiction};
use crate::fact::LockChanged;
use crate::state::locks::HeldLock;
use crate::state::{Error, State};

impl State {
    pub(super) fn change_lock(
        &mut self,
        changed: &LockChanged,
        at: FactAt<'_>,
    ) -> Result<(), Error> {
        let before = self.locks.get(&changed.name).map(|lock| &**lock);
        let after = HeldLock::after(before, changed, at.offset, at.time_ms)
            .map_err(|what| contradiction(at, what))?;
        let (gone, come) = self.locks.put(&changed.name, after);
        if let Some(digest) = gone {
            self.remove_digest(digest);
        }
        if let Some(digest) = come {
            self.add_digest(digest);
        }
        Ok(())
    }
}
