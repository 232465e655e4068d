//! Whole clusters of replicas with the real store on simulated disks, in one thread of virtual
//! time, by seed: links are cut and healed while clients write through every node.

mod alone;
mod clocks;
mod disks;
mod faults;
mod network;
mod scenarios;
mod shapes;
mod stalls;
mod watches;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{CompactionOptions, Done, Formation, Host, LogItem, Options, Replica, Types};
use rstmdb_engine::fact::Body;
use rstmdb_engine::{ApplyEvent, Command, CreateInstance, Limits, Outcome, PutMachine, State};
use rstmdb_raft_store::{self as raft_store, Data, FileSystem, MemFs, NodeInfo, Retention, Store};

use network::Network;

openraft::declare_raft_types!(
    /// The openraft types of the simulation.
    pub Sim:
        D = Data,
        R = Outcome,
        Node = NodeInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = SimRuntime,
);

impl Types for Sim {
    type Fs = MemFs;
}

/// How long a request waits for a leader.
const LEADER_WAIT: Duration = Duration::from_secs(2);

/// A node with less than this on its disk takes no writes.
const RESERVE_BYTES: u64 = 1 << 20;

/// What right wall clocks show when the first cluster of a simulation is formed, in milliseconds.
const WALL_BEGINS_MS: i64 = 1_700_000_000_000;

/// A wall clock that may be wrong, and a disk.
struct SimHost {
    began: InstantOf<Sim>,
    /// By how many milliseconds the clock is wrong.
    wrong_ms: Arc<AtomicI64>,
    disk: MemFs,
}

impl Host for SimHost {
    fn now_ms(&self) -> u64 {
        let passed = (Sim::now() - self.began).as_millis();
        let wall = WALL_BEGINS_MS + i64::try_from(passed).unwrap();
        u64::try_from(wall + self.wrong_ms.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn block(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(Path::new("/data")).ok()
    }
}

fn node_info(id: u64) -> NodeInfo {
    NodeInfo {
        peer_addr: format!("node{id}"),
        rcp_addr: format!("node{id}:7401"),
    }
}

fn options(node_id: u64, formation: Formation) -> Options {
    Options {
        node_id,
        node: node_info(node_id),
        formation,
        cluster_id: "sim".into(),
        cluster_name: "sim".into(),
        heartbeat: Duration::from_millis(100),
        election_timeout: (Duration::from_millis(500), Duration::from_millis(1000)),
        leader_wait: LEADER_WAIT,
        stall_timeout: Duration::from_secs(3),
        limits: Limits::default(),
        compaction: CompactionOptions {
            enabled: true,
            events_threshold: 1_000,
            size_threshold_bytes: u64::MAX,
            min_interval: Duration::ZERO,
            kept_behind_snapshot: 500,
            retention: Retention::default(),
        },
        clock_skew_max: Duration::from_secs(10),
        free_bytes_min: RESERVE_BYTES,
        costly_bytes: Options::COSTLY_BYTES,
    }
}

/// A cluster that is up.
struct Cluster {
    network: Network,
    nodes: BTreeMap<u64, Replica<Sim>>,
    disks: BTreeMap<u64, MemFs>,
    stores: BTreeMap<u64, Store<MemFs>>,
    /// By how many milliseconds each node's wall clock is wrong.
    clocks: BTreeMap<u64, Arc<AtomicI64>>,
    began: InstantOf<Sim>,
}

impl Cluster {
    /// Nodes 1 to `count`, formed together.
    async fn form(seed: u64, count: u64) -> Self {
        let members: BTreeMap<_, _> = (1..=count).map(|id| (id, node_info(id))).collect();
        let mut cluster = Self {
            network: Network::default(),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            stores: BTreeMap::new(),
            clocks: BTreeMap::new(),
            began: Sim::now(),
        };
        for id in 1..=count {
            let formation = Formation::Together(members.clone());
            cluster.boot(seed, id, formation).await;
        }
        cluster
    }

    async fn boot(&mut self, seed: u64, id: u64, formation: Formation) {
        let mut store_options = raft_store::Options::new("/data");
        store_options.catalog = false;
        store_options.segment_bytes = 64 * 1024;
        let disk = MemFs::new(seed * 100 + id);
        let (store, writer) = Store::open(disk.clone(), store_options).unwrap();
        drop(Sim::spawn(writer.drive()));
        let link = self.network.of(id);
        let host = Arc::new(SimHost {
            began: self.began,
            wrong_ms: self.clocks.entry(id).or_default().clone(),
            disk: disk.clone(),
        });
        self.disks.insert(id, disk);
        self.stores.insert(id, store.clone());
        let options = options(id, formation);
        let peers = Arc::new(link.clone());
        let replica = Replica::start(store, options, host, link, peers).await;
        let replica = replica.unwrap();
        self.network.attach(id, &replica);
        self.nodes.insert(id, replica);
    }

    fn node(&self, id: u64) -> &Replica<Sim> {
        &self.nodes[&id]
    }

    /// Waits until all nodes agree on a leader, and names it.
    async fn leader(&self) -> u64 {
        self.wait("a leader", || {
            let leaders: Vec<_> = self
                .nodes
                .values()
                .map(|node| node.status().leader)
                .collect();
            let first = leaders[0]?;
            leaders
                .iter()
                .all(|leader| *leader == Some(first))
                .then_some(first)
        })
        .await
    }

    /// Waits until all nodes have applied the same and have the same digest. Then the bookkeeping of each must be
    /// right.
    async fn converge(&self) {
        self.wait("convergence", || {
            let ends: Vec<_> = self
                .nodes
                .values()
                .map(|node| (node.log_end(), node.report().applied))
                .collect();
            let (end, applied) = ends[0];
            (ends.iter().all(|other| *other == ends[0]) && end == applied.0).then_some(())
        })
        .await;
        for (id, node) in &self.nodes {
            let state = node.with_state(State::check_invariants);
            assert_eq!(state, Ok(()), "node {id}");
            assert_eq!(node.check_invariants(), Ok(()), "node {id}");
            self.stores[id].check_invariants();
        }
    }

    /// Polls in virtual time.
    async fn wait<R>(&self, what: &str, mut look: impl FnMut() -> Option<R>) -> R {
        for _ in 0..3_000 {
            if let Some(found) = look() {
                return found;
            }
            Sim::sleep(Duration::from_millis(10)).await;
        }
        let standing: Vec<_> = self.nodes.values().map(Replica::report).collect();
        panic!("no {what} within 30 s: {standing:#?}");
    }
}

fn in_simulation<R>(seed: u64, run: impl Future<Output = R>) -> R {
    SimRuntime::with_seed(seed).block_on(run)
}

async fn submit(replica: &Replica<Sim>, command: Command) -> Result<Done, rstmdb::replica::Error> {
    replica.submit(command, Arc::from("test")).await
}

fn machine() -> Command {
    Command::PutMachine(PutMachine {
        machine: "counter".into(),
        version: 1,
        definition: Bytes::from_static(
            br#"{"states":["ON"],"initial":"ON","transitions":[
                {"from":"ON","event":"SET","to":"ON","guard":"ctx.n < 1000000"}]}"#,
        ),
        checksum: None,
    })
}

fn create(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "counter".into(),
        version: 1,
        initial_ctx: Some(Bytes::from_static(br#"{"n":0}"#)),
        idempotency_key: Some(format!("create-{id}")),
    })
}

fn set(id: &str, n: u64, keyed: bool) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.into(),
        event: "SET".into(),
        payload: Some(Bytes::from(format!(r#"{{"n":{n}}}"#))),
        idempotency_key: keyed.then(|| format!("set-{n}")),
        ..ApplyEvent::default()
    })
}

/// What each instance was set to, in the order of the log, as one node shows it.
fn values_in_log(replica: &Replica<Sim>) -> BTreeMap<String, Vec<u64>> {
    let mut values: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut from = 0;
    loop {
        let page = replica.log_read(from, 1000).unwrap();
        for (_, item) in &page.items {
            let LogItem::Facts(entry) = item else {
                continue;
            };
            for fact in &entry.facts {
                if let Some(Body::ApplyEvent(event)) = &fact.body {
                    let ctx: serde_json::Value = serde_json::from_slice(&event.ctx).unwrap();
                    let list = values.entry(event.instance_id.clone()).or_default();
                    list.push(ctx["n"].as_u64().unwrap());
                }
            }
        }
        if page.items.is_empty() {
            return values;
        }
        from = page.next_offset;
    }
}
