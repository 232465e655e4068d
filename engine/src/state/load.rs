//! Loads a state from snapshot records, and proves that it is the state that was written.

mod chain;
mod format_1;
mod locks;
mod timers;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::automation::Automation;
use super::digest::used_id_digest;
use super::error::Error;
use super::idempotency::key_record::key_name::{is_name, is_without_state};
use super::idempotency::key_record::{KeyBrief, KeyParts};
use super::instance::{Instance, InstanceParts};
use super::snapshot::{FORMAT, proto};
use super::table::Table;
use super::{State, UsedId};
use crate::chain::Chain;
use crate::fact::level;
use crate::machine::Machine;
use proto::{key, record::Body};

/// How many instances the header alone makes room for, before their records prove them.
const RESERVED_INSTANCES_MAX: u64 = 4_000_000;

/// Builds a state from the records of [`State::records`], in their order.
#[derive(Default)]
pub struct StateLoader {
    state: State,
    records: u64,
    format: u32,
    /// What an earlier format's digest contains beyond this version's.
    earlier_digest: u128,
    last_key_offset: u64,
    footer: Option<proto::Footer>,
}

impl StateLoader {
    /// Nothing loaded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing loaded yet, for a program that understands no more than this feature level.
    pub fn understanding(level: u32) -> Self {
        Self {
            state: State::new().understanding(level),
            ..Self::default()
        }
    }

    /// Takes the next record.
    pub fn push(&mut self, record: Bytes) -> Result<(), Error> {
        let number = self.records;
        self.records += 1;
        self.take(record).map_err(|what| Error::Record {
            record: number,
            what,
        })?;
        let (level, understood) = (self.state.level, self.state.understands);
        if level > understood {
            return Err(Error::LevelNotUnderstood {
                place: "the snapshot".to_owned(),
                level,
                understood,
            });
        }
        Ok(())
    }

    /// The feature level; known once the first record was taken.
    pub fn level(&self) -> u32 {
        self.state.level
    }

    /// The time of the last fact, Unix milliseconds; known once the first record was taken.
    pub fn last_time_ms(&self) -> u64 {
        self.state.last_time_ms
    }

    /// The chain over the log, if it had begun; known once the first record was taken.
    pub fn chain(&self) -> Option<&Chain> {
        self.state.chain.as_ref()
    }

    /// The state, once it is proven to be the one that was written.
    pub fn finish(self) -> Result<State, Error> {
        let wrong = |what: String| Err(Error::Snapshot { what });
        let Some(footer) = self.footer else {
            return wrong("its last record is missing".to_owned());
        };
        let counts = [
            ("instances", self.state.instance_count(), footer.instances),
            (
                "used ids",
                self.state.used_ids.len() as u64,
                footer.used_ids,
            ),
            ("keys", self.state.key_count(), footer.keys),
            (
                "instances with timers",
                self.state.timers.len() as u64,
                footer.timers,
            ),
            ("locks", self.state.locks.len() as u64, footer.locks),
        ];
        for (what, loaded, written) in counts {
            if loaded != written {
                return wrong(format!(
                    "{loaded} {what} were loaded, {written} were written"
                ));
            }
        }
        let written = u128::from(footer.digest_high) << 64 | u128::from(footer.digest_low);
        let loaded = self.state.digest().wrapping_add(self.earlier_digest);
        if loaded != written {
            return wrong(format!(
                "the digest is {loaded:032x}, {written:032x} was written"
            ));
        }
        Ok(self.state)
    }

    fn take(&mut self, record: Bytes) -> Result<(), String> {
        if self.footer.is_some() {
            return Err("it follows the last record".to_owned());
        }
        let record = proto::Record::decode(record).map_err(|error| error.to_string())?;
        let body = record
            .body
            .ok_or("its kind is unknown; upgrade this node")?;
        if (self.records == 1) != matches!(body, Body::Header(_)) {
            return Err("the header must come first, and once".to_owned());
        }
        match body {
            Body::Header(header) => self.header(header),
            Body::Machine(machine) => self.machine(&machine),
            Body::Instances(instances) => instances
                .items
                .into_iter()
                .try_for_each(|item| self.instance(item)),
            Body::Timers(timers) => {
                let mut items = timers.items.into_iter();
                items.try_for_each(|item| self.timers(&item))
            }
            Body::Locks(locks) => {
                let mut items = locks.items.into_iter();
                items.try_for_each(|item| self.lock(item))
            }
            Body::UsedIds(used) => used
                .items
                .into_iter()
                .try_for_each(|item| self.used_id(item)),
            Body::Keys(keys) => keys.items.into_iter().try_for_each(|item| self.key(item)),
            Body::Footer(footer) => {
                self.footer = Some(footer);
                Ok(())
            }
        }
    }

    fn header(&mut self, header: proto::Header) -> Result<(), String> {
        if !(1..=FORMAT).contains(&header.format) {
            return Err(format!(
                "its format is {}, this version reads 1 to {}",
                header.format, FORMAT
            ));
        }
        self.format = header.format;
        self.state.last_applied = header.last_applied;
        self.state.last_time_ms = header.last_time_ms;
        let instances = header.instances.min(RESERVED_INSTANCES_MAX);
        self.state.instances = Table::with_capacity(instances as usize);
        self.state.stale = header.stale_offsets.into_iter().collect();
        self.state.stale_known_from = header.stale_known_from;
        self.state.level = header.level.max(level::FIRST);
        self.state.chain = header.chain.as_ref().map(chain::read).transpose()?;
        self.state.automation = header.automation.map(|automation| {
            Arc::new(Automation {
                paused: automation.paused,
                since_ms: automation.since_ms,
                reason: automation.reason,
                by: automation.by,
                shift_ms: automation.shift_ms,
                skip_below_ms: automation.skip_below_ms,
            })
        });
        Ok(())
    }

    fn machine(&mut self, message: &proto::Machine) -> Result<(), String> {
        let (name, version) = (&message.machine, message.version);
        if message.deleted {
            let machine = match name.is_empty() {
                true => None,
                false => Some(Arc::new(read_machine(message)?)),
            };
            self.state.machines.push_next(machine, true);
            return Ok(());
        }
        if self.state.machines.get(name, version).is_some() {
            return Err(format!("machine {name:?} version {version} is there twice"));
        }
        let machine = read_machine(message)?;
        self.state.add_digest(machine.digest);
        self.state
            .machines
            .push_next(Some(Arc::new(machine)), false);
        Ok(())
    }

    fn instance(&mut self, message: proto::Instance) -> Result<(), String> {
        let instance = self.read_instance(&message)?;
        if self.state.instances.insert(instance.clone()).is_some() {
            return Err(format!("instance {:?} is there twice", message.id));
        }
        self.state.ids.insert(message.id.into_boxed_str());
        let before = self.state.items_digest;
        self.state.count_in(&instance);
        if self.format == 1 {
            self.correct_instance(&instance, before);
        }
        Ok(())
    }

    fn read_instance(&mut self, message: &proto::Instance) -> Result<Instance, String> {
        let state = self
            .state_number(message.machine, message.state)
            .filter(|_| self.state.machines.living(message.machine).is_some())
            .ok_or_else(|| format!("instance {:?} is in no known state", message.id))?;
        self.check_offset(message.last_offset)?;
        if message.created_offset > message.last_offset {
            return Err(format!(
                "instance {:?} was created at {}, behind its last change at {}",
                message.id, message.created_offset, message.last_offset
            ));
        }
        let parts = InstanceParts {
            id: &message.id,
            machine: message.machine,
            state,
            ctx: &message.ctx,
            event_id: &message.last_event_id,
            created_ms: message.created_ms,
            updated_ms: message.updated_ms,
            last_offset: message.last_offset,
            created_offset: message.created_offset,
        };
        Instance::new(&parts, &mut self.state.scratch).ok_or_else(|| "an id is too long".to_owned())
    }

    /// The number of a state that the machine has.
    fn state_number(&self, machine: u32, state: u32) -> Option<u16> {
        let machine = self.state.machines.by_number(machine)?;
        let state = u16::try_from(state).ok()?;
        (usize::from(state) < machine.states.len()).then_some(state)
    }

    fn check_offset(&self, offset: u64) -> Result<(), String> {
        if offset <= self.state.last_applied {
            return Ok(());
        }
        Err(format!(
            "offset {offset} is beyond the snapshot's own, {}",
            self.state.last_applied
        ))
    }

    fn used_id(&mut self, message: proto::UsedId) -> Result<(), String> {
        self.check_offset(message.last_offset)?;
        let used = UsedId {
            id: Arc::from(message.id),
            last_offset: message.last_offset,
        };
        let digest = used_id_digest(&used, &mut Vec::new());
        self.state.add_digest(digest);
        match self.state.used_ids.insert(used) {
            None => Ok(()),
            Some(twice) => Err(format!("used id {:?} is there twice", twice.id)),
        }
    }

    fn key(&mut self, message: proto::Key) -> Result<(), String> {
        self.check_offset(message.offset)?;
        // Their order decides which keys are forgotten first, and the digest does not cover it.
        if message.offset < self.last_key_offset {
            return Err("the keys are not oldest first".to_owned());
        }
        self.last_key_offset = message.offset;
        if !is_name(&message.name) {
            return Err("a key's name cannot be read".to_owned());
        }
        match &message.result {
            None => Err("a key without a result".to_owned()),
            Some(key::Result::Brief(brief)) => {
                let brief = self.brief(&message, brief)?;
                self.state.remember(&parts(&message, brief));
                Ok(())
            }
            Some(key::Result::After(_) | key::Result::Deleted(_)) => self.key_of_format_1(&message),
        }
    }

    fn brief<'a>(
        &self,
        message: &proto::Key,
        brief: &'a proto::Brief,
    ) -> Result<KeyBrief<'a>, String> {
        if is_without_state(&message.name) {
            return Ok(KeyBrief::default());
        }
        let state = |number| {
            self.state_number(brief.machine, number)
                .ok_or("a key's state is out of range")
        };
        Ok(KeyBrief {
            machine: brief.machine,
            from: state(brief.from_state)?,
            to: state(brief.to_state)?,
            is_last: brief.is_last,
            instance_id: &brief.instance_id,
        })
    }
}

fn read_machine(message: &proto::Machine) -> Result<Machine, String> {
    let (name, version) = (&message.machine, message.version);
    Machine::from_log(name, version, message.format, &message.definition)
}

fn parts<'a>(message: &'a proto::Key, brief: KeyBrief<'a>) -> KeyParts<'a> {
    KeyParts {
        name: &message.name,
        params_hash: message.params_hash,
        time_ms: message.time_ms,
        offset: message.offset,
        brief,
    }
}
