//! SNAPSHOT_INSTANCE.

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_engine::{Query, Reach, Reply};
use rstmdb_rcp::message::storage::{SnapshotInstance, SnapshotInstanceResult};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::server::clients::ops::{
    Body, Job, OpAnswer, RequestPlan, RunningJob, fresh, read_params, touch,
};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::product::block;

/// SNAPSHOT_INSTANCE.
pub(in crate::server::clients::ops) fn plan(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: SnapshotInstance<'_> = read_params(params)?;
    let touch = touch(&params.instance_id);
    let job = Job::SnapshotInstance(params.instance_id.into_owned());
    Ok(RequestPlan::read(touch, job))
}

/// Describes the instance as it is. The log and the snapshots of the whole state keep it, so there is no file to write.
/// With the checksum, clients compare two descriptions.
pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    instance_id: String,
    reach: Option<Arc<Reach>>,
) -> RunningJob {
    RunningJob::boxed(async move {
        fresh(&shared, ReadOptions::default()).await?;
        let query = Query::GetInstance {
            instance_id: instance_id.clone(),
        };
        let reply = shared
            .replica
            .query(&query, reach.as_deref())
            .map_err(|error| failure::of_replica(&error, PossibleEffect::None))?;
        let wal_offset = match &reply {
            Reply::Instance(instance) => instance.last_wal_offset,
            _ => 0,
        };
        let (size_bytes, checksum) = block(|| {
            let mut record = BytesMut::new();
            Body::Reply(reply.into()).write(&mut record);
            (record.len() as u64, hex::encode(Sha256::digest(&record)))
        });
        let result = SnapshotInstanceResult {
            snapshot_id: format!("{instance_id}@{wal_offset}").into(),
            instance_id: instance_id.into(),
            wal_offset,
            size_bytes,
            checksum: checksum.into(),
        };
        Ok(OpAnswer {
            body: Body::json(&result),
            wal_offset: Some(wal_offset),
        })
    })
}
