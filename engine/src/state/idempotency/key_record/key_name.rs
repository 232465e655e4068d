//! The names of idempotency keys: the operation, what the key belongs to, and the key itself as one text of bytes.

use crate::fact::{Body, CreateInstance, Fact, Key};

/// What a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// CREATE_INSTANCE with an id.
    Create(&'a str),
    /// CREATE_INSTANCE without one.
    CreateOf(&'a str),
    Apply(&'a str),
    SetTimers(&'a str),
    Delete(&'a str),
}

impl<'a> Scope<'a> {
    pub(crate) fn of_create(create: &'a CreateInstance, key: &Key) -> Self {
        match key.of_machine {
            true => Self::CreateOf(&create.machine),
            false => Self::Create(&create.instance_id),
        }
    }

    /// The key of a fact, and what it belongs to.
    fn of_fact(fact: &'a Fact) -> Option<(Self, &'a Key)> {
        match fact.body.as_ref()? {
            Body::CreateInstance(create) => {
                let key = create.key.as_ref()?;
                Some((Self::of_create(create, key), key))
            }
            Body::ApplyEvent(apply) => Some((Self::Apply(&apply.instance_id), apply.key.as_ref()?)),
            Body::DeleteInstance(delete) => {
                Some((Self::Delete(&delete.instance_id), delete.key.as_ref()?))
            }
            Body::SetTimers(set) => Some((Self::SetTimers(&set.instance_id), set.key.as_ref()?)),
            Body::PutMachine(_)
            | Body::DeleteMachine(_)
            | Body::FlushAll(_)
            | Body::SetLevel(_)
            | Body::TimerSpent(_)
            | Body::SetAutomation(_)
            | Body::LockChanged(_) => None,
        }
    }
}

const CREATE: u8 = b'c';
const CREATE_OF: u8 = b'm';
const APPLY: u8 = b'a';
const SET_TIMERS: u8 = b't';
const DELETE: u8 = b'd';
/// The operation's letter and the owner's length.
const NAME_HEAD_BYTES: usize = 5;

/// Operation, scope and key as one unambiguous name.
pub(crate) fn key_name(scope: Scope<'_>, key: &str) -> Box<[u8]> {
    let (tag, owner) = match scope {
        Scope::Create(id) => (CREATE, id),
        Scope::CreateOf(machine) => (CREATE_OF, machine),
        Scope::Apply(id) => (APPLY, id),
        Scope::SetTimers(id) => (SET_TIMERS, id),
        Scope::Delete(id) => (DELETE, id),
    };
    let mut name = Vec::with_capacity(NAME_HEAD_BYTES + owner.len() + key.len());
    name.push(tag);
    name.extend_from_slice(&(owner.len() as u32).to_le_bytes());
    name.extend_from_slice(owner.as_bytes());
    name.extend_from_slice(key.as_bytes());
    name.into_boxed_slice()
}

/// The name of a fact's key, where it has one.
pub(in crate::state) fn name_in(fact: &Fact) -> Option<Box<[u8]>> {
    Scope::of_fact(fact).map(|(scope, key)| key_name(scope, &key.key))
}

/// The instance a key of this name belongs to; None for one of a machine, and for what is no name.
pub(in crate::state) fn instance_in(name: &[u8]) -> Option<&str> {
    let owner = owner_in(name)?;
    (name[0] != CREATE_OF).then_some(owner)
}

fn owner_in(name: &[u8]) -> Option<&str> {
    let (head, rest) = name.split_at_checked(NAME_HEAD_BYTES)?;
    let bytes = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    std::str::from_utf8(rest.get(..bytes as usize)?).ok()
}

/// Whether [`key_name`] could have made it.
pub(in crate::state) fn is_name(name: &[u8]) -> bool {
    let operations = [CREATE, CREATE_OF, APPLY, SET_TIMERS, DELETE];
    owner_in(name).is_some() && operations.contains(&name[0])
}

pub(in crate::state) fn is_of_delete(name: &[u8]) -> bool {
    name.first() == Some(&DELETE)
}

pub(in crate::state) fn is_of_set_timers(name: &[u8]) -> bool {
    name.first() == Some(&SET_TIMERS)
}

/// Whether a retry is told of no state of its machine: the key holds none.
pub(in crate::state) fn is_without_state(name: &[u8]) -> bool {
    is_of_delete(name) || is_of_set_timers(name)
}

pub(in crate::state) fn is_of_create(name: &[u8]) -> bool {
    matches!(name.first(), Some(&(CREATE | CREATE_OF)))
}
