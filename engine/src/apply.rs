//! Applies entries. This is total and deterministic, and the same on every node in any role.
//!
//! First the whole entry is checked, each fact against the state as the facts before it leave it. Then all of it is
//! installed. A check that fails makes the entry stale: it changes nothing but the last offset and the set of stale
//! offsets.

mod admit;
mod planted;

use crate::fact::Entry;
use crate::machine::Compiled;
use crate::state::{Error, FactAt, State};
use crate::view::{Overlay, View};
use admit::admissible;
#[cfg(feature = "planted-bugs")]
pub use planted::apply_stale_events;

/// What an entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOutcome {
    /// It took effect, whole.
    Applied,
    /// Its decision rested on a state that has changed meanwhile, so it changed nothing.
    Stale,
}

impl State {
    /// Applies the entry at an offset of the log.
    ///
    /// An error means that the log does not fit this state, so the node must stop. The state is then
    /// unchanged.
    pub fn apply(&mut self, entry: &Entry, offset: u64) -> Result<EntryOutcome, Error> {
        self.apply_compiled(entry, offset, &Compiled::of(entry))
    }

    /// [`State::apply`], with the entry's machines compiled before.
    pub fn apply_compiled(
        &mut self,
        entry: &Entry,
        offset: u64,
        compiled: &Compiled,
    ) -> Result<EntryOutcome, Error> {
        if offset <= self.last_applied() {
            return Err(Error::OutOfOrder {
                offset,
                last_applied: self.last_applied(),
            });
        }
        let at = FactAt {
            offset,
            time_ms: entry.time_ms.max(self.last_time_ms()),
            bounds: entry.key_bounds.unwrap_or_default(),
            actor: &entry.actor,
            before: &[],
            behind: &[],
        };
        let landed = entry.index == offset || planted::applies_stale_events();
        if !landed || !admits(self, entry, at, compiled)? {
            self.end_stale_entry(offset);
            return Ok(EntryOutcome::Stale);
        }
        for (place, fact) in entry.facts.iter().enumerate() {
            self.install(fact, at.fact(&entry.facts, place), compiled)?;
        }
        self.end_entry(at);
        debug_assert_eq!(self.check_sizes(), Ok(()));
        Ok(EntryOutcome::Applied)
    }
}

fn admits(
    state: &State,
    entry: &Entry,
    at: FactAt<'_>,
    compiled: &Compiled,
) -> Result<bool, Error> {
    let fence = entry.meta.as_ref().and_then(|meta| meta.fence.as_ref());
    if fence.is_some_and(|fence| !View::new(state).fence_holds(fence, at.time_ms)) {
        return Ok(false);
    }
    let mut earlier = Overlay::default();
    for fact in &entry.facts {
        if !admissible(View::new(state).over(&earlier), fact, at, compiled)? {
            return Ok(false);
        }
        if entry.facts.len() > 1 {
            earlier.push(fact, at.offset, at.time_ms, compiled);
        }
    }
    Ok(true)
}
