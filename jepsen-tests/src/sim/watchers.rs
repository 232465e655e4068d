//! Watchers: each follows the events through changing nodes, from where it was interrupted, and holds
//! every one against the log.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Error, WatchEnd, WatchFilter};
use tokio::sync::mpsc;

use super::clients::instance;
use super::facts::Event;
use super::tasks;
use super::trace;
use super::world::{Site, World};
use crate::rng::Rng;

/// Bytes of one page of a watch: few, so that pages end between events.
const PAGE_BYTES: usize = 200;

/// A node that goes on has no reason to break a watch off but that it is no member any more, or
/// lacks history.
fn ended(world: &World, node: u64, end: &Error) {
    let fails = |site: &Site| site.troubled || site.disk.has_lost_power() || site.is_damaged();
    if matches!(end, Error::Storage { .. }) && !world.ids(fails).contains(&node) {
        trace::violated(
            "watches go on while their node does",
            format!("node {node}: {end}"),
        );
    }
}

/// One watcher.
pub struct Watcher {
    world: Arc<World>,
    rng: Rng,
    /// Only this instance's events; all without.
    only: Option<String>,
    /// The last offset that it has seen.
    seen: u64,
    /// How many of the chain's events lie behind it.
    place: usize,
}

impl Watcher {
    /// A watcher of this number.
    pub fn new(world: &Arc<World>, number: u64) -> Self {
        Self {
            rng: Rng::new(world.plan.seed ^ (0x3a7c << 16) ^ number),
            world: world.clone(),
            only: number.is_multiple_of(2).then(|| instance(0).0),
            seen: 0,
            place: 0,
        }
    }

    /// Watches until `until`, and then whatever there is.
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
            ..WatchFilter::default()
        };
        let Ok(mut watch) = replica.watch(filter, Some(self.seen + 1)) else {
            // A node that lacks history, and still fetches it, says so.
            return;
        };
        drop(replica);
        trace::note(node, "watch", [self.seen, 0]);
        let (give, mut take) = mpsc::unbounded_channel();
        let world = self.world.clone();
        drop(tasks::spawn(node, async move {
            loop {
                let page = match watch.next(PAGE_BYTES).await {
                    Ok(page) => page,
                    Err(WatchEnd::Failed(end)) => return ended(&world, node, &end),
                };
                let events = page.iter().map(|event| Event {
                    offset: event.offset,
                    instance: event.fact().instance_id.clone(),
                    tag: event.fact().event_id.clone().unwrap_or_default(),
                    ctx: event.fact().ctx.to_vec(),
                });
                if give.send(events.collect::<Vec<_>>()).is_err() {
                    return;
                }
            }
        }));
        let end = trace::now() + patience;
        while let Some(left) = end.checked_sub(trace::now())
            && let Ok(Some(page)) = SimRuntime::timeout(left, take.recv()).await
        {
            self.world.observe_all();
            self.check(node, &page);
        }
    }

    /// Every event of the log that the filter wants, once, in order.
    fn check(&mut self, node: u64, page: &[Event]) {
        let chain = self.world.chain.lock();
        for event in page {
            let events = chain.facts().events();
            let rest = events.get(self.place..).unwrap_or_default();
            let wanted = |event: &&Event| match &self.only {
                Some(only) => event.instance == *only,
                None => true,
            };
            let skipped = rest.iter().take_while(|event| !wanted(event)).count();
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
