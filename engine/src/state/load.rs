//! Records back to a state, and the proof that it is the one that was written.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::digest::used_id_digest;
use super::instance::{Instance, Parts};
use super::keys::{KeyRecord, Outcome};
use super::records::proto::{self, key, record::Body};
use super::table::Table;
use super::{State, UsedId, records};
use crate::Error;
use crate::machine::Machine;

/// How many instances the header alone makes room for, before their records prove them.
const RESERVED_INSTANCES_MAX: u64 = 4_000_000;

/// Builds a state from the records of [`State::records`], in their order.
#[derive(Default)]
pub struct StateLoader {
    state: State,
    records: u64,
    last_key_offset: u64,
    footer: Option<proto::Footer>,
}

impl StateLoader {
    /// Nothing loaded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record.
    pub fn push(&mut self, record: Bytes) -> Result<(), Error> {
        let number = self.records;
        self.records += 1;
        self.take(record).map_err(|what| Error::Record {
            record: number,
            what,
        })
    }

    /// The time of the last fact, Unix milliseconds; known once the first record was taken.
    pub fn last_time_ms(&self) -> u64 {
        self.state.last_time_ms
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
        ];
        for (what, loaded, written) in counts {
            if loaded != written {
                return wrong(format!(
                    "{loaded} {what} were loaded, {written} were written"
                ));
            }
        }
        let written = u128::from(footer.digest_high) << 64 | u128::from(footer.digest_low);
        if self.state.digest() != written {
            return wrong(format!(
                "the digest is {:032x}, {written:032x} was written",
                self.state.digest()
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
        if header.format != records::FORMAT {
            return Err(format!(
                "its format is {}, this version reads {}",
                header.format,
                records::FORMAT
            ));
        }
        self.state.last_applied = header.last_applied;
        self.state.last_time_ms = header.last_time_ms;
        let instances = header.instances.min(RESERVED_INSTANCES_MAX);
        self.state.instances = Table::with_capacity(instances as usize);
        self.state.stale = header.stale_offsets.into_iter().collect();
        self.state.stale_known_from = header.stale_known_from;
        Ok(())
    }

    fn machine(&mut self, message: &proto::Machine) -> Result<(), String> {
        let (name, version) = (&message.machine, message.version);
        if self.state.machines.get(name, version).is_some() {
            return Err(format!("machine {name:?} version {version} is there twice"));
        }
        let machine = Machine::from_log(name, version, &message.definition)?;
        self.state.add_digest(machine.digest);
        self.state.machines.push(Arc::new(machine));
        Ok(())
    }

    fn instance(&mut self, message: proto::Instance) -> Result<(), String> {
        let instance = self.read_instance(&message)?;
        if self.state.instances.insert(instance.clone()).is_some() {
            return Err(format!("instance {:?} is there twice", message.id));
        }
        self.state.ids.insert(message.id.into_boxed_str());
        self.state.count_in(&instance);
        Ok(())
    }

    fn read_instance(&mut self, message: &proto::Instance) -> Result<Instance, String> {
        let states = self
            .state
            .machines
            .by_number(message.machine)
            .map_or(0, |machine| machine.states.len());
        let state = u16::try_from(message.state)
            .ok()
            .filter(|state| usize::from(*state) < states)
            .ok_or_else(|| format!("instance {:?} is in no known state", message.id))?;
        self.check_offset(message.last_offset)?;
        let parts = Parts {
            id: &message.id,
            machine: message.machine,
            state,
            ctx: &message.ctx,
            event_id: &message.last_event_id,
            created_ms: message.created_ms,
            updated_ms: message.updated_ms,
            last_offset: message.last_offset,
        };
        Instance::new(&parts, &mut self.state.scratch).ok_or_else(|| "an id is too long".to_owned())
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
        // Their order decides which are forgotten first, and no digest shows it.
        if message.offset < self.last_key_offset {
            return Err("the keys are not oldest first".to_owned());
        }
        self.last_key_offset = message.offset;
        let outcome = match message.result.ok_or("a key without a result")? {
            key::Result::Deleted(id) => Outcome::Deleted(Arc::from(id)),
            key::Result::After(after) => self.after(after)?,
        };
        self.state.remember(KeyRecord {
            name: Box::from(&message.name[..]),
            params_hash: message.params_hash,
            time_ms: message.time_ms,
            offset: message.offset,
            outcome,
        });
        Ok(())
    }

    fn after(&mut self, after: proto::After) -> Result<Outcome, String> {
        let instance = match after.instance {
            Some(message) => self.read_instance(&message)?,
            None => self
                .state
                .instances
                .get(after.same_as.as_bytes())
                .cloned()
                .ok_or_else(|| format!("a key's instance {:?} is missing", after.same_as))?,
        };
        Ok(match after.from_state {
            None => Outcome::Created(instance),
            Some(from) => Outcome::Applied {
                from: u16::try_from(from).map_err(|_| "a key's state is out of range")?,
                after: instance,
            },
        })
    }
}
