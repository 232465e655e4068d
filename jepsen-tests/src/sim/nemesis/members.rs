//! Nodes that join and leave while the cluster works. Each new one has a new id and an empty disk.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Formation, LeaderChange};
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::settings::node_info;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;

/// How long a change may take before the nemesis gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many times a change is requested.
const TRIES_MAX: u32 = 4;
/// How many times the nemesis tries to promote a new node. The promotion succeeds once the node has caught up.
const PROMOTE_TRIES_MAX: u32 = 8;

/// Starts a node with an empty disk and adds it. Gives it a vote if it is meant to be a voter.
pub async fn add(world: Arc<World>, votes: bool) -> bool {
    let id = world.next_id();
    world.place(id, Formation::Join);
    world.boot(id);
    let change = LeaderChange::AddLearner {
        node_id: id,
        node: node_info(id),
    };
    if !ask(&world, &change, TRIES_MAX).await {
        return false;
    }
    trace::note(id, "added", [0, 0]);
    world.joined(id);
    if votes
        && ask(
            &world,
            &LeaderChange::Promote { node_id: id },
            PROMOTE_TRIES_MAX,
        )
        .await
    {
        trace::note(id, "promoted", [0, 0]);
        return true;
    }
    false
}

/// Removes a node for good, and ends it a while later.
pub async fn remove(world: Arc<World>, id: u64, lingers: Duration) {
    if !ask(&world, &LeaderChange::Remove { node_id: id }, TRIES_MAX).await {
        return;
    }
    trace::note(id, "removed", [0, 0]);
    world.left(id);
    // The node may not know that it was removed, and may disturb the other nodes.
    SimRuntime::sleep(lingers).await;
    world.kill(id, false);
}

/// Adds a node and removes another one.
pub async fn replace(world: Arc<World>, id: u64, lingers: Duration) {
    if add(world.clone(), true).await {
        remove(world, id, lingers).await;
    }
}

/// Asks for a change through one node after the other.
async fn ask(world: &Arc<World>, change: &LeaderChange, tries: u32) -> bool {
    for attempt in 0..tries {
        let up = world.ids(|site| !site.left && site.process.is_some());
        let place = usize::try_from(attempt).unwrap_or(0) % up.len().max(1);
        let asked = up
            .get(place)
            .and_then(|id| Some((*id, world.replica(*id)?)));
        if let Some((id, replica)) = asked {
            let change = change.clone();
            let asked = tasks::spawn(id, async move { replica.change(&change).await.is_ok() });
            if let Ok(Ok(true)) = SimRuntime::timeout(PATIENCE, asked).await {
                return true;
            }
        }
        SimRuntime::sleep(Duration::from_millis(200)).await;
    }
    false
}

/// Ends the nodes that are not members, and starts all that are. The leader says which, because a change without an
/// answer may have been made.
pub fn reconcile(world: &Arc<World>) -> bool {
    let leader = world.leader().and_then(|id| world.replica(id));
    let Some(leader) = leader else {
        // Nothing else starts a node that lost its power during its start.
        world.members().into_iter().for_each(|id| world.boot(id));
        return false;
    };
    let members = leader.status().members;
    let members: Vec<u64> = members.iter().map(|member| member.node_id).collect();
    for id in world.ids(|_| true) {
        if members.contains(&id) {
            world.joined(id);
            world.boot(id);
        } else {
            world.left(id);
            world.kill(id, false);
        }
    }
    true
}
