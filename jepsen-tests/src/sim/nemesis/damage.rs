//! Damages bytes on the disks, only in files that the product heals, and never in all copies of the same data. Which
//! nodes may be damaged is decided before the run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::Replica;
use rstmdb_raft_store::{FileSystem, MemFs};
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::settings::DATA_DIR;
use rstmdb_sim::world::World;
use rstmdb_sim::{Sim, trace};

/// The nodes that may be damaged: fewer than half.
pub fn candidates(world: &World) -> Vec<u64> {
    let first = world.settings.seed % world.settings.nodes;
    let count = (world.settings.nodes - 1) / 2;
    (0..count)
        .map(|n| 1 + (first + n) % world.settings.nodes)
        .collect()
}

/// Damages a file on a node's disk, if there is one that heals.
pub fn strike(world: &Arc<World>, id: u64, rng: &mut Rng) {
    let disk = {
        let sites = world.sites.lock();
        let site = sites.get(&id).filter(|site| site.may_be_damaged());
        site.map(|site| site.disk.clone())
    };
    let Some(disk) = disk else {
        return;
    };
    if rng.percent(50) && flip(&disk, "history", rng).is_some() {
        world.damaged(id);
        return trace::note(id, "damaged history", [0, 0]);
    }
    // A node with a damaged snapshot could not start: it keeps running until it has written another one.
    if flip(&disk, "snapshots", rng).is_some() {
        trace::note(id, "damaged snapshot", [0, 0]);
        world.damaged(id);
        world.protect(id, true);
        drop(SimRuntime::spawn(rewrite(world.clone(), id)));
    }
}

/// Flips a bit in the middle of the newest file of a folder.
fn flip(disk: &MemFs, folder: &str, rng: &mut Rng) -> Option<()> {
    let dir = Path::new(DATA_DIR).join(folder);
    let names = disk.list(&dir).ok()?;
    let files = names
        .iter()
        .filter(|name| !name.ends_with(".json") && !name.ends_with(".tmp"));
    let path = dir.join(files.max()?);
    let mut content = disk.content(&path).ok()?;
    let place = content.len() / 4 + rng.index(content.len() / 2 + 1);
    *content.get_mut(place)? ^= 1 << rng.below(8);
    disk.set_content(&path, &content).ok()
}

/// Lets the node take snapshots until the newest one can be read. Without further writes, the node itself notices the
/// damage when another node needs the snapshot.
async fn rewrite(world: Arc<World>, id: u64) {
    loop {
        SimRuntime::sleep(Duration::from_millis(100)).await;
        let Some(replica) = world.replica(id) else {
            break;
        };
        if is_readable(&replica) {
            break;
        }
        let compacted = tasks::spawn(id, async move { replica.compact(true).await.is_ok() });
        let _ = SimRuntime::timeout(Duration::from_secs(2), compacted).await;
    }
    trace::note(id, "snapshot replaced", [0, 0]);
    world.protect(id, false);
}

fn is_readable(replica: &Replica<Sim>) -> bool {
    let snapshots = replica.snapshots();
    let Ok(Some(current)) = snapshots.current() else {
        return false;
    };
    let records = snapshots.open_records(&current);
    records.is_ok_and(|mut records| records.all(|record| record.is_ok()))
}
