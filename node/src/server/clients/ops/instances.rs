//! CREATE_INSTANCE, GET_INSTANCE, LIST_INSTANCES, DELETE_INSTANCE, SNAPSHOT_INSTANCE.

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_engine::{Command, CreateInstance, DeleteInstance, ListInstances, Query, Reply};
use rstmdb_rcp::message::storage::{SnapshotInstance, SnapshotInstanceResult};
use rstmdb_rcp::message::{ErrorBody, ReadOptions, instance};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Answer, Body, Job, RequestPlan, Running, document, fresh, read_params, touch};
use crate::server::clients::failure::{self, Effect};
use crate::server::clients::order::Touch;
use crate::server::clients::shared::ServerShared;
use crate::server::product::block;

/// CREATE_INSTANCE.
pub(super) fn create(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: instance::CreateInstance<'_> = read_params(params)?;
    let id_given = params.instance_id.is_some();
    let instance_id = params
        .instance_id
        .map_or_else(|| Uuid::new_v4().to_string(), Into::into);
    let initial_ctx = match params.initial_ctx {
        Some(ctx) => Some(document("initial_ctx", ctx)?),
        None => None,
    };
    let touch = touch(&instance_id);
    let command = Command::CreateInstance(CreateInstance {
        instance_id,
        id_given,
        machine: params.machine.into_owned(),
        version: params.version,
        initial_ctx,
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    Ok(RequestPlan::write(touch, command))
}

/// GET_INSTANCE.
pub(super) fn get(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: instance::GetInstance<'_> = read_params(params)?;
    let touch = touch(&params.instance_id);
    let query = Query::GetInstance {
        instance_id: params.instance_id.into_owned(),
    };
    Ok(RequestPlan::read(touch, Job::Read(query, params.read)))
}

/// LIST_INSTANCES.
pub(super) fn list(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: instance::ListInstances<'_> = read_params(params)?;
    let limit = params.page_limit();
    let query = Query::ListInstances(ListInstances {
        machine: params.machine.map(Into::into),
        state: params.state.map(Into::into),
        limit: Some(limit),
        offset: params.offset,
        after: params.after.map(Into::into),
    });
    Ok(RequestPlan::read(
        Touch::Everything,
        Job::Read(query, params.read),
    ))
}

/// DELETE_INSTANCE.
pub(super) fn delete(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: instance::DeleteInstance<'_> = read_params(params)?;
    let touch = touch(&params.instance_id);
    let command = Command::DeleteInstance(DeleteInstance {
        instance_id: params.instance_id.into_owned(),
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    Ok(RequestPlan::write(touch, command))
}

/// SNAPSHOT_INSTANCE.
pub(super) fn snapshot(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: SnapshotInstance<'_> = read_params(params)?;
    let touch = touch(&params.instance_id);
    let job = Job::SnapshotInstance(params.instance_id.into_owned());
    Ok(RequestPlan::read(touch, job))
}

/// Describes the instance as it is: the log and the snapshots of the whole state keep it, so there
/// is no file to write; the checksum lets two descriptions be compared.
pub(super) fn start_snapshot(shared: Arc<ServerShared>, instance_id: String) -> Running {
    Running::boxed(async move {
        fresh(&shared, ReadOptions::default()).await?;
        let query = Query::GetInstance {
            instance_id: instance_id.clone(),
        };
        let reply = shared
            .replica
            .query(&query)
            .map_err(|error| failure::of_replica(&error, Effect::None))?;
        let wal_offset = match &reply {
            Reply::Instance(instance) => instance.last_wal_offset,
            _ => 0,
        };
        let (size_bytes, checksum) = block(|| {
            let mut record = BytesMut::new();
            Body::Reply(reply).write(&mut record);
            (record.len() as u64, hex::encode(Sha256::digest(&record)))
        });
        let result = SnapshotInstanceResult {
            snapshot_id: format!("{instance_id}@{wal_offset}").into(),
            instance_id: instance_id.into(),
            wal_offset,
            size_bytes,
            checksum: checksum.into(),
        };
        Ok(Answer {
            body: Body::json(&result),
            wal_offset: Some(wal_offset),
        })
    })
}
