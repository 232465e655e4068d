//! From two samples to what has happened between them.

use std::time::Duration;

use rstmdb_rcp::message::cluster::NodeStatus;

use super::sample::{BusyMachines, Sample};
use crate::render::status;
use crate::render::top::{BusyMachine, TopFrame, TopNode, TopServer};

/// Most machines that are listed.
const MACHINES_MAX: usize = 10;

pub(super) fn frame(before: &Sample, now: &Sample, busy: BusyMachines) -> TopFrame {
    let time = now.at.duration_since(before.at);
    let applied = |of: &Sample| {
        of.cluster
            .nodes
            .iter()
            .filter_map(|node| node.applied)
            .max()
    };
    let mut machines: Vec<BusyMachine> = busy
        .into_iter()
        .map(|(machine, events)| BusyMachine {
            machine,
            events_per_sec: per_sec(events as f64, time),
        })
        .collect();
    machines.sort_by(|a, b| b.events_per_sec.total_cmp(&a.events_per_sec));
    machines.truncate(MACHINES_MAX);
    TopFrame {
        cluster: now.cluster.cluster_name.to_string(),
        leader: now.cluster.leader,
        term: now.cluster.term,
        interval_ms: millis(time),
        entries_per_sec: rate(applied(before), applied(now), time),
        read_ms: now.read.map(millis),
        instances: now.own.as_ref().map(|own| own.instances),
        nodes: now
            .cluster
            .nodes
            .iter()
            .map(|node| top_node(node, before, now, time))
            .collect(),
        servers: servers(before, now, time),
        machines,
        attention: status::problems(&now.cluster),
    }
}

fn top_node(node: &NodeStatus<'_>, before: &Sample, now: &Sample, time: Duration) -> TopNode {
    let earlier = before.cluster.nodes.iter();
    let earlier = earlier.filter(|it| it.node_id == node.node_id);
    let earlier = earlier.filter_map(|it| it.applied).next();
    let said = now.nodes.get(&node.node_id);
    TopNode {
        node_id: node.node_id,
        rcp_addr: node.rcp_addr.to_string(),
        role: status::role(node).to_owned(),
        applied: node.applied,
        lag: node.lag.filter(|_| now.cluster.leader.is_some()),
        entries_per_sec: rate(earlier, node.applied, time),
        answer_ms: said.map(|(_, took)| millis(*took)),
        connections: said.map(|(info, _)| info.connections),
    }
}

fn servers(before: &Sample, now: &Sample, time: Duration) -> Vec<TopServer> {
    let pairs = before.metrics.iter().zip(&now.metrics);
    pairs
        .map(|((_, before), (addr, now))| {
            let since = now.as_ref().zip(before.as_ref());
            let since = since.and_then(|(now, before)| now.since(before));
            // The last bucket has no bound.
            let bound = |part: f64| {
                let bound = since.as_ref()?.quantile(part)?;
                bound.is_finite().then_some(bound * 1e3)
            };
            TopServer {
                metrics_addr: addr.clone(),
                requests_per_sec: since.as_ref().map(|it| per_sec(it.requests, time)),
                p50_ms: bound(0.5),
                p99_ms: bound(0.99),
                syncs_per_sec: since.as_ref().map(|it| per_sec(it.syncs, time)),
                sync_ms: since
                    .as_ref()
                    .filter(|it| it.syncs > 0.0)
                    .map(|it| it.sync_secs / it.syncs * 1e3),
            }
        })
        .collect()
}

fn rate(before: Option<u64>, now: Option<u64>, time: Duration) -> Option<f64> {
    let entries = now?.saturating_sub(before?);
    Some(per_sec(entries as f64, time))
}

/// To a tenth: more digits would only look exact.
fn per_sec(count: f64, time: Duration) -> f64 {
    let secs = time.as_secs_f64().max(1e-3);
    (count / secs * 10.0).round() / 10.0
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
