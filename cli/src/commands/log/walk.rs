//! Reading the log: pages forward, and one instance's facts backward.

use std::collections::VecDeque;

use rstmdb_rcp::Code;
use rstmdb_rcp::client::WatchItem;
use rstmdb_rcp::message::instance::{GetInstance, GetInstanceResult};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::storage::{Imported, WalRead, WalReadResult, WalRecord};
use rstmdb_rcp::message::watch::{EventKind, Include, WatchInstance};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Error;
use crate::session::{CliSession, from_client};

/// A record of the log, its entry as it was sent.
pub type RawWalRecord = WalRecord<Box<RawValue>>;

/// The fields of an entry that this program uses.
#[derive(Debug, Deserialize)]
pub struct WalkedFact {
    /// `create_instance`, `apply_event` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The instance it is about.
    pub instance_id: Option<String>,
    /// The instance's machine.
    pub machine: Option<String>,
    /// The machine's version.
    pub version: Option<u32>,
    /// The event applied.
    pub event: Option<String>,
    /// The caller's id of the event.
    pub event_id: Option<String>,
    /// The context created with.
    pub initial_ctx: Option<Box<RawValue>>,
    /// The state in which an instance began.
    pub initial_state: Option<String>,
    /// The times of an instance that was imported.
    pub imported: Option<Imported>,
    /// The payload applied.
    pub payload: Option<Box<RawValue>>,
    /// Where the instance's previous fact stands.
    pub prev_offset: Option<u64>,
}

impl WalkedFact {
    /// Reads what is needed of a record's entry.
    pub fn of(record: &RawWalRecord) -> Result<WalkedFact, Error> {
        serde_json::from_str(record.entry.get()).map_err(Error::unexpected)
    }
}

/// The log's pages from the earliest record kept.
pub struct Pages<'a> {
    session: &'a CliSession,
    next: Option<u64>,
    until: u64,
}

impl<'a> Pages<'a> {
    /// All records at offsets up to `until`, inclusive.
    pub fn up_to(session: &'a CliSession, until: u64) -> Pages<'a> {
        Pages {
            session,
            next: Some(0),
            until,
        }
    }

    /// The next page; empty at the end.
    pub async fn next(&mut self) -> Result<Vec<RawWalRecord>, Error> {
        while let Some(from) = self.next {
            let page = match read(self.session, from, WalRead::LIMIT_MAX, false).await {
                Err(error) if from == 0 => {
                    self.next = Some(earliest(&error).ok_or(error)?);
                    continue;
                }
                page => page?,
            };
            let last = page.next_offset > self.until || page.next_offset <= from;
            self.next = (!last).then_some(page.next_offset);
            let mut records = page.records;
            records.retain(|record| record.offset <= self.until);
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }
}

/// The facts of an instance, newest first, as far as the log reaches.
pub struct InstanceHistory {
    /// The facts.
    pub records: Vec<RawWalRecord>,
    /// Whether the log no longer holds the older ones.
    pub compacted: bool,
    /// Whether the instance is gone.
    pub deleted: bool,
}

/// Follows `prev_offset` from the instance's last fact, for at most `limit` facts.
pub async fn history(
    session: &CliSession,
    id: &str,
    limit: usize,
) -> Result<InstanceHistory, Error> {
    let params = GetInstance {
        instance_id: id.into(),
        ..GetInstance::default()
    };
    let found: Result<GetInstanceResult<'_>, Error> = session.ask(op::GET_INSTANCE, &params).await;
    let instance = match found {
        Ok(instance) => instance,
        Err(error) if is_missing(&error) => return of_deleted(session, id, limit, error).await,
        Err(error) => return Err(error),
    };
    let mut history = InstanceHistory {
        records: Vec::new(),
        compacted: false,
        deleted: false,
    };
    let mut at = Some(instance.last_wal_offset);
    while let Some(offset) = at
        && history.records.len() < limit
    {
        let facts = match facts_at(session, id, offset).await {
            Ok(facts) => facts,
            Err(error) if earliest(&error).is_some() => {
                history.compacted = true;
                break;
            }
            Err(error) => return Err(error),
        };
        // If the record is not at the offset that the later one names, retention has dropped it.
        history.compacted = facts.is_empty();
        at = facts
            .iter()
            .filter_map(|(fact, _)| earlier(fact, offset))
            .next();
        let records = facts.into_iter().map(|(_, record)| record);
        history.records.extend(records.rev());
    }
    history.records.truncate(limit);
    Ok(history)
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Refused(body) if body.code == Code::InstanceNotFound)
}

/// The facts of an instance that is gone. The state has forgotten where they are, so the server goes through the whole log
/// for them; `missing` is the error if there are none.
async fn of_deleted(
    session: &CliSession,
    id: &str,
    limit: usize,
    missing: Error,
) -> Result<InstanceHistory, Error> {
    let (mut offsets, last) = told_offsets(session, id, limit).await?;
    let mut history = InstanceHistory {
        records: Vec::new(),
        compacted: false,
        deleted: matches!(last, Some(EventKind::Deleted | EventKind::Flushed)),
    };
    let mut first = None;
    let mut at = offsets.pop_back();
    while let Some(offset) = at
        && history.records.len() < limit
    {
        let facts = match facts_at(session, id, offset).await {
            Err(error) if earliest(&error).is_some() => break,
            facts => facts?,
        };
        let before = facts
            .iter()
            .filter_map(|(fact, _)| earlier(fact, offset))
            .next();
        first = facts.front().map(|(fact, _)| fact.kind.clone()).or(first);
        let records = facts.into_iter().map(|(_, record)| record);
        history.records.extend(records.rev());
        // No watch tells of timers that were set without an event; the fact behind names theirs.
        at = before.filter(|before| offsets.back().is_none_or(|shown| before > shown));
        at = at.or_else(|| offsets.pop_back());
    }
    if history.records.is_empty() {
        return Err(missing);
    }
    let begins = first.is_some_and(|kind| kind == "create_instance");
    history.compacted = !begins && history.records.len() < limit;
    history.records.truncate(limit);
    Ok(history)
}

/// The last offsets that a watch of the instance tells of, each once, and of what kind the last of them is.
async fn told_offsets(
    session: &CliSession,
    id: &str,
    limit: usize,
) -> Result<(VecDeque<u64>, Option<EventKind>), Error> {
    let params = WatchInstance {
        instance_id: id.into(),
        include_ctx: Some(false),
        from_offset: Some(0),
        include: Some(Include::ALL.to_vec()),
        ..WatchInstance::default()
    };
    let client = session.client().await?;
    let mut watch = client.watch_instance(&params).await.map_err(from_client)?;
    let mut offsets: VecDeque<u64> = VecDeque::new();
    let mut last = None;
    // The watch says once that it has come to the head.
    while let Some(item) = watch.next_item().await {
        match item.map_err(from_client)? {
            WatchItem::Event(event) => {
                if offsets.back() != Some(&event.wal_offset) {
                    offsets.push_back(event.wal_offset);
                }
                if offsets.len() > limit.max(1) {
                    offsets.pop_front();
                }
                last = event.kind;
            }
            WatchItem::Progress { .. } => break,
        }
    }
    Ok((offsets, last))
}

fn earlier(fact: &WalkedFact, offset: u64) -> Option<u64> {
    fact.prev_offset.filter(|prev| (1..offset).contains(prev))
}

/// The instance's facts at one offset, in order: an atomic batch may hold several, among others'.
async fn facts_at(
    session: &CliSession,
    id: &str,
    offset: u64,
) -> Result<VecDeque<(WalkedFact, RawWalRecord)>, Error> {
    // A page never ends inside an offset. So a request for one record returns all records that share its offset.
    let page = read(session, offset, 1, true).await?;
    let mut facts = VecDeque::new();
    for record in page.records.into_iter().filter(|r| r.offset == offset) {
        let fact = WalkedFact::of(&record)?;
        if fact.instance_id.as_deref() == Some(id) {
            facts.push_back((fact, record));
        }
    }
    Ok(facts)
}

async fn read(
    session: &CliSession,
    from_offset: u64,
    limit: u64,
    with_meta: bool,
) -> Result<WalReadResult<Box<RawValue>>, Error> {
    let params = WalRead {
        from_offset,
        limit: Some(limit),
        include_meta: with_meta.then_some(true),
    };
    session.ask(op::WAL_READ, &params).await
}

/// Where the log begins, if the server refused the request for that reason.
fn earliest(error: &Error) -> Option<u64> {
    match error {
        Error::Refused(body) if body.code == Code::OffsetCompacted => {
            body.details.as_ref()?.get("earliest_offset")?.as_u64()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstmdb_rcp::message::ErrorBody;
    use serde_json::json;

    use super::*;

    fn fact(entry: &serde_json::Value) -> WalkedFact {
        serde_json::from_value(entry.clone()).unwrap()
    }

    #[test]
    fn a_fact_reads_what_it_knows_and_ignores_the_rest() {
        let fact = fact(&json!({
            "type": "apply_event", "instance_id": "a", "event": "GO", "payload": null,
            "ctx": {}, "prev_offset": 7, "from_the_future": [1],
        }));
        assert_eq!(fact.kind, "apply_event");
        assert!(fact.payload.is_none());
        assert_eq!(earlier(&fact, 9), Some(7));
    }

    #[test]
    fn an_instances_first_fact_has_none_before_it() {
        let create = json!({"type": "create_instance", "instance_id": "a"});
        assert_eq!(earlier(&fact(&create), 9), None);
        let zero = json!({"type": "create_instance", "prev_offset": 0});
        assert_eq!(earlier(&fact(&zero), 9), None);
        let same_batch = json!({"type": "apply_event", "prev_offset": 9});
        assert_eq!(earlier(&fact(&same_batch), 9), None);
    }

    #[test]
    fn a_compacted_offset_says_where_the_log_begins() {
        let body = ErrorBody::new(Code::OffsetCompacted, "gone")
            .with_details(json!({"earliest_offset": 42}));
        assert_eq!(earliest(&Error::Refused(Box::new(body))), Some(42));
        let body = ErrorBody::new(Code::Conflict, "no");
        assert_eq!(earliest(&Error::Refused(Box::new(body))), None);
    }
}
