//! AUDIT_READ.

use std::sync::Arc;

use openraft::EntryPayload;
use rstmdb_engine::Refusal;
use rstmdb_engine::chain::{Chain, HASH_BYTES, Head};
use rstmdb_engine::fact::level::{self, Feature};
use rstmdb_engine::fact::{Body as FactBody, Entry, Message};
use rstmdb_raft_store as raft_store;
use rstmdb_rcp::message::storage::audit::{AuditEntry, AuditLives, AuditRead, AuditReadResult};
use rstmdb_rcp::message::storage::backup::Blob;
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX};
use serde_json::value::RawValue;

use super::{
    Body, FRAME_ROOM_BYTES, Job, JobOutcome, OpAnswer, PAGE_BYTES, RequestPlan, RunningJob, fresh,
    read_params,
};
use crate::replica::{self, MemberReport, entry_hash, opened};
use crate::server::clients::order::ClaimTouch;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::product::block;

/// Bytes of entries that are read at once.
const PORTION_BYTES: usize = 4 << 20;

/// What a request asks for.
pub(crate) struct WantedProof {
    from: u64,
    instance_id: Option<String>,
    limit: usize,
}

/// Where a page begins, and the newest head that is known before it.
struct PageBeginning {
    chain_from: u64,
    from: u64,
    known: (u64, Head),
    last_applied: u64,
}

/// AUDIT_READ.
pub(super) fn read(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: AuditRead<'_> = read_params(params)?;
    if params.limit == Some(0) {
        let problem = "expected an integer ≥ 1, got 0";
        return Err(failure::bad_request("params.limit", problem));
    }
    let wanted = WantedProof {
        from: params.from_offset,
        limit: usize::try_from(params.page_limit()).unwrap_or(usize::MAX),
        instance_id: params.instance_id.map(Into::into),
    };
    Ok(RequestPlan::read(
        ClaimTouch::Everything,
        Job::Audit(wanted),
    ))
}

/// Answers.
pub(super) fn start(shared: Arc<ServerShared>, wanted: WantedProof) -> RunningJob {
    RunningJob::boxed(async move {
        fresh(&shared, ReadOptions::default()).await?;
        shared.replica.wait_for_history(wanted.from).await;
        let archive = shared.replica.wait_for_archive(wanted.from);
        archive.await.map_err(told)?;
        let status = shared.replica.status();
        let earliest = status.earliest_offset;
        if (1..earliest).contains(&wanted.from) {
            // Says so if it is damage that keeps the node from giving the entry.
            drop(
                shared
                    .replica
                    .hold_history(wanted.from)
                    .await
                    .map_err(told)?,
            );
        }
        if shared.replica.with_state(|state| state.chain().is_none()) {
            return Err(no_chain(holders(&shared).await));
        }
        let beginning = shared
            .replica
            .with_state(|state| begin(state.chain(), earliest, wanted.from))?;
        let head_before = head_before(&shared, &beginning).await?;
        page(&shared, &wanted, &beginning, head_before, status.cluster_id).await
    })
}

fn told(error: replica::Error) -> ErrorBody {
    failure::of_replica(&error, PossibleEffect::None)
}

/// Where the page for `from` begins, if the log from `earliest` on and the known heads allow it.
fn begin(chain: Option<&Chain>, earliest: u64, from: u64) -> Result<PageBeginning, ErrorBody> {
    let chain = chain.ok_or_else(|| no_chain(Vec::new()))?;
    let last_applied = chain.last();
    let usable = |(offset, _): &(u64, Head)| offset + 1 >= earliest;
    let first_known = chain.marks().find(usable);
    let first_known = first_known.unwrap_or((last_applied, chain.head()));
    let (from, known) = match from {
        0 => (first_known.0 + 1, first_known),
        from if from > last_applied + 1 => {
            let problem = format!(
                "expected an integer from 0 to {}, got {from}",
                last_applied + 1
            );
            return Err(failure::bad_request("params.from_offset", &problem));
        }
        from => match chain.known_at(from - 1).filter(usable) {
            Some(known) => (from, known),
            None => {
                return Err(told(replica::Error::OffsetCompacted {
                    wanted: from,
                    earliest: first_known.0 + 1,
                }));
            }
        },
    };
    Ok(PageBeginning {
        chain_from: chain.first(),
        from,
        known,
        last_applied,
    })
}

/// The chain begins with the feature level that has it. `held_back_by` are the members that do not understand that level.
fn no_chain(held_back_by: Vec<u64>) -> ErrorBody {
    let refusal = Refusal::FeatureLevel {
        what: Feature::Chain.to_string(),
        needed: Feature::Chain.level(),
        current: level::FIRST,
        held_back_by,
    };
    told(refusal.into())
}

/// The members that do not understand the chain, or do not say.
async fn holders(shared: &ServerShared) -> Vec<u64> {
    let reports = shared.replica.member_reports().await.into_iter();
    let holds = |member: &MemberReport| {
        let report = member.report.as_ref();
        report.is_none_or(|report| report.understands < Feature::Chain.level())
    };
    let holding = reports.filter(holds);
    holding.map(|member| member.member.node_id).collect()
}

/// The head right before the page. Heads are known at intervals, and the entries in between lead to it.
async fn head_before(shared: &ServerShared, beginning: &PageBeginning) -> Result<Head, ErrorBody> {
    let (mut at, mut head) = beginning.known;
    while at + 1 < beginning.from {
        for entry in entries(shared, at + 1, beginning.from - 1, usize::MAX).await? {
            at = entry.log_id.index;
            head = head.then(&entry_hash(&entry));
        }
        // A long way is gone in steps, between which other requests have their turn.
        tokio::task::yield_now().await;
    }
    Ok(head)
}

/// Entries from the log, or from the archive where they have left the node.
async fn entries(
    shared: &ServerShared,
    from: u64,
    to: u64,
    count: usize,
) -> Result<Vec<raft_store::Entry>, ErrorBody> {
    let _held = shared.replica.hold_history(from).await.map_err(told)?;
    let read = shared.replica.log_entries(from, to, count, PORTION_BYTES);
    read.map_err(told)
}

async fn page(
    shared: &ServerShared,
    wanted: &WantedProof,
    beginning: &PageBeginning,
    head_before: Head,
    cluster_id: String,
) -> JobOutcome {
    let (from, last_applied) = (beginning.from, beginning.last_applied);
    let entries = match from > last_applied {
        true => Vec::new(),
        false => entries(shared, from, last_applied, wanted.limit).await?,
    };
    let mut page = ProofPage {
        hashes: Vec::with_capacity(entries.len() * HASH_BYTES),
        entries: Vec::new(),
        lives: Vec::new(),
        bytes: 0,
        next_offset: from,
    };
    let filled = block(|| {
        for entry in &entries {
            let is_stale = || {
                let offset = entry.log_id.index;
                shared.replica.with_state(|state| state.is_stale(offset))
            };
            if !page.take(entry, wanted.instance_id.as_deref(), is_stale)? {
                break;
            }
        }
        Ok::<_, ErrorBody>(())
    });
    filled?;
    let result = AuditReadResult {
        cluster_id: cluster_id.into(),
        chain_from: beginning.chain_from,
        first_offset: from,
        head_before: head_before.to_string().into(),
        hashes: Blob(page.hashes),
        entries: page.entries,
        lives: page.lives,
        next_offset: page.next_offset,
        last_applied,
    };
    Ok(OpAnswer {
        body: Body::json(&result),
        wal_offset: None,
    })
}

/// A page that is being filled.
struct ProofPage {
    hashes: Vec<u8>,
    entries: Vec<AuditEntry>,
    lives: Vec<AuditLives>,
    /// Of the entries and the lives.
    bytes: usize,
    next_offset: u64,
}

impl ProofPage {
    /// Takes the entry, unless the page is full.
    fn take(
        &mut self,
        entry: &raft_store::Entry,
        instance_id: Option<&str>,
        is_stale: impl Fn() -> bool,
    ) -> Result<bool, ErrorBody> {
        let offset = entry.log_id.index;
        let opened = opened(entry);
        let shown = match (&entry.payload, instance_id) {
            (EntryPayload::Normal(data), Some(instance_id)) => {
                let about = EntryAbout::of(&data.0, offset, instance_id)?;
                match about {
                    EntryAbout::Other if opened.lives.is_empty() => ShownEntry::Hash,
                    EntryAbout::Other => ShownEntry::Lives,
                    EntryAbout::Event if is_stale() => ShownEntry::Hash,
                    EntryAbout::Event => ShownEntry::Whole(data, false),
                    // Such an entry is never left out: so it cannot hide a life that it is said to be stale.
                    EntryAbout::Life => ShownEntry::Whole(data, is_stale()),
                }
            }
            _ => ShownEntry::Hash,
        };
        let bytes = match &shown {
            ShownEntry::Hash => 0,
            ShownEntry::Lives => opened.to_bytes().len(),
            ShownEntry::Whole(data, _) => data.0.len(),
        };
        if self.bytes > 0 && self.bytes + bytes > PAGE_BYTES {
            return Ok(false);
        }
        // Base64 makes it a third longer.
        if bytes / 3 * 4 + FRAME_ROOM_BYTES + PAGE_BYTES > PAYLOAD_BYTES_MAX {
            let problem = format!(
                "the entry at offset {offset} has {bytes} bytes, more than a frame can carry beside the hashes"
            );
            return Err(ErrorBody::new(Code::BadRequest, problem));
        }
        self.bytes += bytes;
        match shown {
            ShownEntry::Hash => {}
            ShownEntry::Lives => self.lives.push(AuditLives {
                offset,
                opened: Blob(opened.to_bytes()),
            }),
            ShownEntry::Whole(data, stale) => self.entries.push(AuditEntry {
                offset,
                term: entry.log_id.leader_id.term,
                data: Blob(data.0.to_vec()),
                stale,
            }),
        }
        self.hashes.extend_from_slice(&opened.hash().0);
        self.next_offset = offset + 1;
        Ok(true)
    }
}

/// How much of an entry is shown.
enum ShownEntry<'a> {
    Hash,
    /// What the hash is made of, too.
    Lives,
    /// All of it, and whether it is stale.
    Whole(&'a raft_store::Data, bool),
}

/// What an entry has to do with an instance.
enum EntryAbout {
    Other,
    Event,
    /// It creates or deletes it, or everything.
    Life,
}

impl EntryAbout {
    fn of(data: &bytes::Bytes, offset: u64, instance_id: &str) -> Result<Self, ErrorBody> {
        let entry = Entry::decode(data.clone()).map_err(|error| {
            let problem = format!("the entry at offset {offset} cannot be decoded: {error}");
            ErrorBody::new(Code::WalIoError, problem)
        })?;
        let mut about = Self::Other;
        for fact in &entry.facts {
            match &fact.body {
                Some(FactBody::FlushAll(_)) => return Ok(Self::Life),
                _ if fact.instance_id() != Some(instance_id) => {}
                Some(FactBody::ApplyEvent(_)) => about = Self::Event,
                _ => return Ok(Self::Life),
            }
        }
        Ok(about)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_engine::State;
    use rstmdb_engine::chain::{EntryHash, MARK_OFFSETS};

    use super::*;

    fn chain(from: u64, last: u64) -> Chain {
        let mut state = State::new();
        state.begin_chain(from);
        for offset in from..=last {
            state.skip(offset);
            state.link(offset, &EntryHash([1; 32])).unwrap();
        }
        state.chain().unwrap().clone()
    }

    fn begun(chain: &Chain, earliest: u64, from: u64) -> Result<(u64, u64), ErrorBody> {
        begin(Some(chain), earliest, from).map(|found| (found.from, found.known.0))
    }

    #[test]
    fn a_page_begins_where_a_head_is_known_and_the_log_reaches() {
        let chain = chain(10, 3 * MARK_OFFSETS + 5);
        let end = 3 * MARK_OFFSETS + 5;
        assert_eq!(begun(&chain, 1, 0).unwrap(), (10, 9));
        assert_eq!(begun(&chain, 1, 12).unwrap(), (12, 9));
        assert_eq!(begun(&chain, 1, end + 1).unwrap(), (end + 1, end));
        let later = MARK_OFFSETS + 1;
        assert_eq!(begun(&chain, later, 0).unwrap(), (later, later - 1));
        assert_eq!(begun(&chain, later, later).unwrap(), (later, later - 1));
        let next = 2 * MARK_OFFSETS + 1;
        assert_eq!(begun(&chain, later + 1, 0).unwrap(), (next, next - 1));
    }

    #[test]
    fn what_cannot_be_proven_is_refused_with_where_it_can() {
        let chain = chain(10, 3 * MARK_OFFSETS);
        let gone = begun(&chain, MARK_OFFSETS + 2, MARK_OFFSETS + 5).unwrap_err();
        assert_eq!(gone.code, Code::OffsetCompacted);
        let earliest = &gone.details.unwrap()["earliest_offset"];
        assert_eq!(*earliest, 2 * MARK_OFFSETS + 1);
        let before = begun(&chain, 1, 5).unwrap_err();
        assert_eq!(before.code, Code::OffsetCompacted, "the chain begins at 10");
        let beyond = begun(&chain, 1, 3 * MARK_OFFSETS + 2).unwrap_err();
        assert_eq!(beyond.code, Code::BadRequest);
        let none = begin(None, 1, 0).map(drop).unwrap_err();
        assert_eq!(none.code, Code::FeatureLevel);
    }
}
