//! The armed timers: by instance, and in the order in which they are due.
//!
//! A timer's time is kept without the shifts that [`Automation`](crate::Automation) has had until it was armed. So a
//! shift moves all timers by one addition, and their order stays.

use std::sync::Arc;

use imbl::OrdSet;
use xxhash_rust::xxh3::xxh3_128;

use crate::fact;
use crate::state::invariants::{BrokenInvariant, ensure};
use crate::state::table::{Keyed, Table};

/// All armed timers.
#[derive(Clone)]
pub(crate) struct Timers {
    records: Table<Arc<TimersRecord>>,
    /// Those of instances that are not suspended.
    queue: OrdSet<DueTimer>,
    /// The names of timers, each once: there are few, and they stand in definitions.
    names: OrdSet<Arc<str>>,
    armed: u64,
    /// The instances whose timers do not fire.
    suspended: OrdSet<Arc<str>>,
}

/// The timers of one instance; never without one.
#[derive(Clone, Debug)]
pub(crate) struct TimersRecord {
    id: Arc<str>,
    pub(crate) entry: u64,
    pub(crate) minute_ms: u64,
    pub(crate) firings: u32,
    pub(crate) suspended: bool,
    /// Ascending by name.
    pub(crate) armed: Box<[KeptTimer]>,
}

/// One armed timer.
#[derive(Clone, Debug)]
pub(crate) struct KeptTimer {
    pub(crate) name: Arc<str>,
    /// When it is due, without shifts.
    pub(crate) kept_ms: u64,
    pub(crate) refusals: u32,
}

/// A timer in the order of what is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DueTimer {
    pub(crate) kept_ms: u64,
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Keyed for TimersRecord {
    fn key(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

impl TimersRecord {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = DueTimer> {
        self.armed.iter().map(|kept| DueTimer {
            kept_ms: kept.kept_ms,
            id: self.id.clone(),
            name: kept.name.clone(),
        })
    }

    /// As a fact would hold it.
    pub(crate) fn shown(&self, shift_ms: u64) -> fact::Timers {
        let armed = self.armed.iter().map(|kept| fact::Timer {
            name: kept.name.to_string(),
            due_ms: kept.kept_ms.saturating_add(shift_ms),
            refusals: kept.refusals,
        });
        fact::Timers {
            entry: self.entry,
            armed: armed.collect(),
            shift_ms,
            minute_ms: self.minute_ms,
            firings: self.firings,
            suspended: self.suspended,
        }
    }

    pub(in crate::state) fn digest(&self) -> u128 {
        let mut text = vec![b'T', u8::from(self.suspended)];
        text.extend_from_slice(&self.entry.to_le_bytes());
        text.extend_from_slice(&self.minute_ms.to_le_bytes());
        text.extend_from_slice(&self.firings.to_le_bytes());
        text.extend_from_slice(&(self.id.len() as u64).to_le_bytes());
        text.extend_from_slice(self.id.as_bytes());
        for kept in &self.armed {
            text.extend_from_slice(&kept.kept_ms.to_le_bytes());
            text.extend_from_slice(&kept.refusals.to_le_bytes());
            text.extend_from_slice(&(kept.name.len() as u64).to_le_bytes());
            text.extend_from_slice(kept.name.as_bytes());
        }
        xxh3_128(&text)
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            records: Table::new(),
            queue: OrdSet::new(),
            names: OrdSet::new(),
            armed: 0,
            suspended: OrdSet::new(),
        }
    }

    /// How many instances have timers.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn armed(&self) -> u64 {
        self.armed
    }

    /// How many instances have timers that do not fire.
    pub(crate) fn suspended(&self) -> &OrdSet<Arc<str>> {
        &self.suspended
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<TimersRecord>> {
        self.records.get(id.as_bytes())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TimersRecord> {
        self.records.iter().map(|record| &**record)
    }

    /// The timers that fire, from the first that is due; from behind `after`, if that is given.
    pub(crate) fn queue<'a>(
        &'a self,
        after: Option<&DueTimer>,
    ) -> impl Iterator<Item = &'a DueTimer> + use<'a> {
        use std::ops::Bound;
        let from = match after {
            None => Bound::Unbounded,
            Some(place) => Bound::Excluded(place.clone()),
        };
        self.queue.range((from, Bound::Unbounded))
    }

    /// Puts these timers in place of the instance's earlier ones; gives the digests of what went and what came.
    pub(in crate::state) fn put(
        &mut self,
        id: &str,
        timers: &fact::Timers,
        entry: u64,
        shift_ms: u64,
    ) -> (Option<u128>, Option<u128>) {
        let removed = self.remove(id);
        if timers.armed.is_empty() {
            return (removed, None);
        }
        let armed = timers.armed.iter().map(|timer| KeptTimer {
            name: self.name(&timer.name),
            kept_ms: timer.due_ms.saturating_sub(shift_ms),
            refusals: timer.refusals,
        });
        let armed: Vec<KeptTimer> = armed.collect();
        let record = Arc::new(TimersRecord {
            id: Arc::from(id),
            entry,
            minute_ms: timers.minute_ms,
            firings: timers.firings,
            suspended: timers.suspended,
            armed: armed.into(),
        });
        match record.suspended {
            true => drop(self.suspended.insert(record.id.clone())),
            false => self.queue.extend(record.places()),
        }
        self.armed += record.armed.len() as u64;
        let digest = record.digest();
        self.records.insert(record);
        (removed, Some(digest))
    }

    /// Removes the instance's timers; gives their digest.
    pub(in crate::state) fn remove(&mut self, id: &str) -> Option<u128> {
        // Most instances have none, and a removal would copy a shared shard.
        self.get(id)?;
        let record = self.records.remove(id.as_bytes())?;
        match record.suspended {
            true => drop(self.suspended.remove(id)),
            false => {
                for place in record.places() {
                    self.queue.remove(&place);
                }
            }
        }
        self.armed -= record.armed.len() as u64;
        Some(record.digest())
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = Arc::from(name);
        self.names.insert(name.clone());
        name
    }

    /// Checks that the queue holds exactly the timers of the records that are not suspended, and the counts.
    pub(in crate::state) fn check(
        &self,
        has: impl Fn(&str) -> bool,
    ) -> Result<(), BrokenInvariant> {
        let (mut armed, mut suspended, mut queued) = (0, 0, 0);
        for record in self.iter() {
            let id = &record.id;
            ensure(!record.armed.is_empty() && has(id), || {
                format!("there are timers of {id:?}, and there is no such instance, or no timer")
            })?;
            let ascend = record.armed.windows(2).all(|it| it[0].name < it[1].name);
            ensure(ascend, || format!("the timers of {id:?} do not ascend"))?;
            armed += record.armed.len() as u64;
            suspended += usize::from(record.suspended && self.suspended.contains(id));
            for place in record.places().filter(|_| !record.suspended) {
                queued += 1;
                ensure(self.queue.contains(&place), || {
                    format!("{place:?} is armed and not in the queue")
                })?;
            }
        }
        let counted = (armed, suspended, queued);
        let kept = (self.armed, self.suspended.len(), self.queue.len());
        ensure(counted == kept, || {
            format!("timers, suspended instances and queue count {kept:?} and are {counted:?}")
        })
    }
}
