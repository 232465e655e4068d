//! What the log says of timers, by an account of its own: armed when a state was entered, moved by clients, disarmed when
//! the state was left, fired once and not early, spent with a reason.

use std::collections::BTreeMap;

use rstmdb_engine::fact::{Fired, SetAutomation, TimerSpent, Timers};
use serde_json::Value;

use crate::machines::TestMachine;

/// A decision that was made ahead arms for up to so much later, in milliseconds.
const AHEAD_MS_MAX: u64 = 1_000;
/// With more firings in a minute, the timers of an instance fire no longer.
const FIRINGS_MAX: u32 = 100;
const MINUTE_MS: u64 = 60_000;

/// The fault of a fact.
type TimersFault = String;

/// The armed timers of all instances.
#[derive(Debug, Default)]
pub struct Armed {
    instances: BTreeMap<String, TimedInstance>,
    /// How many timers have taken effect, and how many were spent.
    fired: u64,
    spent: u64,
    /// Automation: whether it is paused, since when it is as it is, by how much it has moved all timers in sum, and
    /// which timers it skips: those due before this time, without what they were moved by.
    paused: bool,
    since_ms: u64,
    shift_ms: u64,
    skip_below_ms: u64,
}

/// The timers of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TimedInstance {
    entry: u64,
    /// The minute in which firings are counted, and how many there were.
    minute_ms: u64,
    firings: u32,
    suspended: bool,
    due: BTreeMap<String, DueTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DueTime {
    ms: u64,
    refusals: u32,
}

/// What a client wants of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WantedTime {
    After(u64),
    At(u64),
    Off,
}

/// What a client wants of timers, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedTimers(Vec<(String, WantedTime)>);

impl WantedTimers {
    /// Reads `{"BURN": {"after": "70ms"}, "TICK": {"at": 1700000000000}, "JAM": null}`. Nothing else is asked for here.
    #[must_use]
    pub fn read(value: Option<&Value>) -> Self {
        let fields = value.and_then(Value::as_object).into_iter().flatten();
        let read = |to: &Value| match (&to["after"], to["at"].as_u64()) {
            (Value::String(text), _) => WantedTime::After(millis(text).unwrap_or_default()),
            (_, Some(ms)) => WantedTime::At(ms),
            _ => WantedTime::Off,
        };
        Self(fields.map(|(name, to)| (name.clone(), read(to))).collect())
    }
}

fn millis(text: &str) -> Option<u64> {
    text.strip_suffix("ms")?.parse().ok()
}

/// A fact that changes the timers of an instance.
#[derive(Debug, Clone, Copy)]
pub struct TimersFact<'a> {
    /// The instance.
    pub id: &'a str,
    /// Its machine.
    pub machine: TestMachine,
    /// The state that was entered; `None` where none was.
    pub entered: Option<&'a str>,
    /// The timer that has fired.
    pub fired: Option<&'a Fired>,
    /// What its client wants of the timers.
    pub moves: &'a WantedTimers,
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

    /// How many are armed.
    #[must_use]
    pub fn count(&self) -> u64 {
        let all = self.instances.values();
        all.map(|timers| timers.due.len() as u64).sum()
    }

    /// When the first timer is due that can fire.
    #[must_use]
    pub fn first_ms(&self) -> Option<u64> {
        let all = self.instances.values();
        let due = all
            .filter(|timers| !timers.suspended)
            .flat_map(|timers| timers.due.values());
        due.map(|due| due.ms).min()
    }

    /// By how much automation has moved all timers.
    #[must_use]
    pub fn shift_ms(&self) -> u64 {
        self.shift_ms
    }

    /// When a timer of an instance is due.
    #[must_use]
    pub fn due_ms(&self, id: &str, name: &str) -> Option<u64> {
        Some(self.instances.get(id)?.due.get(name)?.ms)
    }

    /// Takes a change of automation.
    pub fn set_automation(&mut self, set: &SetAutomation, time_ms: u64) {
        let resumed = self.paused && !set.paused;
        if resumed && set.shift_timers {
            let by_ms = time_ms.saturating_sub(self.since_ms);
            self.shift_ms += by_ms;
            let all = self.instances.values_mut();
            all.flat_map(|timers| timers.due.values_mut())
                .for_each(|due| due.ms += by_ms);
        }
        if resumed && set.skip_overdue {
            self.skip_below_ms = time_ms.saturating_sub(self.shift_ms);
        }
        (self.paused, self.since_ms) = (set.paused, time_ms);
    }

    /// Takes a creation, an event, or a move.
    ///
    /// # Errors
    /// What is wrong.
    pub fn take(&mut self, change: TimersFact<'_>) -> Result<(), TimersFault> {
        let before = self.instances.get(change.id).cloned().unwrap_or_default();
        let mut after = before.clone();
        if let Some(fired) = change.fired {
            self.fire(&mut after, change.machine, fired, change.time_ms)?
                .map_or(Ok(()), |code| {
                    Err(format!("{fired:?} is {code}, and took effect"))
                })?;
            self.fired += 1;
        }
        if let Some(state) = change.entered {
            after.entry = change.offset;
            let timers = change.machine.timers(state).iter();
            let due = |ms: &u64| DueTime {
                ms: change.time_ms + ms,
                refusals: 0,
            };
            after.due = timers
                .map(|(name, ms)| ((*name).to_owned(), due(ms)))
                .collect();
        }
        if before.due.is_empty() {
            after.entry = change.offset;
        }
        for (name, to) in &change.moves.0 {
            let ms = match to {
                WantedTime::After(ms) => change.time_ms + ms,
                WantedTime::At(ms) => change.time_ms.max(*ms),
                WantedTime::Off => {
                    after.due.remove(name);
                    continue;
                }
            };
            after.due.insert(name.clone(), DueTime { ms, refusals: 0 });
        }
        self.put(change.id, before, after, change.timers, change.offset)
    }

    /// Takes a timer that had no effect. `refused`: the code with which the event is refused, if it is.
    ///
    /// # Errors
    /// What is wrong.
    pub fn take_spent(
        &mut self,
        spent: &TimerSpent,
        machine: TestMachine,
        refused: Option<&str>,
        offset: u64,
        time_ms: u64,
    ) -> Result<(), TimersFault> {
        let id = &*spent.instance_id;
        let fired = spent.fired.as_ref().ok_or("it names no timer")?;
        let before = self.instances.get(id).cloned().unwrap_or_default();
        let mut after = before.clone();
        let too_late = self.fire(&mut after, machine, fired, time_ms)?;
        if too_late.or(refused) != Some(&*spent.code) {
            return Err(format!(
                "{fired:?} of {id} is spent by {}, and must be by {:?}",
                spent.code,
                too_late.or(refused)
            ));
        }
        let refusals = before.due.get(&fired.name).map_or(0, |due| due.refusals);
        if let Some((after_ms, times)) = machine.retry(&fired.name)
            && too_late.is_none()
            && refusals < times
        {
            let due = DueTime {
                ms: time_ms + after_ms,
                refusals: refusals + 1,
            };
            after.due.insert(fired.name.clone(), due);
        }
        self.spent += 1;
        self.put(id, before, after, spent.timers.as_ref(), offset)
    }

    /// Takes the deletion of an instance, by a timer if one has fired.
    ///
    /// # Errors
    /// What is wrong.
    pub fn delete(
        &mut self,
        id: &str,
        machine: TestMachine,
        fired: Option<&Fired>,
        time_ms: u64,
    ) -> Result<(), TimersFault> {
        let mut timers = self.instances.remove(id).unwrap_or_default();
        let Some(fired) = fired else {
            return Ok(());
        };
        self.fired += 1;
        match self.fire(&mut timers, machine, fired, time_ms)? {
            None if fired.name == "delete_after" => Ok(()),
            other => Err(format!("{fired:?} of {id} deletes it, and is {other:?}")),
        }
    }

    /// Takes a timer away that has fired. Gives the code that says why it must have no effect, if it must not.
    fn fire(
        &self,
        timers: &mut TimedInstance,
        machine: TestMachine,
        fired: &Fired,
        time_ms: u64,
    ) -> Result<Option<&'static str>, TimersFault> {
        if fired.due_ms > time_ms {
            return Err(format!("{fired:?} fired at {time_ms}, before its time"));
        }
        if self.paused || timers.suspended {
            return Err(format!("{fired:?} fired although nothing was to fire"));
        }
        match timers.due.remove(&fired.name) {
            Some(due) if due.ms == fired.due_ms && timers.entry == fired.entry => {}
            other => {
                return Err(format!(
                    "{fired:?} fired, and armed was {other:?} of {}",
                    timers.entry
                ));
            }
        }
        timers.count(time_ms);
        if fired.due_ms.saturating_sub(self.shift_ms) < self.skip_below_ms {
            return Ok(Some("SKIPPED"));
        }
        let late_max_ms = machine.late_max_ms(&fired.name);
        let is_late = late_max_ms.is_some_and(|most| time_ms - fired.due_ms > most);
        Ok(is_late.then_some("LATE"))
    }

    fn put(
        &mut self,
        id: &str,
        before: TimedInstance,
        expected: TimedInstance,
        written: Option<&Timers>,
        offset: u64,
    ) -> Result<(), TimersFault> {
        let after = written.map_or(before, |timers| TimedInstance::written(timers, offset));
        if !after.fits(&expected) {
            return Err(format!("{id} has {after:?}, and must have {expected:?}"));
        }
        match after.due.is_empty() {
            true => drop(self.instances.remove(id)),
            false => drop(self.instances.insert(id.to_owned(), after)),
        }
        Ok(())
    }
}

impl TimedInstance {
    /// The timers as a fact at this offset has them.
    fn written(timers: &Timers, offset: u64) -> Self {
        let due = timers.armed.iter().map(|timer| {
            let due = DueTime {
                ms: timer.due_ms,
                refusals: timer.refusals,
            };
            (timer.name.clone(), due)
        });
        Self {
            entry: match timers.entry {
                0 => offset,
                entry => entry,
            },
            minute_ms: timers.minute_ms,
            firings: timers.firings,
            suspended: timers.suspended,
            due: due.collect(),
        }
    }

    /// Whether it is what is expected, but for what was armed ahead.
    fn fits(&self, expected: &Self) -> bool {
        let close = |(one, two): (&DueTime, &DueTime)| {
            one.refusals == two.refusals && one.ms >= two.ms && one.ms <= two.ms + AHEAD_MS_MAX
        };
        let rest = |it: &Self| (it.entry, it.minute_ms, it.firings, it.suspended);
        self.due.keys().eq(expected.due.keys())
            && self.due.values().zip(expected.due.values()).all(close)
            && (self.due.is_empty() || rest(self) == rest(expected))
    }

    fn count(&mut self, time_ms: u64) {
        let in_minute = time_ms.saturating_sub(self.minute_ms) < MINUTE_MS;
        match in_minute && self.firings > 0 {
            true => self.firings += 1,
            false => (self.minute_ms, self.firings) = (time_ms, 1),
        }
        self.suspended |= self.firings > FIRINGS_MAX;
    }
}

#[cfg(test)]
mod tests;
