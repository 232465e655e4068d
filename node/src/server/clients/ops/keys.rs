//! ROTATE_KEY.

use std::sync::Arc;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::keys::{RotateKey, RotateKeyResult};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Body, Job, OpAnswer, RequestPlan, RunningJob, read_params};
use crate::server::clients::order::Claim;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};

pub(super) fn rotate(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let RotateKey { switch } = read_params(params)?;
    Ok(RequestPlan {
        claim: Claim::FREE,
        effect: PossibleEffect::Upkeep,
        job: Job::RotateKey {
            switch: switch.unwrap_or(false),
        },
    })
}

pub(super) fn start(shared: Arc<ServerShared>, switch: bool) -> RunningJob {
    RunningJob::boxed(async move {
        let (last_key_id, last_key_fingerprint) = learn(&shared, switch)?;
        // Only a write begins a file with the new key, so the answer waits for one.
        let synced = shared.replica.sync_log().await;
        synced.map_err(|error| failure::of_replica(&error, PossibleEffect::Upkeep))?;
        let keys = &shared.keys;
        let result = RotateKeyResult {
            key_id: keys.current().unwrap_or_default(),
            last_key_id,
            last_key_fingerprint,
            known: keys.ids(),
        };
        tracing::info!(key_id = result.key_id, known = ?result.known, "encryption keys were read again");
        Ok(OpAnswer {
            body: Body::json(&result),
            wal_offset: None,
        })
    })
}

/// Gives the id and the fingerprint of the last key in the file.
fn learn(shared: &ServerShared, switch: bool) -> Result<(u32, String), ErrorBody> {
    let refused = |why: String| ErrorBody::new(Code::Conflict, why).with_details(json!({}));
    if shared.keys.current().is_none() {
        return Err(refused(
            "this node does not encrypt: set storage.encryption_key_file and restart it".into(),
        ));
    }
    let newer = shared
        .reread_keys()
        .map_err(|error| refused(error.to_string()))?;
    let newer = newer.ok_or_else(|| {
        refused(
            "the keys come from storage.encryption_keys, which is read at the start: restart the \
             node, or move them to storage.encryption_key_file"
                .into(),
        )
    })?;
    let learned = shared.keys.learn(&newer, switch);
    learned.map_err(|error| refused(error.to_string()))?;
    let fingerprint = newer
        .fingerprint()
        .map_err(|error| refused(error.to_string()))?;
    Ok((
        newer.current().unwrap_or_default(),
        fingerprint.unwrap_or_default(),
    ))
}
