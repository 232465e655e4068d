//! The state: the effect of all facts up to one offset.
//!
//! Cloning it is cheap and is how a snapshot is taken: the tables are shared until either side
//! writes. Every change goes through [`State::apply`].

mod automation;
mod digest;
mod error;
mod idempotency;
mod install;
mod instance;
mod invariants;
mod load;
pub(crate) mod locks;
mod machines;
mod snapshot;
mod table;

pub use automation::Automation;
pub use error::Error;
pub use invariants::{BrokenInvariant, ensure};
pub use load::StateLoader;

pub(crate) use idempotency::key_record::key_name::{Scope, key_name};
pub(crate) use idempotency::remembered;
pub(crate) use install::{FactAt, ID_BYTES_MAX, ID_TOO_LONG, contradiction, usable};
pub(crate) use instance::{Instance, ctx_bytes, timers};

use std::sync::Arc;

use imbl::OrdSet;

use crate::chain::{Chain, EntryHash, planted};
use crate::fact::level;

use idempotency::IdempotencyKeys;
use idempotency::key_record::{self, KeyRecord};
use locks::LockTable;
use machines::Machines;
use table::{Keyed, Table};
use timers::Timers;

/// All machines, instances, used ids and idempotency keys at one offset.
#[derive(Clone)]
pub struct State {
    last_applied: u64,
    last_time_ms: u64,
    /// The feature level: nothing in the log up to here needs more.
    level: u32,
    /// The highest level that this program understands; not replicated.
    understands: u32,
    /// `None` if it was never set.
    automation: Option<Arc<Automation>>,
    /// The sum of the digests of all items, so that their order does not count.
    items_digest: u128,
    pub(crate) machines: Machines,
    pub(crate) instances: Table<Instance>,
    /// The ids of `instances`, in order; boxed, because an `Arc` would cost 16 bytes more.
    pub(crate) ids: OrdSet<Box<str>>,
    used_ids: Table<UsedId>,
    pub(crate) timers: Timers,
    pub(crate) locks: LockTable,
    pub(crate) keys: IdempotencyKeys,
    stale: OrdSet<u64>,
    stale_known_from: u64,
    /// None in a log of an earlier version, which had no chain.
    chain: Option<Chain>,
    scratch: Vec<u8>,
}

/// An id that must not be created again, and where its instance was deleted.
#[derive(Clone, Debug)]
struct UsedId {
    id: Arc<str>,
    last_offset: u64,
}

/// What the state knows about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// There is such an instance; its last fact is here.
    Live(u64),
    /// It was deleted here, and its id stays used.
    Used(u64),
    Never,
}

/// A remembered idempotency key.
pub(crate) struct KeyFound {
    pub(crate) params_hash: u64,
    pub(crate) time_ms: u64,
    pub(crate) offset: u64,
    pub(crate) instance_id: Arc<str>,
    /// No later fact of its entry changed the instance.
    pub(crate) is_last: bool,
    pub(crate) outcome: KeyOutcome,
}

/// The result of the first call with a key.
#[derive(Clone)]
pub(crate) enum KeyOutcome {
    Created {
        state: Arc<str>,
    },
    /// The context is in the log.
    Moved {
        from_state: Arc<str>,
        to_state: Arc<str>,
    },
    TimersSet,
    Deleted,
}

impl Keyed for UsedId {
    fn key(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first entry. All bounds that apply needs come with the entries.
    pub fn new() -> Self {
        Self {
            last_applied: 0,
            last_time_ms: 0,
            level: level::FIRST,
            understands: level::CURRENT,
            automation: None,
            items_digest: 0,
            machines: Machines::new(),
            instances: Table::new(),
            ids: OrdSet::new(),
            used_ids: Table::new(),
            timers: Timers::new(),
            locks: LockTable::default(),
            keys: IdempotencyKeys::new(),
            stale: OrdSet::new(),
            stale_known_from: 0,
            chain: None,
            scratch: Vec::new(),
        }
    }

    /// The same state for a program that understands no more than this feature level.
    #[must_use]
    pub fn understanding(mut self, level: u32) -> Self {
        self.understands = level;
        self
    }

    /// The highest feature level that this program understands.
    pub fn understands(&self) -> u32 {
        self.understands
    }

    /// The feature level: what facts may need.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Whether the database does something by itself, since when, why, and who has set it.
    pub fn automation(&self) -> Automation {
        let set = self.automation.as_deref();
        set.cloned().unwrap_or_default()
    }

    /// Whether automation is paused.
    pub fn is_paused(&self) -> bool {
        self.automation.as_ref().is_some_and(|set| set.paused)
    }

    /// By how much all timers were moved so far.
    pub(crate) fn shift_ms(&self) -> u64 {
        let set = self.automation.as_deref();
        set.map_or(0, |automation| automation.shift_ms)
    }

    /// Whether no fact has ever taken effect.
    pub fn is_untouched(&self) -> bool {
        self.last_time_ms == 0 && self.level == level::FIRST
    }

    /// Passes over an entry without facts (blank, membership).
    pub fn skip(&mut self, offset: u64) {
        self.last_applied = self.last_applied.max(offset);
    }

    /// The offset of the last entry applied, stale or passed over.
    pub fn last_applied(&self) -> u64 {
        self.last_applied
    }

    /// The time of the last entry that took effect, Unix milliseconds; it never goes back.
    pub fn last_time_ms(&self) -> u64 {
        self.last_time_ms
    }

    /// Whether the entry at this offset changed nothing. Unknown below what was forgotten.
    pub fn is_stale(&self, offset: u64) -> bool {
        self.stale.contains(&offset)
    }

    /// Forgets stale offsets that the log no longer holds. Does not change the digest.
    pub fn forget_stale_below(&mut self, offset: u64) {
        while self.stale.get_min().is_some_and(|first| *first < offset) {
            self.stale.remove_min();
        }
        self.stale_known_from = self.stale_known_from.max(offset);
    }

    /// The first offset of which [`State::is_stale`] knows: the log below must not be shown.
    pub fn stale_known_from(&self) -> u64 {
        self.stale_known_from
    }

    /// The chain over the log, if it has begun. Every replica has the same head at the same offset.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Begins the chain with the entry at `first`, if it has not begun.
    pub fn begin_chain(&mut self, first: u64) {
        self.chain.get_or_insert_with(|| Chain::begin(first));
    }

    /// Adds the entry that was just applied, stale or passed over to the chain. A state that only one program
    /// uses needs no chain.
    ///
    /// # Errors
    /// When the entry before it was not added.
    pub fn link(&mut self, offset: u64, entry: &EntryHash) -> Result<(), Error> {
        let Some(chain) = &mut self.chain else {
            return Ok(());
        };
        if planted::leaves_stale_entries_out() && self.stale.contains(&offset) {
            chain.pass(offset, chain.head());
            return Ok(());
        }
        Ok(chain.add(offset, entry)?)
    }

    /// How many instances there are.
    pub fn instance_count(&self) -> u64 {
        self.instances.len() as u64
    }

    /// How many machine versions there are.
    pub fn machine_count(&self) -> u64 {
        self.machines.len() as u64
    }

    /// How many idempotency keys are held.
    pub fn key_count(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Bytes of an instance's context; 0 where there is no such instance.
    pub fn context_bytes(&self, id: &str) -> usize {
        let instance = self.instances.get(id.as_bytes());
        instance.map_or(0, |instance| instance.ctx().len())
    }

    /// The approximate memory of the idempotency keys, which `bytes_max` bounds.
    pub fn key_bytes(&self) -> u64 {
        self.keys.bytes()
    }

    pub(crate) fn last(&self, id: &str) -> Last {
        if let Some(instance) = self.instances.get(id.as_bytes()) {
            return Last::Live(instance.last_offset());
        }
        match self.used_ids.get(id.as_bytes()) {
            Some(used) => Last::Used(used.last_offset),
            None => Last::Never,
        }
    }

    /// The record of a key, from any life of its instance.
    pub(crate) fn key_found(&self, name: &[u8]) -> Option<KeyFound> {
        let record = self.keys.get(name)?;
        Some(KeyFound {
            params_hash: record.params_hash(),
            time_ms: record.time_ms(),
            offset: record.offset(),
            instance_id: Arc::from(record.instance_id()),
            is_last: record.brief().is_last,
            outcome: self.key_outcome(record)?,
        })
    }

    fn key_outcome(&self, record: &KeyRecord) -> Option<KeyOutcome> {
        let brief = record.brief();
        if key_record::key_name::is_of_delete(record.name()) {
            return Some(KeyOutcome::Deleted);
        }
        if key_record::key_name::is_of_set_timers(record.name()) {
            return Some(KeyOutcome::TimersSet);
        }
        let to_state = self.state_name(brief.machine, brief.to)?;
        if key_record::key_name::is_of_create(record.name()) {
            return Some(KeyOutcome::Created { state: to_state });
        }
        let from_state = self.state_name(brief.machine, brief.from)?;
        Some(KeyOutcome::Moved {
            from_state,
            to_state,
        })
    }

    fn state_name(&self, machine: u32, state: u16) -> Option<Arc<str>> {
        let machine = self.machines.by_number(machine)?;
        machine.states.get(usize::from(state)).cloned()
    }
}
