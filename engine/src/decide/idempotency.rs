//! Idempotency keys: whether this call was made before, with the same parameters.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Decider, OpDecision};
use crate::Refusal;
use crate::api::command::ApplyEvent;
use crate::api::reply::Reply;
use crate::fact::Key;
use crate::state::{KeyFound, KeyOutcome, Scope, remembered};

/// A hash, by value, of the parameters that a repetition must share.
#[derive(Default)]
pub(super) struct ParamsHash(Vec<u8>);

impl ParamsHash {
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
    /// The answer to a repetition of the call. An event's context comes from the instance while that is still
    /// unchanged since the event, otherwise from the log.
    pub(super) fn replay(self, found: KeyFound, event: Option<&ApplyEvent>) -> OpDecision {
        let wal_offset = found.offset;
        let reply = match found.outcome {
            KeyOutcome::TimersSet => self.timers_set_before(found),
            KeyOutcome::Created { state } => Reply::Created {
                instance_id: found.instance_id,
                state,
                wal_offset,
            },
            KeyOutcome::Deleted => Reply::Deleted {
                instance_id: found.instance_id,
                wal_offset,
            },
            KeyOutcome::Moved {
                from_state,
                to_state,
            } => {
                let current = self.view.instance(&found.instance_id);
                let ctx = current
                    .filter(|current| found.is_last && current.last_offset == wal_offset)
                    .map(|current| current.ctx_bytes());
                // Part of the parameters, which are the same.
                let event_id = event.and_then(|event| event.event_id.as_deref());
                let event_id = event_id.map(Arc::from);
                let key = event.and_then(|event| event.idempotency_key.as_deref());
                match ctx {
                    Some(ctx) => Reply::Applied {
                        from_state,
                        to_state,
                        ctx,
                        applied: false,
                        event_id,
                        wal_offset,
                    },
                    None => Reply::Replayed {
                        instance_id: found.instance_id,
                        idempotency_key: Arc::from(key.unwrap_or_default()),
                        from_state,
                        to_state,
                        event_id,
                        wal_offset,
                    },
                }
            }
        };
        OpDecision::Answer {
            reply,
            offset: Some(wal_offset),
        }
    }

    /// The first call's result, if there was a first call; otherwise the key to remember.
    pub(super) fn key(
        self,
        key: Option<&str>,
        scope: Scope<'_>,
        params: impl FnOnce() -> ParamsHash,
    ) -> Result<KeyCheck, Refusal> {
        let Some(key) = key else {
            return Ok(KeyCheck::New(None));
        };
        self.check_id("idempotency_key", key)?;
        let params_hash = xxh3_64(&params().0);
        let retention_ms = self.limits.idempotency_retention_ms;
        let found = self
            .view
            .key(scope, key)
            .filter(|found| remembered(found.time_ms, self.time_ms, retention_ms));
        match found {
            None => Ok(KeyCheck::New(Some(Key {
                key: key.to_owned(),
                params_hash,
                of_machine: matches!(scope, Scope::CreateOf(_)),
            }))),
            Some(found) if found.params_hash == params_hash => Ok(KeyCheck::Seen(found)),
            Some(found) => Err(Refusal::KeyConflict {
                idempotency_key: key.to_owned(),
                actual_wal_offset: found.offset,
            }),
        }
    }
}

/// The result of looking up a command's key.
pub(super) enum KeyCheck {
    Seen(KeyFound),
    New(Option<Key>),
}
