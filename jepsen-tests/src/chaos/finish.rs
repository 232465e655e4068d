//! The end of a run: whether the cluster heals by itself, and what it then holds.

use std::path::Path;
use std::time::{Duration, Instant};

use rstmdb_raft_store::Keyring;

use super::check::truth::Truth;
use super::check::{self, CheckerResult, Verdict, Violation};
use super::client::Shared;
use super::history::Entry;
use super::nemesis::Span;
use super::nodes::Nodes;
use super::run::{self, Plan};
use super::watching::Watching;
use super::workload;
use crate::observer::Seen;
use crate::process::last_lines;
use crate::raw::Connection;
use crate::rng::Rng;
use crate::within::within;
use crate::{Error, audit, wal};

/// How long a cluster may take, once nothing is wrong any more, until all nodes serve and hold the same.
const HEALED_WITHIN: Duration = Duration::from_secs(30);
/// How long a node that joined may take to fetch what happened before.
const HISTORY_WITHIN: Duration = Duration::from_secs(30);

/// How much of a log goes with a finding.
pub const TAIL_LINES: usize = 5;

/// A run whose load and faults have ended.
pub struct Ended<'a> {
    /// What it was to be.
    pub plan: &'a Plan,
    /// What went wrong.
    pub spans: &'a [Span],
    /// What nodes did that no fault explains.
    pub findings: Vec<String>,
    /// How many clients panicked.
    pub panicked: usize,
    /// The encryption keys; empty for none.
    pub keys: &'a str,
}

impl Ended<'_> {
    /// Waits until the nodes agree, compares what they hold, stops them, and checks what clients were told.
    ///
    /// # Errors
    /// When something could not be looked at.
    pub fn judge(
        self,
        nodes: &mut dyn Nodes,
        shared: &Shared,
        watching: Watching,
        rng: &mut Rng,
        scratch: &Path,
    ) -> Result<(Vec<Entry>, Vec<CheckerResult>), Error> {
        let (healed, took) = converge(nodes);
        let mut results = vec![healed];
        if !results[0].is_valid() {
            // Nothing more can be read from nodes that do not agree.
            results.push(self.behaviour(nodes));
            return Ok((shared.recorder.finish(), results));
        }
        results[0].notes.push(format!("after {took:.1?}"));
        workload::read_at_last(shared, rng);
        let (same, events) = same_logs(nodes)?;
        results.push(same);
        results.push(watched(watching, &events));
        for id in nodes.ids() {
            nodes.stop(id)?;
        }
        results.push(self.behaviour(nodes));
        results.push(self.coverage(shared));
        let entries = shared.recorder.finish();
        match self.truth(nodes, scratch) {
            Ok(truth) => results.extend(check::check_all(&workload::all(), &entries, &truth)),
            Err(why) => results.push(check::failed("log", &why)),
        }
        Ok((entries, results))
    }

    fn truth(&self, nodes: &dyn Nodes, scratch: &Path) -> Result<Truth, String> {
        let keys = match self.keys {
            "" => Keyring::default(),
            keys => Keyring::parse(keys).map_err(|error| error.to_string())?,
        };
        let folders = run::folders(nodes, scratch).map_err(|error| error.to_string())?;
        Truth::from_folders(&folders, &keys).map_err(|error| error.to_string())
    }

    /// Whether processes ended or panicked without a reason, and whether the suite itself did.
    fn behaviour(&self, nodes: &dyn Nodes) -> CheckerResult {
        let mut wrong = self.findings.clone();
        for (name, text) in logs(nodes) {
            // The catalog is derived data in a library that panics when its disk fails; the node catches that.
            let panics = text.lines().filter(|line| line.contains("panicked at"));
            let panics = panics.filter(|line| !line.contains("/sled-"));
            wrong.extend(panics.take(3).map(|line| format!("{name}: {line}")));
        }
        if self.panicked > 0 {
            let why = format!("{} clients of the suite panicked", self.panicked);
            return check::failed("nodes", &why);
        }
        verdict("nodes", nodes.ids().len(), wrong)
    }

    /// A run without the faults it was to have, or without success, shows nothing.
    fn coverage(&self, shared: &Shared) -> CheckerResult {
        let mut missing = self.plan.kinds();
        for span in self.spans {
            missing.remove(&span.kind);
        }
        let done = shared.recorder.done();
        let mut result = verdict("coverage", self.spans.len(), Vec::new());
        if done == 0 {
            result.verdict = Verdict::Unknown("no request was done".to_owned());
        } else if !missing.is_empty() {
            result.verdict = Verdict::Unknown(format!("these never came about: {missing:?}"));
        }
        result.notes.push(format!("{done} requests done"));
        result
    }
}

/// What each node wrote, by the name of a file for it.
pub fn logs(nodes: &dyn Nodes) -> Vec<(String, String)> {
    let ids = nodes.ever().into_iter();
    ids.filter_map(|id| Some((format!("node-{id}.log"), nodes.log(id).ok()?)))
        .collect()
}

fn verdict(checker: &str, operations: usize, wrong: Vec<String>) -> CheckerResult {
    let violations = wrong
        .into_iter()
        .map(|what| Violation::new(what, None, [], []));
    let violations: Vec<Violation> = violations.collect();
    CheckerResult {
        checker: checker.to_owned(),
        subject: "all".to_owned(),
        operations,
        verdict: if violations.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Invalid(violations)
        },
        notes: Vec::new(),
    }
}

/// Waits until all members have applied the same offset and have the same state there.
fn converge(nodes: &dyn Nodes) -> (CheckerResult, Duration) {
    let begun = Instant::now();
    let agreed = within(HEALED_WITHIN, || {
        let mut seen = Vec::new();
        for id in nodes.ids() {
            let info = nodes
                .info(id)
                .map_err(|error| format!("node {id}: {error}"))?;
            if info["leader"].is_null() {
                return Err(format!("node {id} knows no leader"));
            }
            let digest = info["state_digest"].as_str().unwrap_or_default().to_owned();
            seen.push((id, info["last_applied"].as_u64(), digest));
        }
        let agree = seen
            .windows(2)
            .all(|two| two[0].1 == two[1].1 && two[0].2 == two[1].2);
        match agree && !seen.is_empty() {
            true => Ok(()),
            false => Err(format!("the nodes do not agree: {seen:?}")),
        }
    });
    let mut wrong = Vec::new();
    if let Err(error) = agreed {
        wrong.push(error.to_string());
        for (name, text) in logs(nodes) {
            let tail = last_lines(&text, TAIL_LINES);
            wrong.push(format!("{name} ends with:\n{tail}"));
        }
    }
    (verdict("healed", nodes.ids().len(), wrong), begun.elapsed())
}

/// Whether WAL_READ shows the same everywhere; and all events.
fn same_logs(nodes: &dyn Nodes) -> Result<(CheckerResult, Vec<Seen>), Error> {
    let first = nodes
        .leader()
        .or_else(|| nodes.ids().first().copied())
        .unwrap_or(1);
    let mut events = Vec::new();
    let mut connection = Connection::connect(nodes.addr(first)?)?;
    let from = wal::earliest(&mut connection)?;
    wal::visit(&mut connection, from, wal::PAGE_RECORDS, |record| {
        events.extend(record.seen());
    })?;
    let log = audit::fingerprints(&mut connection)?;
    let mut wrong = Vec::new();
    for id in nodes.ids() {
        let compared = within(HISTORY_WITHIN, || {
            let other = Connection::connect(nodes.addr(id).map_err(|error| error.to_string())?)
                .and_then(|mut connection| audit::fingerprints(&mut connection))
                .map_err(|error| error.to_string())?;
            audit::difference(&log, &other).map_or(Ok(()), Err)
        });
        wrong.extend(
            compared
                .err()
                .map(|error| format!("node {id} and {first}: {error}")),
        );
    }
    Ok((verdict("wal_read", log.len(), wrong), events))
}

fn watched(watching: Watching, events: &[Seen]) -> CheckerResult {
    let watched = watching.finish(events);
    let mut result = verdict("watch", events.len(), watched.violations);
    let connections = watched.connections;
    result.notes.push(format!(
        "{connections} connections, {:?} events seen",
        watched.events
    ));
    result
}
