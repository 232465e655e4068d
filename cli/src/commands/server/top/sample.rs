//! What the servers say at one moment. A server that does not answer delays nothing for long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rstmdb_rcp::client::{Client, ClientOptions, WatchItem};
use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::message::instance::ListInstances;
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{ClusterInfo, InfoResult, NoParams};
use rstmdb_rcp::message::watch::WatchAll;

use super::metrics::{self, Scrape};
use crate::Error;
use crate::session::CliSession;

/// How long one node may take to answer.
const PATIENCE: Duration = Duration::from_millis(800);
/// How many of the newest offsets are looked at for the busiest machines.
const OFFSETS_MAX: u64 = 200;
/// How many events at these offsets; a batch has several.
const EVENTS_MAX: u64 = 2000;

/// One moment.
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) cluster: ClusterStatusResult<'static>,
    /// What the node of the session says of itself.
    pub(super) own: Option<ClusterInfo<'static>>,
    /// How long a linearizable read took; none if there was no answer in time.
    pub(super) read: Option<Duration>,
    /// What each node says of itself, and how long that took.
    pub(super) nodes: BTreeMap<u64, (ClusterInfo<'static>, Duration)>,
    pub(super) metrics: Vec<(String, Option<Scrape>)>,
}

/// Events of each machine per offset, and of how many offsets they are.
pub(super) type BusyMachines = BTreeMap<String, u64>;

pub(super) struct Sampler<'a> {
    session: &'a CliSession,
    /// Open connections, by node.
    nodes: BTreeMap<u64, Client>,
    metrics: &'a [String],
}

impl<'a> Sampler<'a> {
    pub(super) fn new(session: &'a CliSession, metrics: &'a [String]) -> Sampler<'a> {
        Sampler {
            session,
            nodes: BTreeMap::new(),
            metrics,
        }
    }

    pub(super) async fn sample(&mut self) -> Result<Sample, Error> {
        let session = self.session;
        let info: InfoResult<'static> = session.ask(op::INFO, &NoParams {}).await?;
        let cluster: ClusterStatusResult<'static> =
            session.ask(op::CLUSTER_STATUS, &NoParams {}).await?;
        let at = Instant::now();
        let (read, nodes, metrics) = tokio::join!(
            read(session),
            self.ask_nodes(&cluster),
            join_all(self.metrics.iter().map(async |addr| {
                let scraped = tokio::time::timeout(PATIENCE, metrics::scrape(addr)).await;
                (addr.clone(), scraped.ok().and_then(Result::ok))
            }))
        );
        self.nodes = nodes
            .iter()
            .map(|(id, (client, _))| (*id, client.clone()))
            .collect();
        let nodes = nodes.into_iter().map(|(id, (_, said))| (id, said));
        Ok(Sample {
            at,
            cluster,
            own: info.cluster,
            read,
            nodes: nodes.collect(),
            metrics,
        })
    }

    /// Asks each node for itself. A single node is the one of the session.
    async fn ask_nodes(
        &self,
        cluster: &ClusterStatusResult<'_>,
    ) -> BTreeMap<u64, (Client, (ClusterInfo<'static>, Duration))> {
        let asked = cluster.nodes.iter().map(async |node| {
            let known = match cluster.nodes.len() {
                1 => self.session.client().await.ok().cloned(),
                _ => self.nodes.get(&node.node_id).cloned(),
            };
            let said = tokio::time::timeout(PATIENCE, self.ask_node(known, &node.rcp_addr)).await;
            said.ok().flatten().map(|said| (node.node_id, said))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_node(
        &self,
        known: Option<Client>,
        addr: &str,
    ) -> Option<(Client, (ClusterInfo<'static>, Duration))> {
        let client = match known {
            Some(client) => client,
            None => {
                let options = ClientOptions {
                    addrs: vec![addr.to_owned()],
                    ..self.session.own_options()
                };
                Client::connect(options).await.ok()?
            }
        };
        let begin = Instant::now();
        let info = client.call(op::INFO, &NoParams {}).await.ok()?;
        let info: InfoResult<'static> = info.result;
        Some((client, (info.cluster?, begin.elapsed())))
    }

    /// The events of each machine between two samples, as a sample of the newest of them tells it.
    pub(super) async fn busiest(&self, before: &Sample, now: &Sample) -> BusyMachines {
        let (Some(before), Some(now)) = (&before.own, &now.own) else {
            return BusyMachines::new();
        };
        let (from, head) = (before.last_applied + 1, now.last_applied);
        let first = from.max(head.saturating_sub(OFFSETS_MAX - 1));
        // Another node answers, which is behind the one before; or nothing has happened.
        if first > head {
            return BusyMachines::new();
        }
        let counted = tokio::time::timeout(PATIENCE, self.events(first, head)).await;
        let mut counts = counted.ok().flatten().unwrap_or_default();
        for count in counts.values_mut() {
            *count = *count * (head - from + 1) / (head - first + 1);
        }
        counts
    }

    async fn events(&self, first: u64, head: u64) -> Option<BusyMachines> {
        let params = WatchAll {
            from_offset: Some(first),
            include_ctx: Some(false),
            ..WatchAll::default()
        };
        let client = self.session.client().await.ok()?;
        let mut watch = client.watch_all(&params).await.ok()?;
        let mut counts = BusyMachines::new();
        let mut seen = 0;
        while let Some(Ok(item)) = watch.next_item().await {
            match item {
                WatchItem::Event(event) if event.wal_offset <= head && seen < EVENTS_MAX => {
                    *counts.entry(event.machine.to_string()).or_default() += 1;
                    seen += 1;
                }
                WatchItem::Progress { wal_offset } if wal_offset < head => {}
                WatchItem::Event(_) | WatchItem::Progress { .. } => break,
            }
        }
        Some(counts)
    }
}

async fn read(session: &CliSession) -> Option<Duration> {
    let params = ListInstances {
        limit: Some(0),
        ..ListInstances::default()
    };
    let client = session.client().await.ok()?;
    let begin = Instant::now();
    let read = client.list_instances(&params);
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.ok()?.ok().map(|_| begin.elapsed())
}
