//! The end of a run: checks that the cluster heals without help, and compares the content of its nodes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rstmdb_raft_store::Keyring;

use super::stand::{is_of_the_log, stand, verdict};
use super::{ChaosPlan, folders};
use crate::chaos::check::truth::{self, Truth};
use crate::chaos::check::{self, CheckVerdict, CheckerResult};
use crate::chaos::clients::client::{ClientsShared, NodeDirectory};
use crate::chaos::clients::watchers::{ChaosWatchers, WatchedEvents};
use crate::chaos::clients::workload;
use crate::chaos::fault;
use crate::chaos::history::{HistoryEntry, Workload};
use crate::chaos::nemesis::{Came, TAIL_LINES};
use crate::chaos::nodes::Nodes;
use crate::chaos::schedule::FaultKind;
use crate::harness::rng::Rng;
use crate::harness::wait::within;
use crate::process::node::last_lines;
use crate::rcp::raw::RawConnection;
use crate::rcp::wal;
use crate::{Error, audit};

/// How long a cluster may take after the last fault until all nodes serve and hold the same.
const HEALED_WITHIN: Duration = Duration::from_secs(30);
/// At most this many differences are shown.
const WRONG_MAX: usize = 10;
/// How long a node that joined may take to fetch the history from before it joined.
const HISTORY_WITHIN: Duration = Duration::from_secs(30);

/// The facts that WAL_READ has shown, each with its offset and its fingerprint, and what could not be read.
type ShownFacts = Vec<Result<(u64, u64), String>>;

/// A run whose load and faults have ended.
pub struct EndedRun<'a> {
    /// Its plan.
    pub plan: &'a ChaosPlan,
    /// The faults, and the actions of nodes that no fault explains.
    pub came: &'a Came,
    /// How many clients panicked.
    pub panicked: usize,
    /// The encryption keys; empty for none.
    pub keys: &'a str,
}

impl EndedRun<'_> {
    /// Waits until the nodes agree, compares what they hold, stops them, and checks the answers to clients.
    /// A check that cannot be made is a result too. The other checks continue.
    pub fn judge(
        self,
        nodes: &mut dyn Nodes,
        shared: &ClientsShared,
        watchers: ChaosWatchers,
        rng: &mut Rng,
        scratch: &Path,
    ) -> (Vec<HistoryEntry>, Vec<CheckerResult>) {
        let (mut healed, took) = converge(nodes);
        if healed.is_valid() {
            // Timers fire for ever, and locks expire. The log must come to rest before anything is compared.
            healed = match workload::rest(shared, rng) {
                Ok(()) => converge(nodes).0,
                Err(error) => check::failed("healed", &error.to_string()),
            };
        }
        let mut results = vec![healed];
        if !results[0].is_valid() {
            // If the nodes do not agree, there is no common log to check against.
            results.push(self.behaviour(nodes));
            return (shared.recorder.finish(), results);
        }
        results[0].notes.push(format!("after {took:.1?}"));
        workload::read_at_last(shared, rng);
        let mut shown = ShownFacts::new();
        match same_logs(nodes) {
            Ok((same, events, facts)) => {
                results.push(same);
                shown = facts;
                results.push(watched(nodes, watchers, &events));
            }
            Err(error) => results.push(check::failed("wal_read", &error.to_string())),
        }
        results.push(placed(nodes));
        let stand = stand(nodes);
        results.push(stop(nodes));
        results.push(self.behaviour(nodes));
        let entries = shared.recorder.finish();
        results.push(self.coverage(&entries));
        match self.truth(nodes, scratch) {
            Ok(truth) => {
                results.push(is_of_the_log(stand, &truth));
                let began_ms = shared.recorder.began_ms();
                results.push(check::log_time(&entries, &truth, began_ms));
                results.push(as_on_disk(&shown, &truth));
                results.extend(check::check_all(&workload::all(), &entries, &truth));
                results.extend(self.not_upgraded(&results));
            }
            Err(why) => results.push(check::failed("log", &why)),
        }
        (entries, results)
    }

    /// The results of a run whose faults could not be begun or ended.
    pub fn broken_off(
        self,
        nodes: &dyn Nodes,
        shared: &ClientsShared,
        why: &Error,
    ) -> (Vec<HistoryEntry>, Vec<CheckerResult>) {
        let failed = check::failed("the run", &why.to_string());
        let results = vec![failed, self.behaviour(nodes)];
        (shared.recorder.finish(), results)
    }

    /// A run with an upgrade in which nothing was refused for the level shows nothing of it.
    fn not_upgraded(&self, results: &[CheckerResult]) -> Option<CheckerResult> {
        let is_missing = self.plan.kinds().contains(&FaultKind::Upgrade)
            && !results.iter().any(|result| result.checker == check::LEVEL);
        is_missing.then(|| {
            check::failed(
                check::LEVEL,
                "nothing was refused before the level was raised",
            )
        })
    }

    fn truth(&self, nodes: &dyn Nodes, scratch: &Path) -> Result<Truth, String> {
        let keys = match self.keys {
            "" => Keyring::default(),
            keys => Keyring::parse(keys).map_err(|error| error.to_string())?,
        };
        let folders = folders(nodes, scratch).map_err(|error| error.to_string())?;
        Truth::from_folders(&folders, &keys).map_err(|error| error.to_string())
    }

    /// Whether processes ended or panicked without a fault, and whether the suite itself panicked.
    fn behaviour(&self, nodes: &dyn Nodes) -> CheckerResult {
        let mut wrong = self.came.findings.clone();
        wrong.extend(nodes.tokens().unwrap_or_default().refused());
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

    /// A run without its planned faults, or without successful requests, shows nothing.
    fn coverage(&self, entries: &[HistoryEntry]) -> CheckerResult {
        let mut missing = self.plan.kinds();
        let has_none = missing.is_empty();
        for span in &self.came.spans {
            missing.remove(&span.kind);
        }
        let done = entries.iter().filter(|entry| entry.result().is_some());
        let by_clients = done.filter(|entry| entry.client != workload::SUITE);
        let mut count = 0;
        let mut idle: BTreeSet<Workload> = workload::all().into_iter().collect();
        for entry in by_clients {
            count += 1;
            idle.remove(&entry.workload);
        }
        let mut result = verdict("coverage", self.came.spans.len(), Vec::new());
        if !idle.is_empty() {
            result.verdict = CheckVerdict::Unknown(format!("no request of {idle:?} succeeded"));
        } else if has_none {
            result.verdict = CheckVerdict::Unknown("there was no fault".to_owned());
        } else if !missing.is_empty() {
            result.verdict =
                CheckVerdict::Unknown(format!("these faults never began: {missing:?}"));
        }
        result.notes.push(format!("{count} requests done"));
        if self.came.missed > 0 {
            let missed = self.came.missed;
            result
                .notes
                .push(format!("{missed} more faults found no node to affect"));
        }
        result
    }
}

/// The log of each node, by its file name in the report.
pub fn logs(nodes: &dyn Nodes) -> Vec<(String, String)> {
    let ids = nodes.ever().into_iter();
    ids.filter_map(|id| Some((format!("node-{id}.log"), nodes.log(id).ok()?)))
        .collect()
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
            let head = info["chain"]["head"].as_str().unwrap_or_default();
            let state = format!("{digest} {head}");
            seen.push((id, info["last_applied"].as_u64(), state));
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

/// Stops all nodes as an operator would. A node that cannot close its log in time, on a disk that hangs, reports
/// that and exits anyway: this breaks no promise, but it counts as inconclusive, which fails the run.
fn stop(nodes: &mut dyn Nodes) -> CheckerResult {
    let ids = nodes.ids();
    let mut wrong = Vec::new();
    for id in &ids {
        if let Err(error) = nodes.stop(*id) {
            wrong.push(format!("node {id}: {error}"));
        }
    }
    match wrong.is_empty() {
        true => verdict("stopped", ids.len(), wrong),
        false => check::failed("stopped", &wrong.join("; ")),
    }
}

/// Whether WAL_READ shows the same everywhere; and all events.
fn same_logs(nodes: &dyn Nodes) -> Result<(CheckerResult, WatchedEvents, ShownFacts), Error> {
    let first = nodes
        .leader()
        .or_else(|| nodes.ids().first().copied())
        .unwrap_or(1);
    let (mut events, mut shown) = (WatchedEvents::default(), ShownFacts::new());
    let mut connection = RawConnection::connect(nodes.addr(first)?)?;
    let from = wal::earliest(&mut connection)?;
    wal::visit(&mut connection, from, wal::PAGE_RECORDS, |record| {
        events.take(&record);
        let fact = truth::of_record(&record, 0).map_err(|error| error.to_string());
        shown.extend(
            fact.transpose()
                .map(|fact| fact.map(|fact| fact.fingerprint())),
        );
    })?;
    let log = audit::fingerprints(&mut connection)?;
    let mut wrong = Vec::new();
    for id in nodes.ids() {
        let compared = within(HISTORY_WITHIN, || {
            let other = RawConnection::connect(nodes.addr(id).map_err(|error| error.to_string())?)
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
    Ok((verdict("wal_read", log.len(), wrong), events, shown))
}

/// Whether every node reports each member at the addresses of that member's configuration, once.
fn placed(nodes: &mut dyn Nodes) -> CheckerResult {
    let ids = nodes.ids();
    let mut wrong = Vec::new();
    for id in &ids {
        let mut found = Ok(None);
        // A member that has announced itself just now is on its way to every node.
        let agreed = within(HEALED_WITHIN, || {
            found = fault::misplaced(nodes, *id).map_err(|error| error.to_string());
            match &found {
                Ok(None) => Ok(()),
                Ok(Some(what)) | Err(what) => Err(what.clone()),
            }
        });
        wrong.extend(agreed.err().map(|error| error.to_string()));
    }
    verdict("members", ids.len(), wrong)
}

/// Whether WAL_READ has shown what the log on the disks holds, with all that was said about the writes.
fn as_on_disk(shown: &ShownFacts, truth: &Truth) -> CheckerResult {
    let facts = truth.facts();
    let mut wrong = Vec::new();
    for (shown, fact) in shown.iter().zip(facts) {
        match shown {
            Ok(shown) if *shown == fact.fingerprint() => {}
            Ok((offset, _)) => wrong.push(format!(
                "at {offset} WAL_READ shows something else than {fact:?}"
            )),
            Err(what) => wrong.push(what.clone()),
        }
    }
    // Events that were still in flight may have come behind the last page.
    if shown.len() > facts.len() {
        wrong.push(format!(
            "WAL_READ shows {} facts, and the log has {}",
            shown.len(),
            facts.len()
        ));
    }
    wrong.truncate(WRONG_MAX);
    verdict("wal_read of the disks", shown.len(), wrong)
}

/// What the watchers of the run saw, and what each node shows to one that begins now at the first offset: nodes read most
/// of that from the files of their logs.
fn watched(
    nodes: &dyn Nodes,
    mut watchers: ChaosWatchers,
    events: &WatchedEvents,
) -> CheckerResult {
    for id in nodes.ids() {
        if let Ok(addr) = nodes.addr(id) {
            let only = NodeDirectory::new(vec![(id, addr)].into());
            watchers.add_including(&format!("a late watcher of lives on node {id}"), &only);
        }
    }
    let watched = watchers.finish(events);
    let mut result = verdict("watch", events.all.len(), watched.violations);
    let connections = watched.connections;
    result.notes.push(format!(
        "{connections} connections, {:?} events seen",
        watched.events
    ));
    result
}
