//! What the audit log says of the requests of a connection.
//!
//! Each write, each definition, each operation on the node, and each refusal is one record; a batch has one for each of
//! its operations. What only reads or watches, and is allowed, has none.

use std::cell::Cell;
use std::sync::Arc;

use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, op};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Origin, Session};
use crate::server::clients::access::{Need, need};
use crate::server::clients::audit_log::AuditRecord;
use crate::server::clients::ops::permit::Target;
use crate::server::clients::ops::{Body, Job};
use crate::server::clients::shared::ServerShared;
use crate::server::config::Verb;
use crate::server::messages::op::Op;
use crate::server::metrics::AccessRefusal;

/// The outcome of a request whose client has gone, or whose session ended, before the answer.
const UNKNOWN: &str = "UNKNOWN";

/// Whether the log has a record of the operation even if it succeeds.
fn is_audited(op: Op) -> bool {
    match need(op) {
        Need::Verb(Verb::Read | Verb::Watch) | Need::Nothing => false,
        Need::Verb(Verb::Write | Verb::Define | Verb::Import | Verb::Admin) | Need::OfItsParts => {
            true
        }
        // Programs that show the cluster ask for this all the time.
        Need::Verb(Verb::Operate) => op != Op::WalStats,
    }
}

/// The records of a request that is not answered yet. If it never is, they say so.
pub(crate) struct PendingRecords {
    shared: Arc<ServerShared>,
    actor: Arc<str>,
    origin: Origin,
    request_id: Box<str>,
    records: Box<[PendingRecord]>,
    told: Cell<bool>,
}

struct PendingRecord {
    op: Op,
    machine: Option<Box<str>>,
    instance: Option<Box<str>>,
}

impl std::fmt::Debug for PendingRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingRecords").finish_non_exhaustive()
    }
}

impl PendingRecords {
    /// What is told at the answer: of a best-effort batch the outcome of each operation, else one for all.
    pub(super) fn answered(&self, outcome: Result<&Body, &Code>) {
        let items = match outcome {
            Ok(Body::Items(items)) => Some(items),
            Ok(_) | Err(_) => None,
        };
        self.tell(|place| match (items, outcome) {
            (Some(items), _) => match items.get(place).map(|item| &item.outcome) {
                Some(Ok(_)) => "ok",
                Some(Err(error)) => error.code.as_str(),
                None => UNKNOWN,
            },
            (None, Ok(_)) => "ok",
            (None, Err(code)) => code.as_str(),
        });
    }

    fn tell<'a>(&self, outcome: impl Fn(usize) -> &'a str) {
        self.told.set(true);
        let is_batch = self.records.len() > 1;
        for (place, record) in self.records.iter().enumerate() {
            let outcome = outcome(place);
            let is_refusal = outcome == Code::Forbidden.as_str();
            if !is_audited(record.op) && !is_refusal {
                continue;
            }
            self.shared.audit_log.write(&AuditRecord {
                name: &self.actor,
                address: self.origin.address,
                protocol: self.origin.protocol,
                op: record.op.name(),
                machine: record.machine.as_deref(),
                instance: record.instance.as_deref(),
                outcome,
                request_id: &self.request_id,
                index: is_batch.then_some(place),
                wrong_tokens: None,
            });
        }
    }
}

impl Drop for PendingRecords {
    fn drop(&mut self) {
        if !self.told.get() {
            self.tell(|_| UNKNOWN);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// The records of a request that is about to begin; none where there will be none.
    pub(super) fn pending_records(
        &self,
        id: &str,
        op: Op,
        job: &Job,
    ) -> Option<Box<PendingRecords>> {
        if !self.shared.audit_log.is_on() || !is_audited(op) {
            return None;
        }
        let owned = |text: Option<&str>| text.map(Into::into);
        let targets = Target::of_job(job);
        let mut records: Vec<PendingRecord> = targets
            .into_iter()
            .map(|target| PendingRecord {
                op: target.op,
                machine: owned(target.machine),
                instance: owned(target.instance),
            })
            .collect();
        if records.is_empty() {
            records.push(PendingRecord {
                op,
                machine: None,
                instance: None,
            });
        }
        Some(Box::new(PendingRecords {
            shared: self.shared.clone(),
            actor: self.client.client().actor.clone(),
            origin: self.origin.clone(),
            request_id: id.into(),
            records: records.into(),
            told: Cell::new(false),
        }))
    }

    /// Counts answers that say that the client may not do something.
    pub(super) fn count_refusals<'a>(&self, codes: impl Iterator<Item = &'a Code>) {
        for why in codes.filter_map(AccessRefusal::of_code) {
            self.shared.metrics.access_refused(why);
        }
    }

    /// Counts and writes down a request that was refused before it began, or that has no records of its own.
    pub(super) fn note_refusal(&mut self, id: &str, op: Op, error: &ErrorBody) {
        let why = AccessRefusal::of_code(&error.code);
        if let Some(why) = why {
            self.shared.metrics.access_refused(why);
        }
        if why == Some(AccessRefusal::NoToken) {
            // Strangers may send as many requests as they like. The first one says it all.
            if std::mem::replace(&mut self.noted_stranger, true) {
                return;
            }
        }
        if why.is_none() && (!is_audited(op) || op::is_open(op.name())) {
            return;
        }
        let details = error.details.as_ref();
        let machine = details.and_then(|details| details.get("needs")?.get("machine")?.as_str());
        self.write_record(id, op, machine, error.code.as_str(), None);
    }

    /// Writes down what became of a token.
    pub(super) fn note_token(&self, id: &str, code: &Code, wrong_tokens: u64) {
        let why = match code {
            Code::RateLimited => Some(AccessRefusal::TooMany),
            code => AccessRefusal::of_code(code),
        };
        if let Some(why) = why {
            self.shared.metrics.access_refused(why);
        }
        self.write_record(id, Op::Auth, None, code.as_str(), Some(wrong_tokens));
    }

    fn write_record(
        &self,
        id: &str,
        op: Op,
        machine: Option<&str>,
        outcome: &str,
        wrong_tokens: Option<u64>,
    ) {
        self.shared.audit_log.write(&AuditRecord {
            name: &self.client.client().actor,
            address: self.origin.address,
            protocol: self.origin.protocol,
            op: op.name(),
            machine,
            instance: None,
            outcome,
            request_id: id,
            index: None,
            wrong_tokens,
        });
    }
}
