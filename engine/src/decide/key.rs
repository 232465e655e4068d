//! Idempotency keys: was this call made before, with the same parameters?

use xxhash_rust::xxh3::xxh3_64;

use super::Decider;
use crate::Refusal;
use crate::fact::Key;
use crate::limits::check_name;
use crate::reply::Reply;
use crate::state::{Scope, key_name, remembered};

/// The parameters of a command that a repetition must have too, hashed by value.
#[derive(Default)]
pub(super) struct Params(Vec<u8>);

impl Params {
    pub(super) fn text(mut self, text: Option<&str>) -> Self {
        let bytes = text.unwrap_or("");
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes.as_bytes());
        self
    }

    pub(super) fn number(mut self, number: Option<u64>) -> Self {
        self.0.push(u8::from(number.is_some()));
        self.0.extend_from_slice(&number.unwrap_or(0).to_le_bytes());
        self
    }
}

impl Decider<'_> {
    /// The first call's result where there was one, else the key to remember.
    pub(super) fn key(
        self,
        key: Option<&str>,
        scope: Scope<'_>,
        params: impl FnOnce() -> Params,
    ) -> Result<KeyCheck, Refusal> {
        let Some(key) = key else {
            return Ok(KeyCheck::New(None));
        };
        check_name("idempotency_key", key)?;
        let params_hash = xxh3_64(&params().0);
        let retention_ms = self.limits.idempotency_retention_ms;
        let found = self
            .view
            .key(&key_name(scope, key))
            .filter(|found| remembered(found.time_ms, self.time_ms, retention_ms));
        match found {
            None => Ok(KeyCheck::New(Some(Key {
                key: key.to_owned(),
                params_hash,
                of_machine: matches!(scope, Scope::CreateOf(_)),
            }))),
            Some(found) if found.params_hash == params_hash => Ok(KeyCheck::Seen {
                reply: found.reply,
                offset: found.offset,
            }),
            Some(found) => Err(Refusal::KeyConflict {
                idempotency_key: key.to_owned(),
                actual_wal_offset: found.offset,
            }),
        }
    }
}

/// What a key says about a command.
pub(super) enum KeyCheck {
    Seen { reply: Reply, offset: u64 },
    New(Option<Key>),
}
