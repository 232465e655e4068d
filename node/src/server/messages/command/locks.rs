//! LOCK_ACQUIRE, LOCK_RENEW, LOCK_RELEASE.

use rstmdb_engine::{AcquireLock, Command, LockCommand, ReleaseLock, RenewLock};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::locks::{LockAcquire, LockRelease, LockRenew};
use serde_json::value::RawValue;

use super::{AskedCommand, read};
use crate::server::messages::meta;
use crate::server::messages::op::Op;

/// The command of an operation that changes a lock.
pub(super) fn command(op: Op, params: &RawValue) -> Result<AskedCommand, ErrorBody> {
    let (command, meta) = match op {
        Op::LockAcquire => {
            let params: LockAcquire<'_> = read(params)?;
            let acquire = AcquireLock {
                name: params.name.into_owned(),
                owner: params.owner.into_owned(),
                ttl_ms: params.ttl_ms,
                wait_ms: params.wait_ms,
            };
            (LockCommand::Acquire(acquire), params.meta)
        }
        Op::LockRenew => {
            let params: LockRenew<'_> = read(params)?;
            let renew = RenewLock {
                name: params.name.into_owned(),
                token: params.token,
                ttl_ms: params.ttl_ms,
            };
            (LockCommand::Renew(renew), params.meta)
        }
        _ => {
            let params: LockRelease<'_> = read(params)?;
            let release = ReleaseLock {
                name: params.name.into_owned(),
                token: params.token,
            };
            (LockCommand::Release(release), params.meta)
        }
    };
    Ok(AskedCommand {
        command: Command::Lock(command),
        meta: meta::of_params(meta),
    })
}
