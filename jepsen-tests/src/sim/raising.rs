//! Runs that begin at the first feature level: their nodes get the present program one after the other, and the leader
//! raises the level by itself. Only then there are timers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb_engine::fact::level;
use rstmdb_sim::rng::Rng;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;

use super::clients::fuses::Keeper;
use super::plan::SimPlan;
use super::{prepare, settle};

/// How long the level may take to be raised once every node has the present program.
const RAISED_WITHIN: Duration = Duration::from_secs(30);
/// How long keepers work after it was raised, at least.
const KEEPERS_WORK: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_millis(10);

/// Upgrades every node, waits for the level, defines what needs it, and lets keepers work until `until` or longer.
pub async fn upgrade(world: Arc<World>, plan: Arc<SimPlan>, until: Duration) {
    let mut rng = Rng::new(world.settings.seed ^ 0x1e7e1);
    let pause_us = u64::try_from(plan.trouble.as_micros() / 8).unwrap_or(1);
    let members = world.members();
    for id in &members {
        world.install(*id, level::CURRENT);
    }
    for id in members {
        SimRuntime::sleep(Duration::from_micros(rng.below(pause_us.max(1)))).await;
        trace::note(id, "upgraded", [0, 0]);
        world.kill(id, false);
        SimRuntime::sleep(Duration::from_micros(rng.below(pause_us.max(1)))).await;
        world.boot_again(id);
    }
    let deadline = trace::now() + RAISED_WITHIN;
    while world.chain.lock().facts().level() < level::CURRENT {
        if trace::now() > deadline {
            let seen = format!("it is at {}", world.chain.lock().facts().level());
            return trace::violated("a level is raised once every node understands it", seen);
        }
        if trace::is_violated() {
            return;
        }
        SimRuntime::sleep(POLL).await;
    }
    trace::note(0, "level raised", [world.end(), 0]);
    for command in prepare::of_format_2(&plan) {
        if !settle::written(&world, 1, &command).await {
            return;
        }
    }
    let until = until.max(trace::now() + KEEPERS_WORK);
    join_all((0..plan.keepers).map(|name| Keeper::new(&world, &plan, name).run(until))).await;
}
