//! What the log says of timers, by an account of its own: armed when a state was entered, disarmed when it was left,
//! fired once and not early, spent with a reason.

use std::collections::BTreeMap;

use rstmdb_engine::fact::{Fired, TimerSpent, Timers};

use crate::machines::Machine;

/// A decision that was made ahead arms for up to so much later, in milliseconds.
const AHEAD_MS_MAX: u64 = 1_000;

/// The fault of a fact.
type Wrong = String;

/// The armed timers of all instances.
#[derive(Debug, Default)]
pub struct Armed {
    instances: BTreeMap<String, Instance>,
    /// How many timers have taken effect, and how many were spent.
    fired: u64,
    spent: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Instance {
    entry: u64,
    due: BTreeMap<String, u64>,
}

/// A fact that changes the timers of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The instance.
    pub id: &'a str,
    /// The machine and state that were entered; `None` where none was.
    pub entered: Option<(Machine, &'a str)>,
    /// The timer that has fired.
    pub fired: Option<&'a Fired>,
    /// All timers afterwards, where the fact has changed them.
    pub timers: Option<&'a Timers>,
    /// Where it stands.
    pub offset: u64,
    /// When it was decided.
    pub time_ms: u64,
}

impl Armed {
    /// How many timers have taken effect.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// How many timers were spent.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// When the first timer is due.
    #[must_use]
    pub fn first_ms(&self) -> Option<u64> {
        let due = self
            .instances
            .values()
            .flat_map(|timers| timers.due.values());
        due.min().copied()
    }

    /// Takes a creation or an event.
    ///
    /// # Errors
    /// What is wrong.
    pub fn take(&mut self, change: Change<'_>) -> Result<(), Wrong> {
        let before = self.instances.get(change.id).cloned().unwrap_or_default();
        let mut after = before.clone();
        if let Some(fired) = change.fired {
            after = without(after, fired, change.time_ms)?;
            self.fired += 1;
        }
        if let Some((machine, state)) = change.entered {
            after.entry = change.offset;
            let timers = machine.timers(state).iter();
            after.due = timers
                .map(|(name, ms)| ((*name).to_owned(), change.time_ms + ms))
                .collect();
        }
        self.put(change.id, before, after, change.timers, change.offset)
    }

    /// Takes a timer that had no effect.
    ///
    /// # Errors
    /// What is wrong.
    pub fn take_spent(
        &mut self,
        spent: &TimerSpent,
        offset: u64,
        time_ms: u64,
    ) -> Result<(), Wrong> {
        let id = &*spent.instance_id;
        let fired = spent.fired.as_ref().ok_or("it names no timer")?;
        if spent.code != "GUARD_FAILED" {
            return Err(format!("{id}: no guard holds, and it says {}", spent.code));
        }
        let before = self.instances.get(id).cloned().unwrap_or_default();
        let after = without(before.clone(), fired, time_ms)?;
        self.spent += 1;
        self.put(id, before, after, spent.timers.as_ref(), offset)
    }

    /// Takes the deletion of an instance.
    pub fn delete(&mut self, id: &str) {
        self.instances.remove(id);
    }

    fn put(
        &mut self,
        id: &str,
        before: Instance,
        expected: Instance,
        written: Option<&Timers>,
        offset: u64,
    ) -> Result<(), Wrong> {
        let after = match written {
            None => before,
            Some(timers) => Instance {
                entry: if timers.entry == 0 {
                    offset
                } else {
                    timers.entry
                },
                due: timers
                    .armed
                    .iter()
                    .map(|timer| (timer.name.clone(), timer.due_ms))
                    .collect(),
            },
        };
        let close = |(one, two): (&u64, &u64)| *one >= *two && *one <= two + AHEAD_MS_MAX;
        let fits = after.due.keys().eq(expected.due.keys())
            && after.due.values().zip(expected.due.values()).all(close)
            && (after.due.is_empty() || after.entry == expected.entry);
        if !fits {
            return Err(format!("{id} has {after:?}, and must have {expected:?}"));
        }
        match after.due.is_empty() {
            true => drop(self.instances.remove(id)),
            false => drop(self.instances.insert(id.to_owned(), after)),
        }
        Ok(())
    }
}

/// The timers without the one that has fired.
fn without(mut timers: Instance, fired: &Fired, time_ms: u64) -> Result<Instance, Wrong> {
    if fired.due_ms > time_ms {
        return Err(format!("{fired:?} fired at {time_ms}, before its time"));
    }
    match timers.due.remove(&fired.name) {
        Some(due_ms) if due_ms == fired.due_ms && timers.entry == fired.entry => Ok(timers),
        other => Err(format!(
            "{fired:?} fired, and armed was {other:?} of {}",
            timers.entry
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rstmdb_engine::fact::Timer;

    const SPANS: [(&str, u64); 3] = [("CLOSE", 3_000), ("JAM", 2_000), ("NUDGE", 1_000)];

    fn timers(entry: u64, from_ms: u64, names: &[&str]) -> Timers {
        let all = SPANS.into_iter().filter(|(name, _)| names.contains(name));
        let armed = all.map(|(name, ms)| Timer {
            name: name.to_owned(),
            due_ms: from_ms + ms,
            refusals: 0,
        });
        Timers {
            entry,
            armed: armed.collect(),
            ..Timers::default()
        }
    }

    fn fired(name: &str, due_ms: u64) -> Fired {
        Fired {
            name: name.to_owned(),
            due_ms,
            entry: 5,
        }
    }

    const NOTHING: Change<'_> = Change {
        id: "g",
        entered: None,
        fired: None,
        timers: None,
        offset: 6,
        time_ms: 10_000,
    };

    /// A gate that was opened at 10,000 ms, at offset 5.
    fn open() -> Armed {
        let mut armed = Armed::default();
        let entered = Change {
            entered: Some((Machine::Gate, "open")),
            timers: Some(&timers(0, 10_000, &["CLOSE", "JAM", "NUDGE"])),
            offset: 5,
            ..NOTHING
        };
        armed.take(entered).unwrap();
        armed
    }

    #[test]
    fn what_fires_in_its_time_is_right() {
        let mut armed = open();
        assert_eq!(armed.first_ms(), Some(11_000));
        let nudged = Change {
            fired: Some(&fired("NUDGE", 11_000)),
            timers: Some(&timers(5, 10_000, &["CLOSE", "JAM"])),
            time_ms: 11_000,
            ..NOTHING
        };
        armed.take(nudged).unwrap();
        assert_eq!((armed.fired(), armed.first_ms()), (1, Some(12_000)));
    }

    #[test]
    fn firing_early_twice_or_after_a_move_is_found() {
        for (name, due_ms, time_ms) in [
            ("NUDGE", 11_000, 10_999),
            ("NUDGE", 10_900, 11_000),
            ("OPEN", 11_000, 11_000),
        ] {
            let change = Change {
                fired: Some(&fired(name, due_ms)),
                timers: Some(&timers(5, 10_000, &["CLOSE", "JAM"])),
                time_ms,
                ..NOTHING
            };
            open().take(change).unwrap_err();
        }
        let mut armed = open();
        let nudge = fired("NUDGE", 11_000);
        let nudged = Change {
            fired: Some(&nudge),
            timers: Some(&timers(5, 10_000, &["CLOSE", "JAM"])),
            time_ms: 11_000,
            ..NOTHING
        };
        armed.take(nudged).unwrap();
        armed.take(nudged).unwrap_err();
    }

    #[test]
    fn arming_again_without_an_entry_and_losing_a_timer_are_found() {
        let again = Change {
            timers: Some(&timers(0, 10_500, &["CLOSE", "JAM", "NUDGE"])),
            ..NOTHING
        };
        open().take(again).unwrap_err();
        let lost = Change {
            timers: Some(&timers(5, 10_000, &["CLOSE", "NUDGE"])),
            ..NOTHING
        };
        open().take(lost).unwrap_err();
        // The state is left, and its timers stay.
        let kept = Change {
            entered: Some((Machine::Gate, "closed")),
            ..NOTHING
        };
        open().take(kept).unwrap_err();
    }

    #[test]
    fn a_timer_that_is_spent_for_no_reason_is_found() {
        let spent = |code: &str, time_ms| {
            let spent = TimerSpent {
                instance_id: "g".to_owned(),
                fired: Some(fired("JAM", 12_000)),
                code: code.to_owned(),
                timers: Some(timers(5, 10_000, &["CLOSE", "NUDGE"])),
                ..TimerSpent::default()
            };
            open().take_spent(&spent, 6, time_ms)
        };
        spent("GUARD_FAILED", 12_000).unwrap();
        spent("LATE", 12_000).unwrap_err();
        spent("GUARD_FAILED", 11_999).unwrap_err();
    }
}
