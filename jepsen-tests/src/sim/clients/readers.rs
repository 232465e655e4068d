//! Readers of the log. Each reads pages through changing nodes, from any offset on: from the node's own log, or from the
//! archive where retention has let it go. Every page is compared with the committed log.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{LogItem, LogPage};
use rstmdb_engine::fact::Body;
use rstmdb_sim::check::chain::ChainViolation;
use rstmdb_sim::check::facts::{Facts, name_of};
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;

/// Records of a page.
const PAGE: usize = 20;
/// The longest pause between two pages.
const PAUSE_MS: u64 = 30;
/// How long a page may take; a slow archive takes longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One reader.
pub struct ReadingClient {
    world: Arc<World>,
    rng: Rng,
}

impl ReadingClient {
    /// The reader of a run.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            rng: Rng::new(world.settings.seed ^ (0x4ead << 16)),
            world: world.clone(),
        }
    }

    /// Reads until `until`.
    pub async fn run(mut self, until: Duration) {
        while trace::now() < until && !trace::is_violated() {
            let pause = Duration::from_millis(self.rng.below(PAUSE_MS));
            SimRuntime::sleep(pause).await;
            self.world.observe_all();
            let members = self.world.members();
            let (node, from) = (
                *self.rng.pick(&members),
                self.rng.between(1, self.world.end().max(1)),
            );
            self.read(node, from).await;
        }
    }

    async fn read(&self, node: u64, from: u64) {
        let Some(replica) = self.world.replica(node) else {
            return;
        };
        let reading = tasks::spawn(node, async move {
            let held = replica.hold_history(from).await?;
            let page = replica.log_read(from, PAGE);
            drop(held);
            page
        });
        // A node whose archive does not answer, or that still fetches history, says so.
        let Ok(Ok(Ok(page))) = SimRuntime::timeout(PATIENCE, reading).await else {
            return;
        };
        self.world.observe_all();
        trace::note(node, "log read", [from, page.next_offset]);
        let chain = self.world.chain.lock();
        if let Err((invariant, seen)) = compare(&page, from, chain.facts()) {
            trace::violated(invariant, format!("node {node}: {seen}"));
        }
    }
}

/// A page shows every event of its part of the log, and nothing else.
pub fn compare(page: &LogPage, from: u64, facts: &Facts) -> Result<(), ChainViolation> {
    let mut expected = facts
        .events()
        .skip_while(|event| event.offset < from)
        .take_while(|event| event.offset < page.next_offset);
    for (offset, item) in &page.items {
        let LogItem::Facts(entry) = item else {
            continue;
        };
        for fact in &entry.facts {
            let Some(Body::ApplyEvent(event)) = &fact.body else {
                continue;
            };
            let next = expected.next();
            let tag = match &event.fired {
                Some(fired) => Some(name_of(&event.instance_id, fired)),
                None => event.event_id.clone(),
            };
            let same =
                next.is_some_and(|next| next.offset == *offset && Some(&next.tag) == tag.as_ref());
            if !same {
                let text = format!("it has {fact} at {offset}, expected {next:?}");
                return Err(("every node shows the same log", text));
            }
        }
    }
    match expected.next() {
        None => Ok(()),
        Some(missing) => {
            let text = format!(
                "a page from {from} to {} lacks {missing:?}",
                page.next_offset
            );
            Err(("every node shows the same log", text))
        }
    }
}
