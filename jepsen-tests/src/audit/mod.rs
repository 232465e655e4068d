//! The end of a run: compares the nodes' content with the ledgers and with each other.
//!
//! | module | subject |
//! |---|---|
//! | [`log`] | the ledgers and the model of the machines, against the log |
//! | [`content`] | what a client can see, made from the log alone |

pub mod content;
pub mod log;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use self::log::{LogAudit, LogVerdict};
use crate::Error;
use crate::cluster::{Cluster, Converged};
use crate::load::ledger::Ledger;
use crate::load::machines::ModelInstance;
use crate::rcp::raw::{RawConnection, RawMessage};
use crate::rcp::wal;

/// How many reads are sent at once.
const READS: usize = 256;
/// A node that is killed 20 times writes a few hundred lines.
const LOG_LINES_MAX: usize = 3000;
/// At most this many findings of one kind are kept.
const FINDINGS_MAX: usize = 20;

/// The content of a cluster, and its faults.
#[derive(Debug)]
pub struct Audit {
    /// Everything that is wrong; empty is good.
    pub violations: Vec<String>,
    /// The log's own verdict.
    pub verdict: LogVerdict,
    /// Where all nodes stand.
    pub converged: Converged,
}

/// Waits until the running nodes agree; then reads the log of one against the ledgers, the others' logs
/// against that, and every instance on each of them.
///
/// # Errors
/// When they do not agree in time, or do not answer.
pub fn cluster(cluster: &Cluster, ledgers: &[Ledger]) -> Result<Audit, Error> {
    let converged = cluster.wait_converged()?;
    let leader = cluster.leader()?;
    let mut connection = cluster.connect(leader)?;
    let mut verdict = read_log(&mut connection, ledgers)?;
    let mut violations = std::mem::take(&mut verdict.violations);
    let log = fingerprints(&mut connection)?;
    for id in cluster.running() {
        let mut connection = cluster.connect(id)?;
        let mut found = wrong_instances(&mut connection, &verdict, "local")?;
        if id != leader {
            found.extend(difference(&log, &fingerprints(&mut connection)?));
        }
        found.extend(chatter(&cluster.node(id)?.log_text()));
        violations.extend(found.into_iter().map(|what| format!("node {id}: {what}")));
    }
    Ok(Audit {
        violations,
        verdict,
        converged,
    })
}

/// Whether a node logged so much that it must have retried something without a pause.
fn chatter(log: &str) -> Option<String> {
    let lines = log.lines().count();
    let last = log.lines().last().unwrap_or_default();
    (lines > LOG_LINES_MAX).then(|| format!("it wrote {lines} lines, the last: {last}"))
}

/// The log against the ledgers and the model.
///
/// # Errors
/// When the log cannot be read.
pub fn read_log(connection: &mut RawConnection, ledgers: &[Ledger]) -> Result<LogVerdict, Error> {
    let mut checker = LogAudit::new(ledgers);
    let from = wal::earliest(connection)?;
    wal::visit(connection, from, wal::PAGE_RECORDS, |record| {
        checker.record(&record)
    })?;
    Ok(checker.finish())
}

/// Every record of a node's log: its offset and a fingerprint of what it says.
///
/// # Errors
/// When the log cannot be read.
pub fn fingerprints(connection: &mut RawConnection) -> Result<Vec<(u64, u64)>, Error> {
    let from = wal::earliest(connection)?;
    let mut found = Vec::new();
    wal::visit(connection, from, wal::PAGE_RECORDS, |record| {
        let mut hasher = DefaultHasher::new();
        record.entry.to_string().hash(&mut hasher);
        found.push((record.offset, hasher.finish()));
    })?;
    Ok(found)
}

/// The first difference between the leader's log and another's.
pub fn difference(leader: &[(u64, u64)], other: &[(u64, u64)]) -> Option<String> {
    let differ = leader.iter().zip(other).position(|(one, two)| one != two);
    let shorter = leader.len().min(other.len());
    let at = differ.or((leader.len() != other.len()).then_some(shorter))?;
    Some(format!(
        "record {at} of its log is {:?}, the leader's {:?} (of {} and {} records)",
        other.get(at),
        leader.get(at),
        other.len(),
        leader.len()
    ))
}

/// The differences between GET or LIST and the content computed from the log.
///
/// # Errors
/// When the node does not answer.
pub fn wrong_instances(
    connection: &mut RawConnection,
    verdict: &LogVerdict,
    consistency: &str,
) -> Result<Vec<String>, Error> {
    let mut wrong = Vec::new();
    let list = json!({"limit": 1, "consistency": consistency});
    let total = connection.call("LIST_INSTANCES", &list)?["total"].as_u64();
    if total != Some(verdict.instances.len() as u64) {
        let expected = verdict.instances.len();
        wrong.push(format!("{total:?} instances instead of {expected}"));
    }
    let instances: Vec<(&String, &ModelInstance)> = verdict.instances.iter().collect();
    for some in instances.chunks(READS) {
        let asked: Vec<String> = some
            .iter()
            .map(|(id, _)| json!({"instance_id": id, "consistency": consistency}))
            .map(|params| connection.queue("GET_INSTANCE", &params))
            .collect();
        connection.flush()?;
        for _ in some {
            let RawMessage::Response { id, outcome } = connection.receive()? else {
                return Err(Error::Protocol("an event without a watch".to_owned()));
            };
            let at = asked.iter().position(|asked| *asked == id);
            let (name, expected) = some[at.ok_or(Error::Closed)?];
            let found = outcome.map_err(|body| Error::refused("GET_INSTANCE", body))?;
            if !is_as_expected(&found, expected) && wrong.len() < FINDINGS_MAX {
                wrong.push(format!("{name} is {found}, expected {expected:?}"));
            }
        }
    }
    Ok(wrong)
}

fn is_as_expected(found: &Value, expected: &ModelInstance) -> bool {
    found["state"] == expected.state
        && found["ctx"] == Value::Object(expected.ctx.clone())
        && found["last_wal_offset"] == expected.last_offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_missing_added_or_other_is_a_difference() {
        let leader = [(1, 10), (2, 20), (5, 50)];
        assert_eq!(difference(&leader, &leader), None);
        for other in [
            &[(1, 10), (5, 50)][..],
            &[(1, 10), (2, 20)],
            &[(1, 10), (2, 20), (5, 50), (6, 60)],
            &[(1, 10), (2, 21), (5, 50)],
            &[],
        ] {
            assert!(difference(&leader, other).is_some(), "{other:?}");
        }
    }

    #[test]
    fn a_node_that_tries_without_a_pause_is_found_by_what_it_says() {
        assert_eq!(chatter(&"not yet\n".repeat(LOG_LINES_MAX)), None);
        assert!(chatter(&"not yet\n".repeat(LOG_LINES_MAX + 1)).is_some());
    }

    #[test]
    fn an_instance_with_another_context_is_not_as_expected() {
        use crate::load::machines::TestMachine;
        let expected = ModelInstance::new(TestMachine::Counter, serde_json::Map::new(), 7);
        let found = json!({"state": "on", "ctx": {}, "last_wal_offset": 7});
        assert!(is_as_expected(&found, &expected));
        for (field, value) in [
            ("state", json!("off")),
            ("ctx", json!({"n": 1})),
            ("last_wal_offset", json!(8)),
        ] {
            let mut other = found.clone();
            other[field] = value;
            assert!(!is_as_expected(&other, &expected), "{field}");
        }
    }
}
