//! What must hold when all trouble is over.

use std::collections::BTreeMap;

use rstmdb::replica::LogItem;
use rstmdb::server::product::Replica;
use rstmdb_engine::fact::Body;

use super::load::{Told, value};

/// What each instance was set to, in the order of the log.
pub type Values = BTreeMap<String, Vec<u64>>;

/// As one node shows it.
pub fn values_in_log(replica: &Replica) -> Values {
    let mut values = Values::new();
    let mut from = 0;
    loop {
        let page = replica.log_read(from, 1000).unwrap();
        for (_, item) in &page.items {
            let LogItem::Facts(entry) = item else {
                continue;
            };
            for fact in &entry.facts {
                if let Some(Body::ApplyEvent(event)) = &fact.body {
                    let list = values.entry(event.instance_id.clone()).or_default();
                    list.push(value(&event.ctx));
                }
            }
        }
        if page.items.is_empty() {
            return values;
        }
        from = page.next_offset;
    }
}

/// Checks order, exactly once and definite refusals. Adds each violation to the list.
pub fn told(instance: &str, told: &Told, values: &[u64], wrong: &mut Vec<String>) {
    if values.windows(2).any(|pair| pair[0] >= pair[1]) {
        wrong.push(format!("{instance} out of order or doubled: {values:?}"));
    }
    for n in &told.done {
        if values.binary_search(n).is_err() {
            wrong.push(format!("{instance}={n} was acknowledged and is lost"));
        }
    }
    for n in &told.nothing_changed {
        if values.contains(n) {
            wrong.push(format!("{instance}={n} was denied and took effect"));
        }
    }
}

/// Whether all nodes have applied the same, with all history.
pub fn converged(nodes: &BTreeMap<u64, Replica>, count: u64) -> bool {
    let ends: Vec<_> = nodes
        .values()
        .map(|node| {
            let report = node.report();
            (node.log_end(), report.applied, report.earliest_offset)
        })
        .collect();
    let Some((end, applied, earliest)) = ends.first() else {
        return false;
    };
    let same = ends.iter().all(|other| *other == ends[0]);
    same && ends.len() as u64 == count && *end == applied.0 && *earliest <= 1
}

/// What differs between nodes that have converged.
pub fn differences(nodes: &BTreeMap<u64, Replica>, wrong: &mut Vec<String>) -> Values {
    let logs: BTreeMap<u64, Values> = nodes
        .iter()
        .map(|(id, node)| (*id, values_in_log(node)))
        .collect();
    let first = logs.values().next().cloned().unwrap_or_default();
    for (id, log) in &logs {
        if *log != first {
            wrong.push(format!("the log of node {id} differs from the first's"));
        }
    }
    for (id, node) in nodes {
        let (digest, recomputed) =
            node.with_state(|state| (state.digest(), state.recompute_digest()));
        if digest != recomputed {
            wrong.push(format!("the digest of node {id} is not that of its state"));
        }
    }
    first
}

#[test]
fn what_is_doubled_lost_or_denied_and_done_is_found() {
    let told_of = |done: &[u64], nothing: &[u64], values: &[u64]| {
        let told_of = Told {
            done: done.to_vec(),
            nothing_changed: nothing.to_vec(),
        };
        let mut wrong = Vec::new();
        told("i", &told_of, values, &mut wrong);
        wrong.len()
    };
    assert_eq!(told_of(&[1, 3], &[2], &[1, 3, 4]), 0);
    assert_eq!(told_of(&[], &[], &[1, 1]), 1);
    assert_eq!(told_of(&[], &[], &[2, 1]), 1);
    assert_eq!(told_of(&[2], &[], &[1, 3]), 1);
    assert_eq!(told_of(&[], &[2], &[1, 2]), 1);
}
