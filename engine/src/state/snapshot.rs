//! The state as snapshot records, made piece by piece from a clone.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::idempotency::key_record::KeyRecord;
use super::instance::Instance;
use super::locks::HeldLock;
use super::machines::SlotHolds;
use super::timers::TimersRecord;
use super::{State, UsedId};
use crate::chain::{Chain, Head};
use crate::fact::level;

#[allow(missing_docs, clippy::all)]
pub(super) mod proto {
    include!(concat!(env!("OUT_DIR"), "/rstmdb.record.rs"));
}

use proto::record::Body;

/// Changes when older versions could not read the records. In format 1 a key held its instance.
pub(super) const FORMAT: u32 = 3;
/// What is written at feature level 1, so that programs that understand no more can read it.
const FORMAT_OF_FIRST_LEVEL: u32 = 2;

/// A record is closed once it holds this much, so none is longer than this and one item.
const RECORD_BYTES: usize = 64 << 10;

/// What comes next.
enum NextRecords {
    Header,
    Machine(usize),
    /// Instances by id, after this one.
    Instances(Option<Box<str>>),
    /// Timers by instance, after this one.
    Timers(Option<Box<str>>),
    /// Locks by name, from this one on.
    Locks(Option<Arc<str>>),
    UsedIds(usize),
    /// Keys from this place on.
    Keys(u64),
    Footer,
    End,
}

struct SnapshotRecords {
    state: State,
    /// In the order of a hash table that no longer changes.
    used_ids: Vec<UsedId>,
    next: NextRecords,
}

impl State {
    /// The state as snapshot records: each is a Protobuf message of at most a few MiB.
    ///
    /// Shares the state as a clone does; later changes of `self` do not show.
    pub fn records(&self) -> impl Iterator<Item = Bytes> + Send + 'static {
        SnapshotRecords {
            used_ids: self.used_ids.iter().cloned().collect(),
            state: self.clone(),
            next: NextRecords::Header,
        }
    }
}

impl Iterator for SnapshotRecords {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (body, next) = loop {
            match self.step() {
                (Some(body), next) => break (body, next),
                (None, NextRecords::End) => return None,
                (None, next) => self.next = next,
            }
        };
        self.next = next;
        let record = proto::Record { body: Some(body) };
        Some(Bytes::from(record.encode_to_vec()))
    }
}

/// Format 1 is not named, so that a record of it is what earlier versions write.
fn format_in_record(format: u32) -> u32 {
    if format > 1 { format } else { 0 }
}

impl SnapshotRecords {
    /// The record that is next, if that part has any left, and what follows it.
    fn step(&self) -> (Option<Body>, NextRecords) {
        match &self.next {
            NextRecords::Header => (Some(self.header()), NextRecords::Machine(0)),
            NextRecords::Machine(number) => match self.state.machines.numbered().nth(*number) {
                Some(holds) => {
                    let body = Body::Machine(machine_message(holds));
                    (Some(body), NextRecords::Machine(number + 1))
                }
                None => (None, NextRecords::Instances(None)),
            },
            NextRecords::Instances(after) => self.instances(after.as_deref()),
            NextRecords::Timers(after) => self.timers(after.as_deref()),
            NextRecords::Locks(from) => self.locks(from.as_deref()),
            NextRecords::UsedIds(from) => self.used_ids(*from),
            NextRecords::Keys(from) => self.keys(*from),
            NextRecords::Footer => (Some(self.footer()), NextRecords::End),
            NextRecords::End => (None, NextRecords::End),
        }
    }

    fn header(&self) -> Body {
        Body::Header(proto::Header {
            format: match self.state.level {
                level::FIRST => FORMAT_OF_FIRST_LEVEL,
                _ => FORMAT,
            },
            last_applied: self.state.last_applied,
            last_time_ms: self.state.last_time_ms,
            instances: self.state.instance_count(),
            stale_offsets: self.state.stale.iter().copied().collect(),
            stale_known_from: self.state.stale_known_from,
            level: match self.state.level {
                level::FIRST => 0,
                level => level,
            },
            chain: self.state.chain.as_ref().map(chain_message),
            automation: self
                .state
                .automation
                .as_deref()
                .map(|automation| proto::Automation {
                    paused: automation.paused,
                    since_ms: automation.since_ms,
                    reason: automation.reason.clone(),
                    by: automation.by.clone(),
                    shift_ms: automation.shift_ms,
                    skip_below_ms: automation.skip_below_ms,
                }),
        })
    }

    fn instances(&self, after: Option<&str>) -> (Option<Body>, NextRecords) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut items = Vec::new();
        let mut bytes = 0;
        for id in self.state.ids.range::<_, str>((from, Bound::Unbounded)) {
            let Some(instance) = self.state.instances.get(id.as_bytes()) else {
                continue;
            };
            bytes += 64 + id.len() + instance.ctx().len();
            items.push(instance_message(instance));
            if bytes >= RECORD_BYTES {
                let items = proto::Instances { items };
                return (
                    Some(Body::Instances(items)),
                    NextRecords::Instances(Some(id.clone())),
                );
            }
        }
        let last = (!items.is_empty()).then_some(Body::Instances(proto::Instances { items }));
        (last, NextRecords::Timers(None))
    }

    fn timers(&self, after: Option<&str>) -> (Option<Body>, NextRecords) {
        let timers = &self.state.timers;
        let mut items = Vec::new();
        let mut bytes = 0;
        if timers.len() == 0 {
            return (None, NextRecords::Locks(None));
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for id in self.state.ids.range::<_, str>((from, Bound::Unbounded)) {
            let Some(record) = timers.get(id) else {
                continue;
            };
            let item = timers_message(record);
            bytes += item.encoded_len();
            items.push(item);
            if bytes >= RECORD_BYTES {
                let next = NextRecords::Timers(Some(id.clone()));
                return (Some(Body::Timers(proto::Timers { items })), next);
            }
        }
        let last = (!items.is_empty()).then_some(Body::Timers(proto::Timers { items }));
        (last, NextRecords::Locks(None))
    }

    fn locks(&self, from: Option<&str>) -> (Option<Body>, NextRecords) {
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut next = NextRecords::UsedIds(0);
        for lock in self.state.locks.since(from.unwrap_or_default()) {
            if bytes >= RECORD_BYTES {
                next = NextRecords::Locks(Some(lock.name.clone()));
                break;
            }
            let item = lock_message(lock);
            bytes += item.encoded_len();
            items.push(item);
        }
        let body = (!items.is_empty()).then_some(Body::Locks(proto::Locks { items }));
        (body, next)
    }

    fn used_ids(&self, from: usize) -> (Option<Body>, NextRecords) {
        let mut items = Vec::new();
        let mut bytes = 0;
        for used in self.used_ids.iter().skip(from) {
            bytes += 16 + used.id.len();
            items.push(proto::UsedId {
                id: used.id.to_string(),
                last_offset: used.last_offset,
            });
            if bytes >= RECORD_BYTES {
                break;
            }
        }
        if items.is_empty() {
            return (None, NextRecords::Keys(0));
        }
        let next = NextRecords::UsedIds(from + items.len());
        (Some(Body::UsedIds(proto::UsedIds { items })), next)
    }

    fn keys(&self, from: u64) -> (Option<Body>, NextRecords) {
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut next = NextRecords::Footer;
        for record in self.state.keys.since(from) {
            if bytes >= RECORD_BYTES {
                next = NextRecords::Keys(record.place());
                break;
            }
            let item = key_message(record);
            bytes += item.encoded_len();
            items.push(item);
        }
        let body = (!items.is_empty()).then_some(Body::Keys(proto::Keys { items }));
        (body, next)
    }

    fn footer(&self) -> Body {
        let digest = self.state.digest();
        Body::Footer(proto::Footer {
            instances: self.state.instance_count(),
            used_ids: self.used_ids.len() as u64,
            keys: self.state.key_count(),
            timers: self.state.timers.len() as u64,
            locks: self.state.locks.len() as u64,
            digest_high: (digest >> 64) as u64,
            digest_low: digest as u64,
        })
    }
}

fn machine_message(holds: &SlotHolds) -> proto::Machine {
    let (machine, deleted) = match holds {
        SlotHolds::Living(machine) => (machine, false),
        SlotHolds::Deleted(machine) => (machine, true),
        SlotHolds::Nothing => {
            return proto::Machine {
                deleted: true,
                ..proto::Machine::default()
            };
        }
    };
    proto::Machine {
        machine: machine.name.to_string(),
        version: machine.version,
        definition: machine.definition.clone(),
        format: format_in_record(machine.format),
        deleted,
    }
}

fn chain_message(chain: &Chain) -> proto::Chain {
    let bytes = |head: Head| Bytes::copy_from_slice(&head.0);
    proto::Chain {
        first: chain.first(),
        last: chain.last(),
        head: bytes(chain.head()),
        marks: chain
            .marks()
            .map(|(offset, head)| proto::Mark {
                offset,
                head: bytes(head),
            })
            .collect(),
    }
}

fn key_message(record: &KeyRecord) -> proto::Key {
    let brief = record.brief();
    proto::Key {
        name: Bytes::copy_from_slice(record.name()),
        params_hash: record.params_hash(),
        time_ms: record.time_ms(),
        offset: record.offset(),
        result: Some(proto::key::Result::Brief(proto::Brief {
            machine: brief.machine,
            from_state: u32::from(brief.from),
            to_state: u32::from(brief.to),
            is_last: brief.is_last,
            instance_id: brief.instance_id.to_owned(),
        })),
    }
}

fn timers_message(record: &TimersRecord) -> proto::InstanceTimers {
    let armed = record.armed.iter().map(|kept| proto::Timer {
        name: kept.name.to_string(),
        kept_ms: kept.kept_ms,
        refusals: kept.refusals,
    });
    proto::InstanceTimers {
        id: record.id().to_owned(),
        entry: record.entry,
        armed: armed.collect(),
        minute_ms: record.minute_ms,
        firings: record.firings,
        suspended: record.suspended,
    }
}

fn lock_message(lock: &HeldLock) -> proto::Lock {
    let waiters = lock
        .waiters
        .iter()
        .map(|(place, waiter)| proto::LockWaiter {
            owner: waiter.owner.to_string(),
            place,
            ttl_ms: waiter.ttl_ms,
            until_ms: waiter.until_ms,
        });
    proto::Lock {
        name: lock.name.to_string(),
        last_offset: lock.last_offset,
        owner: lock.owner.to_string(),
        token: lock.token,
        expires_ms: lock.expires_ms,
        ttl_ms: lock.ttl_ms,
        waiters: waiters.collect(),
    }
}

fn instance_message(instance: &Instance) -> proto::Instance {
    proto::Instance {
        id: instance.id().to_owned(),
        machine: instance.machine(),
        state: u32::from(instance.state()),
        ctx: Bytes::copy_from_slice(instance.ctx()),
        created_ms: instance.created_ms(),
        updated_ms: instance.updated_ms(),
        last_offset: instance.last_offset(),
        last_event_id: instance.event_id().unwrap_or_default().to_owned(),
        created_offset: instance.created_offset(),
    }
}
