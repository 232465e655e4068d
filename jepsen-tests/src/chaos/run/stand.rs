//! How far the leader has come when the cluster rests, compared with the log on the disks.

use crate::chaos::check::truth::Truth;
use crate::chaos::check::{self, CheckVerdict, CheckerResult, Violation};
use crate::chaos::nodes::Nodes;

/// The offset up to which the leader has applied the log, and its state there.
pub(super) struct Stand {
    applied: u64,
    digest: String,
    /// The head of the chain over the log, if it has begun.
    head: Option<String>,
}

/// How far the leader has come.
pub(super) fn stand(nodes: &dyn Nodes) -> Option<Stand> {
    let info = nodes.info(nodes.leader()?).ok()?;
    Some(Stand {
        applied: info["last_applied"].as_u64()?,
        digest: info["state_digest"].as_str()?.to_owned(),
        head: info["chain"]["head"].as_str().map(ToOwned::to_owned),
    })
}

/// Whether the nodes' common state is the one that the log on their disks gives. An event that was still in
/// flight may be applied after the state was read.
pub(super) fn is_of_the_log(stand: Option<Stand>, truth: &Truth) -> CheckerResult {
    let Some(Stand {
        applied,
        digest,
        head,
    }) = stand
    else {
        return check::failed("state", "no leader reported its state");
    };
    let last = truth.facts().last().map_or(0, |fact| fact.offset);
    let is_other = digest != truth.digest && last <= applied;
    let what = format!(
        "at offset {applied} the state's digest is {digest}, but the log gives {}",
        truth.digest
    );
    let expected = truth.heads.get(&applied);
    let is_other_head = last <= applied && expected != head.as_ref();
    let of_head = format!(
        "at offset {applied} the head of the chain is {head:?}, but the log gives {expected:?}"
    );
    let wrong = [(is_other, what), (is_other_head, of_head)];
    let wrong = wrong.into_iter().filter(|(is_wrong, _)| *is_wrong);
    let wrong = wrong.map(|(_, what)| what).collect();
    let mut result = verdict("state", 1, wrong);
    if last > applied {
        result.verdict = CheckVerdict::Unknown(format!("the log went on from {applied} to {last}"));
    }
    result
}

/// The result of a check that has found this.
pub(super) fn verdict(checker: &str, operations: usize, wrong: Vec<String>) -> CheckerResult {
    let violations = wrong
        .into_iter()
        .map(|what| Violation::new(what, None, [], []));
    let violations: Vec<Violation> = violations.collect();
    CheckerResult {
        checker: checker.to_owned(),
        subject: "all".to_owned(),
        operations,
        verdict: if violations.is_empty() {
            CheckVerdict::Valid
        } else {
            CheckVerdict::Invalid(violations)
        },
        notes: Vec::new(),
    }
}
