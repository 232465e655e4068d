//! The end of a run: the faults are over, and the cluster must recover without help.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{LogPage, Replica};
use rstmdb_engine::Command;
use rstmdb_sim::check::chain::ChainViolation;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::world::{Site, World};
use rstmdb_sim::{Sim, trace};

use super::clients::{self, fuses, readers};
use super::nemesis::{is_placed, members};

/// How long the cluster may take to recover.
const HEALED_WITHIN: Duration = Duration::from_secs(30);
/// By how much the first timer may be overdue that can fire, in milliseconds.
const LAG_MS_MAX: u64 = 300;
/// Interval between checks.
const POLL: Duration = Duration::from_millis(10);

/// Ends all faults: links are whole, disks have room, nodes run.
pub fn calm(world: &Arc<World>) {
    trace::note(0, "calm", [world.end(), 0]);
    world.network.ways.heal();
    world.network.ways.calm();
    for site in world.sites.lock().values_mut() {
        site.disk.set_capacity_bytes(u64::MAX);
        site.full = false;
        site.wall_ms.store(0, Ordering::Relaxed);
    }
    for id in world.members() {
        let off = |site: &Site| site.disk.has_lost_power();
        if tasks::is_frozen(id) && !world.ids(off).contains(&id) {
            tasks::thaw(id);
        }
    }
}

/// Writes through a node until a write is acknowledged, which must come in time.
pub async fn written(world: &Arc<World>, node: u64, command: &Command) -> bool {
    let until = trace::now() + HEALED_WITHIN;
    while trace::now() < until && !trace::is_violated() {
        if clients::write_once(world, node, command.clone()).await {
            return true;
        }
        if !world.members().contains(&node) {
            // The node was being removed meanwhile.
            return true;
        }
        SimRuntime::sleep(POLL).await;
    }
    let text = format!("{command} through node {node} was not acknowledged in time");
    trace::violated("a cluster without trouble takes writes", text);
    false
}

/// Waits until no timer is overdue any more: whatever happened meanwhile, none was forgotten. Then pauses automation, so
/// that the log comes to rest.
pub async fn fired(world: &Arc<World>) -> bool {
    // What clients have asked for and given up takes effect by then, or never.
    SimRuntime::sleep(world.settings.leader_wait * 2).await;
    let until = trace::now() + HEALED_WITHIN;
    loop {
        if trace::is_violated() {
            return false;
        }
        let _ = members::reconcile(world);
        world.observe_all();
        let node = *world.members().first().unwrap_or(&1);
        // The request of a client that has given up may pause it once more.
        let paused = world.chain.lock().facts().is_paused();
        if paused && !written(world, node, &fuses::automation(false)).await {
            return false;
        }
        if !paused && let Some(true) = is_in_time(world) {
            break;
        }
        if trace::now() > until {
            let first_ms = world.chain.lock().facts().timers().first_ms();
            let seen = format!("after {HEALED_WITHIN:?} the first is due at {first_ms:?}");
            trace::violated("a timer that is due fires", seen);
            return false;
        }
        SimRuntime::sleep(POLL).await;
    }
    {
        let chain = world.chain.lock();
        let timers = chain.facts().timers();
        for (what, count) in [
            ("timers fired", timers.fired()),
            ("timers spent", timers.spent()),
        ] {
            if count > 0 {
                trace::note(0, what, [count, 0]);
            }
        }
    }
    let node = *world.members().first().unwrap_or(&1);
    written(world, node, &fuses::automation(true)).await
}

/// Whether no timer is long overdue by the log's time; `None` without a leader.
fn is_in_time(world: &Arc<World>) -> Option<bool> {
    let leader = world.replica(world.leader()?)?;
    let first_ms = world.chain.lock().facts().timers().first_ms();
    let now_ms = leader.now_ms();
    Some(first_ms.is_none_or(|first_ms| first_ms + LAG_MS_MAX >= now_ms))
}

/// Waits until every node runs and has applied the same entries. Then checks every invariant of a healthy cluster.
pub async fn settle(world: &Arc<World>) {
    if trace::is_violated() || !recovered(world).await {
        return;
    }
    for (count, node) in world.members().into_iter().enumerate() {
        let id = format!("settled-{count}");
        let command = clients::create(&id, TestMachine::Counter, true);
        if !written(world, node, &command).await {
            return;
        }
    }
    if !recovered(world).await {
        return;
    }
    if let Err((invariant, seen)) = examine(world).await {
        trace::violated(invariant, seen);
    }
}

/// Waits until all nodes stand at the same offset.
async fn recovered(world: &Arc<World>) -> bool {
    let until = trace::now() + HEALED_WITHIN;
    while trace::now() < until {
        if trace::is_violated() {
            return false;
        }
        if members::reconcile(world) && is_whole(world) {
            return is_consistent(world);
        }
        SimRuntime::sleep(POLL).await;
    }
    let stand = |id: u64| world.replica(id).map(|replica| replica.report());
    let stands: Vec<_> = world
        .members()
        .into_iter()
        .map(|id| (id, stand(id)))
        .collect();
    let text = format!("after {HEALED_WITHIN:?}: {stands:?}");
    trace::violated("a cluster without trouble becomes whole", text);
    false
}

/// Whether the bookkeeping of every member is right.
fn is_consistent(world: &Arc<World>) -> bool {
    let checked = world
        .members()
        .into_iter()
        .try_for_each(|id| world.check(id));
    if let Err((invariant, seen)) = checked {
        trace::violated(invariant, seen);
        return false;
    }
    true
}

fn is_whole(world: &Arc<World>) -> bool {
    let mut ends = Vec::new();
    for id in world.members() {
        let Some(replica) = world.replica(id) else {
            return false;
        };
        let applied = replica.with_state(rstmdb_engine::State::last_applied);
        ends.push((replica.log_end(), applied, replica.status().leader));
    }
    let Some((end, applied, leader)) = ends.first() else {
        return false;
    };
    let same = ends.iter().all(|other| *other == ends[0]);
    is_placed(world) && same && end == applied && leader.is_some()
}

async fn examine(world: &Arc<World>) -> Result<(), ChainViolation> {
    world.observe_all();
    for id in world.members() {
        if let Some(replica) = world.replica(id) {
            if replica.status().diverged {
                return Err(("no state diverges", format!("node {id}")));
            }
            let history = replica.clone();
            let fetched = tasks::spawn(id, async move { history.wait_for_history(0).await });
            if SimRuntime::timeout(HEALED_WITHIN, fetched).await.is_err() {
                return Err(("history comes back", format!("node {id} still lacks some")));
            }
            healed(world, id, &replica).await?;
            log_of(world, id, &replica).await?;
            timers_of(world, id, &replica)?;
            world.check(id)?;
            progress_of(id, &replica).await?;
        }
    }
    let chain = world.chain.lock();
    world.answers.lock().close(chain.facts())
}

/// A node has the timers that the log gives it, no more and no fewer.
fn timers_of(world: &Arc<World>, id: u64, replica: &Replica<Sim>) -> Result<(), ChainViolation> {
    let has = replica.with_state(|state| (state.timers_armed(), state.next_due_ms()));
    let chain = world.chain.lock();
    let timers = chain.facts().timers();
    let expected = (timers.count(), timers.first_ms());
    match has == expected {
        true => Ok(()),
        false => Err((
            "a node has the timers of the log",
            format!("node {id}: {has:?}, the log has {expected:?}"),
        )),
    }
}

/// What a node has purged is in its snapshot. Its snapshot and the entries that it has applied are committed.
async fn progress_of(id: u64, replica: &Replica<Sim>) -> Result<(), ChainViolation> {
    let invariant = "a replica is consistent";
    match SimRuntime::timeout(HEALED_WITHIN, replica.check_progress()).await {
        Ok(checked) => checked.map_err(|broken| (invariant, format!("node {id}: {broken}"))),
        Err(_) => Err((invariant, format!("node {id} does not say how far it is"))),
    }
}

/// A read notices damaged history, and the node fetches it from another node.
async fn healed(world: &Arc<World>, id: u64, replica: &Replica<Sim>) -> Result<(), ChainViolation> {
    let is_damaged = |site: &Site| site.is_damaged();
    if !world.ids(is_damaged).contains(&id) {
        return Ok(());
    }
    let until = trace::now() + HEALED_WITHIN * 2;
    while trace::now() < until {
        let mut from = 0;
        let read = loop {
            match replica.log_read(from, 50) {
                Ok(page) if page.next_offset == from => break true,
                Ok(page) => from = page.next_offset,
                Err(_) => break false,
            }
        };
        if read && replica.status().history_damaged == 0 {
            return Ok(());
        }
        SimRuntime::sleep(POLL).await;
    }
    Err(("damaged history is healed", format!("node {id}")))
}

/// WAL_READ shows the same on every node: every event of the log, also of what only the archive has.
async fn log_of(world: &Arc<World>, id: u64, replica: &Replica<Sim>) -> Result<(), ChainViolation> {
    let mut from = 0;
    loop {
        let page = page_of(id, replica, from).await?;
        let chain = world.chain.lock();
        readers::compare(&page, from, chain.facts())
            .map_err(|(invariant, seen)| (invariant, format!("node {id}: {seen}")))?;
        // A page that has only blank entries of new leaders is empty, but not the last one.
        if page.next_offset == from {
            break;
        }
        from = page.next_offset;
    }
    let (digest, again) = replica.with_state(|state| (state.digest(), state.recompute_digest()));
    if digest != again {
        return Err(("digests are of the state", format!("node {id}")));
    }
    let chain = world.chain.lock();
    match chain.facts().events().find(|event| event.offset >= from) {
        None => Ok(()),
        Some(missing) => {
            let earliest = replica.report().earliest_offset;
            let text = format!("node {id}, from {earliest} on, lacks {missing:?}");
            Err(("every node shows the same log", text))
        }
    }
}

/// A page of the log, once the archive answers.
async fn page_of(id: u64, replica: &Replica<Sim>, from: u64) -> Result<LogPage, ChainViolation> {
    let until = trace::now() + HEALED_WITHIN;
    loop {
        let asked = replica.clone();
        let reading = tasks::spawn(id, async move {
            let held = asked.hold_history(from).await?;
            let page = asked.log_read(from, 50);
            drop(held);
            page
        });
        let error = match reading.await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) if trace::now() < until => error.to_string(),
            Ok(Err(error)) => return Err(("the log can be read", format!("node {id}: {error}"))),
            Err(error) => return Err(("the log can be read", format!("node {id}: {error}"))),
        };
        trace::note(id, "log unread", [from, error.len() as u64]);
        SimRuntime::sleep(POLL).await;
    }
}
