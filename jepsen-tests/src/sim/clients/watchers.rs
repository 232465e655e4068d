//! Watchers. Each follows the events through changing nodes, resumes after an interruption, and compares
//! every event with the log.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::WatchFact as Shown;
use rstmdb::replica::{Error, Include, Replica, Watch, WatchEnd, WatchEvent, WatchFilter};
use rstmdb_sim::check::facts::{ShownEvent, ShownKind, name_of};
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::world::{Site, World};
use rstmdb_sim::{Sim, trace};
use tokio::sync::mpsc;

use super::instance;

/// Bytes of one page of a watch: few, so that pages end between events.
const PAGE_BYTES: usize = 200;
/// Interval between notices of how far a watch has come.
const NOTICE_INTERVAL: Duration = Duration::from_millis(40);

/// A running node may end a watch only if it is no longer a member, or lacks history.
fn ended(world: &World, node: u64, end: &Error) {
    let fails = |site: &Site| site.troubled || site.disk.has_lost_power() || site.is_damaged();
    if matches!(end, Error::Storage { .. }) && !world.ids(fails).contains(&node) {
        trace::violated(
            "watches go on while their node does",
            format!("node {node}: {end}"),
        );
    }
}

/// An item of a watch.
enum DeliveredItem {
    Events(Vec<ShownEvent>),
    /// The node has read everything up to here.
    Progress(u64),
}

/// What a watch shows. No client asks for the end of everything.
fn shown(event: &WatchEvent) -> Option<ShownEvent> {
    let offset = event.offset;
    let said = event.entry().meta.clone();
    Some(match event.told()? {
        Shown::Event(event) => ShownEvent {
            kind: ShownKind::Event,
            offset,
            instance: event.instance_id.clone(),
            tag: match &event.fired {
                Some(fired) => name_of(&event.instance_id, fired),
                None => event.event_id.clone().unwrap_or_default(),
            },
            states: [event.from_state.clone(), event.to_state.clone()],
            ctx: event.ctx.to_vec(),
            said,
        },
        Shown::Created(create) => ShownEvent {
            kind: ShownKind::Created,
            offset,
            instance: create.instance_id.clone(),
            tag: create.instance_id.clone(),
            states: [String::new(), create.state.clone()],
            ctx: create.ctx.to_vec(),
            said,
        },
        Shown::Deleted(delete) => ShownEvent {
            kind: ShownKind::Deleted,
            offset,
            instance: delete.instance_id.clone(),
            tag: delete.instance_id.clone(),
            states: [delete.from_state.clone(), String::new()],
            ctx: Vec::new(),
            said,
        },
        Shown::Spent(spent) => ShownEvent {
            kind: ShownKind::Spent,
            offset,
            instance: spent.instance_id.clone(),
            tag: name_of(&spent.instance_id, spent.fired.as_ref()?),
            states: [spent.state.clone(), String::new()],
            ctx: Vec::new(),
            said,
        },
        Shown::Flushed => return None,
    })
}

/// Passes on the items of the watch, until it ends or the receiver is gone.
async fn tell(
    mut watch: Watch<Sim>,
    give: mpsc::UnboundedSender<DeliveredItem>,
) -> Result<(), WatchEnd> {
    let progress = watch.progress();
    loop {
        let mut next = pin!(watch.next(PAGE_BYTES));
        let page = loop {
            if let Ok(page) = SimRuntime::timeout(NOTICE_INTERVAL, next.as_mut()).await {
                break page?;
            }
            if give
                .send(DeliveredItem::Progress(progress.looked_at()))
                .is_err()
            {
                return Ok(());
            }
        };
        let told = match page.iter().filter_map(shown).collect::<Vec<_>>() {
            none if none.is_empty() => DeliveredItem::Progress(progress.looked_at()),
            events => DeliveredItem::Events(events),
        };
        if give.send(told).is_err() {
            return Ok(());
        }
    }
}

/// Begins a watch after the last seen offset. Every node must accept it, however far the node is behind.
async fn begin(
    replica: Replica<Sim>,
    node: u64,
    filter: WatchFilter,
    from: u64,
) -> Option<Watch<Sim>> {
    match replica.check_resume(Some(from), None).await {
        Ok(()) => {}
        Err(end @ Error::OffsetAhead { .. }) => {
            trace::violated("a watch resumes on any node", format!("node {node}: {end}"));
            return None;
        }
        // For example, the node has no leader.
        Err(_) => return None,
    }
    // A node that lacks history, and still fetches it, says so.
    replica.watch(filter, Some(from)).ok()
}

/// One watcher.
pub struct SimWatcher {
    world: Arc<World>,
    rng: Rng,
    /// Only this instance's events; all without.
    only: Option<String>,
    /// Creations, deletions and spent timers, too.
    includes: bool,
    /// The last offset that it has seen.
    seen: u64,
    /// How many of the chain's events lie behind it.
    place: usize,
}

impl SimWatcher {
    /// A watcher of this number.
    pub fn new(world: &Arc<World>, number: u64) -> Self {
        Self {
            rng: Rng::new(world.settings.seed ^ (0x3a7c << 16) ^ number),
            world: world.clone(),
            only: number.is_multiple_of(2).then(|| instance(0).0),
            includes: number % 4 < 2,
            seen: 0,
            place: 0,
        }
    }

    /// Watches until `until`, and then reads the remaining events.
    pub async fn run(mut self, until: Duration) {
        while trace::now() < until && !trace::is_violated() {
            let members = self.world.members();
            let node = *self.rng.pick(&members);
            let patience = Duration::from_millis(self.rng.between(50, 600));
            self.follow(node, patience).await;
            SimRuntime::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Watches through one node for a while, or until it dies.
    async fn follow(&mut self, node: u64, patience: Duration) {
        let Some(replica) = self.world.replica(node) else {
            return;
        };
        let filter = WatchFilter {
            instance: self.only.clone(),
            include: Include {
                created: self.includes,
                deleted: self.includes,
                timer_spent: self.includes,
            },
            ..WatchFilter::default()
        };
        trace::note(node, "watch", [self.seen, 0]);
        let (give, mut take) = mpsc::unbounded_channel();
        let (world, from) = (self.world.clone(), self.seen + 1);
        drop(tasks::spawn(node, async move {
            let Some(watch) = begin(replica, node, filter, from).await else {
                return;
            };
            if let Err(WatchEnd::Failed(end)) = tell(watch, give).await {
                ended(&world, node, &end);
            }
        }));
        let end = trace::now() + patience;
        while let Some(left) = end.checked_sub(trace::now())
            && let Ok(Some(told)) = SimRuntime::timeout(left, take.recv()).await
        {
            self.world.observe_all();
            match told {
                DeliveredItem::Events(page) => self.check(node, &page),
                DeliveredItem::Progress(offset) => self.check_progress(node, offset),
            }
        }
    }

    fn wants(&self, event: &ShownEvent) -> bool {
        let is_kind = self.includes || event.kind == ShownKind::Event;
        let of_instance = |only: &String| event.instance == *only;
        is_kind && self.only.as_ref().is_none_or(of_instance)
    }

    /// Checks that all events that the filter wants up to there were shown. The watch then continues after it.
    fn check_progress(&mut self, node: u64, offset: u64) {
        let chain = self.world.chain.lock();
        let events = chain.facts().told();
        let rest = events.get(self.place..).unwrap_or_default();
        let passed = rest.iter().take_while(|event| event.offset <= offset);
        let passed: Vec<&ShownEvent> = passed.collect();
        if let Some(missed) = passed.iter().find(|event| self.wants(event)) {
            let text = format!("node {node} has read up to {offset}, but not shown {missed:?}");
            return trace::violated("progress is behind every event that is shown", text);
        }
        self.place += passed.len();
        self.seen = self.seen.max(offset);
    }

    /// Every event of the log that the filter wants, once, in order.
    fn check(&mut self, node: u64, page: &[ShownEvent]) {
        let chain = self.world.chain.lock();
        for event in page {
            let events = chain.facts().told();
            let rest = events.get(self.place..).unwrap_or_default();
            let skipped = rest.iter().take_while(|event| !self.wants(event)).count();
            let next = rest.get(skipped);
            if next != Some(event) {
                let text = format!("node {node} shows {event:?}, the log has {next:?}");
                return trace::violated("watches show every event once, in order", text);
            }
            self.place += skipped + 1;
            self.seen = event.offset;
        }
    }
}
