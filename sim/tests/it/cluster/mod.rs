//! Whole clusters of replicas in one situation each: links are cut and healed, disks fill up and clocks jump while
//! clients write through every node.

mod alone;
mod clocks;
mod disks;
mod faults;
mod levels;
mod locks;
mod removed;
mod scenarios;
mod shapes;
mod stalls;
mod succession;
mod timers;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Done, Formation, LogItem, Replica};
use rstmdb::server::peer::Connections;
use rstmdb::server::testing::told;
use rstmdb_engine::fact::Body;
use rstmdb_engine::{ApplyEvent, Command, CreateInstance, PutMachine};
use rstmdb_raft_store::{MemFs, Store};
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::network::Network;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::settings::Settings;
use rstmdb_sim::world::World;
use rstmdb_sim::{Sim, trace};

/// How long a request waits for a leader.
const LEADER_WAIT: Duration = Duration::from_secs(2);
/// Interval between checks of the invariants.
const LOOK: Duration = Duration::from_millis(100);

/// A cluster that is up.
pub struct Cluster {
    pub world: Arc<World>,
    pub network: Network,
    pub nodes: BTreeMap<u64, Replica<Sim>>,
    pub disks: BTreeMap<u64, MemFs>,
    pub stores: BTreeMap<u64, Store<MemFs>>,
    /// By how many milliseconds each node's wall clock is wrong.
    pub clocks: BTreeMap<u64, Arc<AtomicI64>>,
}

impl Cluster {
    /// Nodes 1 to `count`, formed together.
    async fn form(seed: u64, count: u64) -> Self {
        Self::form_with(Settings {
            leader_wait: LEADER_WAIT,
            ..Settings::calm(seed, count)
        })
        .await
    }

    /// As many nodes as the settings say, formed together.
    pub async fn form_with(settings: Settings) -> Self {
        let count = settings.nodes;
        let mut cluster = Self::of(settings);
        cluster.world.place_first();
        for id in 1..=count {
            cluster.start(id).await;
        }
        cluster
    }

    /// One node that is a cluster of its own.
    pub async fn alone(settings: Settings) -> Self {
        let mut cluster = Self::of(settings);
        cluster.boot(1, Formation::Alone).await;
        cluster
    }

    fn of(settings: Settings) -> Self {
        let world = World::new(settings);
        let looked_at = Arc::downgrade(&world);
        drop(Sim::spawn(async move {
            while let Some(world) = looked_at.upgrade() {
                world.observe_all();
                drop(world);
                Sim::sleep(LOOK).await;
            }
        }));
        Self {
            network: world.network.clone(),
            world,
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            stores: BTreeMap::new(),
            clocks: BTreeMap::new(),
        }
    }

    /// Starts a node on a new machine.
    async fn boot(&mut self, id: u64, formation: Formation) {
        self.world.place(id, formation);
        self.start(id).await;
    }

    /// Starts the process of a node that has a machine.
    pub async fn start(&mut self, id: u64) {
        self.world.boot(id);
        while self.world.replica(id).is_none() {
            Sim::sleep(Duration::from_millis(1)).await;
        }
        let sites = self.world.sites.lock();
        let site = &sites[&id];
        let up = site.process.as_ref().unwrap();
        self.nodes.insert(id, up.replica.clone());
        self.stores.insert(id, up.store.clone());
        self.disks.insert(id, site.disk.clone());
        self.clocks.insert(id, site.wall_ms.clone());
    }

    pub fn node(&self, id: u64) -> &Replica<Sim> {
        &self.nodes[&id]
    }

    /// A node's connections to the others.
    fn connections(&self, id: u64) -> Connections<Sim> {
        let sites = self.world.sites.lock();
        sites[&id].process.as_ref().unwrap().connections.clone()
    }

    /// Waits until all nodes agree on a leader, and names it.
    pub async fn leader(&self) -> u64 {
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

    /// Waits until all nodes have applied the same, and have the same digest and the same head of the chain. Then the bookkeeping of each must be
    /// right.
    pub async fn converge(&self) {
        self.wait("convergence", || {
            let ends: Vec<_> = self
                .nodes
                .values()
                .map(|node| {
                    let report = node.report();
                    let head = report.heads.last().copied();
                    (node.log_end(), report.applied, head)
                })
                .collect();
            let (end, applied, head) = ends[0];
            assert!(head.is_none_or(|(offset, _)| offset == applied.0));
            (ends.iter().all(|other| *other == ends[0]) && end == applied.0).then_some(())
        })
        .await;
        for id in self.nodes.keys() {
            assert_eq!(self.world.check(*id), Ok(()));
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

impl Drop for Cluster {
    /// A node and the network hold each other.
    fn drop(&mut self) {
        self.world.dissolve();
    }
}

/// Runs to its end, or to the first violated invariant: a task that has panicked, for example.
pub fn in_simulation<R>(seed: u64, run: impl Future<Output = R>) -> R {
    trace::begin(false);
    tasks::begin();
    let mut runtime = SimRuntime::with_seed(seed);
    let ended = runtime.block_on(async {
        let mut run = std::pin::pin!(run);
        loop {
            match select(run.as_mut(), SimRuntime::sleep(LOOK)).await {
                Either::Left((ended, _)) => break Some(ended),
                Either::Right(_) if trace::is_violated() => break None,
                Either::Right(_) => {}
            }
        }
    });
    drop(runtime);
    tasks::begin();
    let record = trace::end();
    assert_eq!(record.violation, None, "{:#?}", record.tail);
    ended.unwrap()
}

pub async fn submit(
    replica: &Replica<Sim>,
    command: Command,
) -> Result<Done, rstmdb::replica::Error> {
    let outcome = replica.submit(command.clone(), "test".into()).await;
    told(&command, outcome)
}

/// The machine that the instances are of: takes SET, always.
pub fn machine() -> Command {
    define(TestMachine::Counter)
}

/// Puts a machine that the simulator's model of the log knows.
pub fn define(machine: TestMachine) -> Command {
    Command::PutMachine(PutMachine {
        machine: machine.name().into(),
        version: 1,
        definition: Bytes::from(machine.definition().to_string()),
        checksum: None,
    })
}

pub fn create(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "counter".into(),
        version: 1,
        initial_ctx: Some(Bytes::from_static(br#"{"n":0}"#)),
        idempotency_key: Some(format!("create-{id}")),
        import: None,
    })
}

pub fn set(id: &str, n: u64, keyed: bool) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.into(),
        event: "SET".into(),
        payload: Some(Bytes::from(format!(r#"{{"n":{n}}}"#))),
        // The checks of the log tell two events of an instance apart by it.
        event_id: Some(format!("{id}-{n}")),
        idempotency_key: keyed.then(|| format!("set-{id}-{n}")),
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
