//! Requests as operations on single instances: a batch is one operation for each of its parts.

use serde_json::Value;

use crate::chaos::history::{HistoryEntry, RequestOutcome, Workload};

/// One operation on one instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstanceOp<'a> {
    /// The request it was part of.
    pub entry: &'a HistoryEntry,
    /// The instance.
    pub instance: &'a str,
    /// What was asked for.
    pub action: OpAction<'a>,
    /// What the client was told.
    pub told: ClientTold<'a>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum OpAction<'a> {
    Create {
        params: &'a Value,
    },
    Event {
        params: &'a Value,
        event_id: &'a str,
    },
    Delete,
    Get,
}

/// What the client was told.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientTold<'a> {
    /// The result.
    Ok(&'a Value),
    /// A refusal that came from this operation.
    Refused { code: &'a str, details: &'a Value },
    /// The operation was not done, because another one of its batch was refused.
    NotDone,
    /// Nothing.
    Unknown,
}

impl<'a> InstanceOp<'a> {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.action, OpAction::Get)
    }

    /// Whether it was done.
    pub fn result(&self) -> Option<&'a Value> {
        match self.told {
            ClientTold::Ok(result) => Some(result),
            ClientTold::Refused { .. } | ClientTold::NotDone | ClientTold::Unknown => None,
        }
    }

    /// Whether it was certainly not done.
    pub fn is_refused(&self) -> bool {
        matches!(self.told, ClientTold::Refused { .. } | ClientTold::NotDone)
    }

    /// The offset that an answer names.
    pub fn offset(&self) -> Option<u64> {
        let field = if self.is_write() {
            "wal_offset"
        } else {
            "last_wal_offset"
        };
        self.result()?[field].as_u64()
    }

    /// The offset at which the instance must be for the event to take effect.
    pub fn expected(&self) -> Option<u64> {
        match self.action {
            OpAction::Event { params, .. } => params["expected_wal_offset"].as_u64(),
            OpAction::Create { .. } | OpAction::Delete | OpAction::Get => None,
        }
    }

    /// Whether it is a read whose client accepts an older state.
    pub fn is_local(&self) -> bool {
        self.entry.workload == Workload::Monotonic
            || self.entry.params["consistency"].as_str() == Some("local")
    }
}

/// The operations of a request; none if the request is not about single instances.
pub(super) fn of(entry: &HistoryEntry) -> Vec<InstanceOp<'_>> {
    // They have checkers of their own: most of what happens to gates, no client has asked for.
    if matches!(entry.workload, Workload::Asking | Workload::Timer) {
        return Vec::new();
    }
    of_any(entry)
}

/// As [`of`], for every workload.
pub(super) fn of_any(entry: &HistoryEntry) -> Vec<InstanceOp<'_>> {
    if entry.op != "BATCH" {
        let told = match &entry.outcome {
            RequestOutcome::Ok(result) => ClientTold::Ok(result),
            RequestOutcome::Refused { code, details } => ClientTold::Refused { code, details },
            RequestOutcome::Unknown { .. } => ClientTold::Unknown,
        };
        return op(entry, &entry.op, &entry.params, told)
            .into_iter()
            .collect();
    }
    let parts = entry.params["ops"].as_array();
    let parts = parts.map_or(&[][..], Vec::as_slice).iter().enumerate();
    parts
        .filter_map(|(at, part)| {
            let name = part["op"].as_str().unwrap_or_default();
            op(entry, name, &part["params"], told_in_batch(entry, at))
        })
        .collect()
}

fn told_in_batch(entry: &HistoryEntry, at: usize) -> ClientTold<'_> {
    match &entry.outcome {
        RequestOutcome::Ok(result) => {
            let item = &result["results"][at];
            match item["status"].as_str() {
                Some("ok") => ClientTold::Ok(&item["result"]),
                Some(_) => ClientTold::Refused {
                    code: item["error"]["code"].as_str().unwrap_or_default(),
                    details: &item["error"]["details"],
                },
                None => ClientTold::Unknown,
            }
        }
        RequestOutcome::Refused { code, details }
            if details["index"].as_u64() == Some(at as u64) =>
        {
            ClientTold::Refused { code, details }
        }
        RequestOutcome::Refused { .. } => ClientTold::NotDone,
        RequestOutcome::Unknown { .. } => ClientTold::Unknown,
    }
}

fn op<'a>(
    entry: &'a HistoryEntry,
    name: &str,
    params: &'a Value,
    told: ClientTold<'a>,
) -> Option<InstanceOp<'a>> {
    let text = |field: &str| params[field].as_str().unwrap_or_default();
    let action = match name {
        "CREATE_INSTANCE" => OpAction::Create { params },
        "APPLY_EVENT" => OpAction::Event {
            params,
            event_id: text("event_id"),
        },
        "DELETE_INSTANCE" => OpAction::Delete,
        "GET_INSTANCE" => OpAction::Get,
        _ => return None,
    };
    Some(InstanceOp {
        entry,
        instance: text("instance_id"),
        action,
        told,
    })
}
