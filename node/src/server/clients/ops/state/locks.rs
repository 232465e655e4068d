//! LOCK_ACQUIRE that waits: the node asks again for its client until the lock is held, or the wait is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{AcquireLock, Command, LockCommand};

use crate::replica::{ClientRequest, LockAttempt};
use crate::server::clients::access::Client;
use crate::server::clients::ops::{Job, RequestPlan, RunningJob, answer_of};
use crate::server::clients::order::Claim;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::command::AskedCommand;
use crate::server::messages::failure::{self, PossibleEffect};

/// A client that waits for a lock.
pub(crate) struct LockWait {
    acquire: AcquireLock,
    meta: Option<Box<Meta>>,
    /// As the client sent it.
    sent: ClientRequest,
    effect: PossibleEffect,
}

impl LockWait {
    /// The lock's name.
    pub(in crate::server::clients::ops) fn lock(&self) -> &str {
        &self.acquire.name
    }
}

impl Job {
    /// For how long the client waits at most, if it waits for a lock.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::WaitForLock(wait) => wait.acquire.wait_ms.map(Duration::from_millis),
            _ => None,
        }
    }
}

/// The plan for a request that is to wait; `None` for all others.
pub(super) fn plan_of_waiting(asked: &AskedCommand, sent: &ClientRequest) -> Option<RequestPlan> {
    let Command::Lock(LockCommand::Acquire(acquire)) = &asked.command else {
        return None;
    };
    acquire.wait_ms.filter(|wait_ms| *wait_ms > 0)?;
    let effect = PossibleEffect::Write { keyed: true };
    let wait = LockWait {
        acquire: acquire.clone(),
        meta: asked.meta.clone(),
        sent: sent.clone(),
        effect,
    };
    Some(RequestPlan {
        // It may take long, so no other request of its connection waits for it.
        claim: Claim::FREE,
        effect,
        job: Job::WaitForLock(Box::new(wait)),
    })
}

pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    wait: LockWait,
    client: &Client,
) -> RunningJob {
    let caller = client.caller();
    let LockWait {
        acquire,
        meta,
        sent,
        effect,
    } = wait;
    let request = LockAttempt {
        acquire,
        meta,
        sent: Box::new(move |wait_ms| with_wait(&sent, wait_ms)),
    };
    RunningJob::boxed(async move {
        let done = shared.replica.acquire_lock(request, caller).await;
        let done = done.map_err(|error| failure::of_replica(&error, effect))?;
        Ok(answer_of(done))
    })
}

/// The request as a leader gets it when so much of the wait is left.
fn with_wait(sent: &ClientRequest, wait_ms: u64) -> ClientRequest {
    // Of two fields of one name, the last one counts. The request has fields already.
    let text = sent.params.strip_suffix(b"}").unwrap_or(&sent.params);
    let left = format!(",\"wait_ms\":{wait_ms}}}");
    ClientRequest {
        op: sent.op,
        params: Bytes::from([text, left.as_bytes()].concat()),
        new_ids: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_rcp::message::Params;
    use rstmdb_rcp::message::locks::LockAcquire;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn a_leader_gets_the_request_with_what_is_left_of_the_wait() {
        let sent = ClientRequest {
            op: "LOCK_ACQUIRE",
            params: Bytes::from_static(
                br#"{"name":"n","wait_ms":60000,"owner":"o","ttl_ms":1000,"reason":"}"}"#,
            ),
            new_ids: Vec::new(),
        };
        for left in [0, 41_000] {
            let again = with_wait(&sent, left);
            let params: &RawValue = serde_json::from_slice(&again.params).unwrap();
            let read = LockAcquire::read(params).unwrap();
            assert_eq!((&*read.owner, read.wait_ms), ("o", Some(left)));
            assert_eq!(read.meta.reason.as_deref(), Some("}"));
        }
    }
}
