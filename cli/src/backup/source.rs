//! The requests to the server.

use std::time::Duration;

use rstmdb_backup as backup;
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error as ClientError};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::message::storage::backup::{
    BackupDescribeResult, BackupLog, BackupLogResult, BackupSnapshot, BackupSnapshotResult,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;

use super::from_backup;
use crate::Error;
use crate::session::{CliSession, from_client};

/// The timeout of a request. The server may have to read a slow disk, or wait for history from another node.
const TIMEOUT_MIN: Duration = Duration::from_secs(60);

/// The server's log and snapshot.
pub(super) type DescribedLog = BackupDescribeResult<'static>;

/// Why copying stopped.
#[derive(Debug)]
pub(super) enum CopyStop {
    /// The log that comes next is no longer retained, or there is none yet.
    Gap,
    /// The snapshot was replaced by a newer one.
    Replaced,
    /// An error that no retry can solve.
    Failed(Error),
}

impl From<Error> for CopyStop {
    fn from(error: Error) -> Self {
        CopyStop::Failed(error)
    }
}

impl From<backup::Error> for CopyStop {
    fn from(error: backup::Error) -> Self {
        CopyStop::Failed(from_backup(error))
    }
}

impl From<CopyStop> for Error {
    fn from(stop: CopyStop) -> Self {
        let message = match stop {
            CopyStop::Failed(error) => return error,
            CopyStop::Gap => {
                "the cluster drops its log faster than the backup can copy it; let the cluster keep more \
                 (compaction.retain_events, retain_hours, retain_mb)"
            }
            CopyStop::Replaced => {
                "the server replaced its snapshot again and again while the backup copied it; let it take \
                 them less often (compaction.min_interval_secs)"
            }
        };
        Error::Failed(message.to_owned())
    }
}

/// A separate connection.
pub(super) struct BackupSource(Client);

impl BackupSource {
    pub(super) async fn connect(session: &CliSession) -> Result<Self, Error> {
        let options = session.own_options();
        let options = ClientOptions {
            timeout: options.timeout.max(TIMEOUT_MIN),
            ..options
        };
        Ok(Self(session.connect(options).await?))
    }

    pub(super) async fn describe(&self) -> Result<DescribedLog, Error> {
        let head: DescribedLog = self
            .ask(op::BACKUP_DESCRIBE, &NoParams {})
            .await?
            .map_err(from_client)?;
        Ok(head)
    }

    /// The piece of a snapshot that begins at a byte.
    pub(super) async fn snapshot(
        &self,
        snapshot_id: &str,
        from_byte: u64,
    ) -> Result<BackupSnapshotResult, CopyStop> {
        let params = BackupSnapshot {
            snapshot_id: snapshot_id.into(),
            from_byte,
        };
        match self.ask(op::BACKUP_SNAPSHOT, &params).await? {
            Err(ClientError::Refused(body)) if body.code == Code::NotFound => {
                Err(CopyStop::Replaced)
            }
            answer => Ok(answer.map_err(from_client)?),
        }
    }

    /// The piece of the log that begins at a byte of an entry.
    pub(super) async fn log(&self, wanted: BackupLog) -> Result<BackupLogResult, CopyStop> {
        match self.ask(op::BACKUP_LOG, &wanted).await? {
            Err(ClientError::Refused(body)) if body.code == Code::OffsetCompacted => {
                Err(CopyStop::Gap)
            }
            answer => Ok(answer.map_err(from_client)?),
        }
    }

    async fn ask<R: DeserializeOwned>(
        &self,
        op: &str,
        params: &impl Serialize,
    ) -> Result<Result<R, ClientError>, Error> {
        let params = to_raw_value(params).map_err(Error::unexpected)?;
        match self.0.call_raw(op, &params).await {
            Ok(answer) => {
                let result = serde_json::from_str(answer.result.get());
                Ok(Ok(result.map_err(Error::unexpected)?))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}
