//! Requests that one connection sends to one instance without waiting for answers take effect in the order of
//! sending (the protocol's promise on pipelines).

use std::collections::BTreeMap;

use crate::chaos::check::ops::{self, InstanceOp};
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::Truth;
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "pipelined";

/// Compares what was acknowledged of each pipeline, instance by instance.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    _truth: &Truth,
) -> Vec<CheckerResult> {
    let mut by_pipeline: BTreeMap<(u64, &str), Vec<InstanceOp<'_>>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.pipeline != 0) {
        for op in ops::of(entry).into_iter().filter(InstanceOp::is_write) {
            let sent = by_pipeline.entry((entry.pipeline, op.instance));
            sent.or_default().push(op);
        }
    }
    if by_pipeline.is_empty() {
        return Vec::new();
    }
    let mut tally = Tally::default();
    for sent in by_pipeline.into_values() {
        check_one(sent, &mut tally);
    }
    vec![tally.finish(NAME, Workload::Register.name())]
}

/// Compares the writes of one pipeline to one instance, in the order in which they were sent.
fn check_one(mut sent: Vec<InstanceOp<'_>>, tally: &mut Tally) {
    tally.operations += sent.len();
    // Stable: those of a pipeline began at one time, and stand in their order.
    sent.sort_by_key(|op| op.entry.begun);
    let done = sent.iter().filter_map(|op| Some((op, op.offset()?)));
    let done: Vec<_> = done.collect();
    // A single request has no order.
    for two in done.windows(2) {
        tally.succeeded += 1;
        let [(first, before), (second, after)] = two else {
            continue;
        };
        if before >= after {
            tally.violation(Violation::new(
                format!("out of order: what took effect at {after} was sent behind {before}, on one connection"),
                Some(first.instance),
                [first.entry, second.entry],
                [],
            ));
        }
    }
}
