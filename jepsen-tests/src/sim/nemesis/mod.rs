//! The faults of a run.
//!
//! | module | subject |
//! |---|---|
//! | [`members`] | nodes that join and leave |
//! | [`damage`] | bytes that change on the disks |

pub mod damage;
pub mod members;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::LeaderChange;
use rstmdb_raft_store::{FileSystem, NodeInfo};
use rstmdb_sim::check::leaders::{self, LEADER_WITHIN};
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::settings::{DATA_DIR, RESERVE_BYTES};
use rstmdb_sim::trace;
use rstmdb_sim::world::{Site, World};

use super::plan::{Fault, JUMP_MS, SimPlan};
use crate::faults::partition::Shape;

/// Whether every member knows each member at its present addresses.
pub fn is_placed(world: &Arc<World>) -> bool {
    let members = world.members();
    let is_right = |(id, known): &(u64, NodeInfo)| *known == world.info(*id);
    members.iter().all(|id| {
        let replica = world.replica(*id);
        replica.is_some_and(|replica| {
            let (_, known) = replica.membership();
            // A node that has not heard of its cluster yet cannot tell it where it is.
            known.iter().any(|(member, _)| member == id) && known.iter().all(is_right)
        })
    })
}

/// How many shapes are drawn at most until one lets a majority talk.
const SHAPES_MAX: u64 = 50;

/// Causes faults until the plan's time is over.
pub struct SimNemesis {
    world: Arc<World>,
    plan: Arc<SimPlan>,
    rng: Rng,
}

impl SimNemesis {
    /// The nemesis of a run.
    pub fn new(world: &Arc<World>, plan: &Arc<SimPlan>) -> Self {
        Self {
            rng: Rng::new(world.settings.seed ^ 0x4e6e),
            world: world.clone(),
            plan: plan.clone(),
        }
    }

    /// Runs.
    pub async fn run(mut self) {
        let until = trace::now() + self.plan.trouble;
        while trace::now() < until && !trace::is_violated() {
            let pause = self.time(self.plan.pause * 2);
            SimRuntime::sleep(pause).await;
            let fault = *self.rng.pick(&self.plan.faults);
            self.cause(fault).await;
        }
        if self.world.settings.promises_leader && self.plan.faults.contains(&Fault::Partition) {
            self.endure().await;
        }
    }

    fn time(&mut self, max: Duration) -> Duration {
        let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.below(micros.max(1)))
    }

    /// One, a minority or, rarely, all of the nodes.
    fn victims(&mut self) -> Vec<u64> {
        let mut members = self.world.ids(|site| !site.left && !site.protected);
        let count = match self.rng.below(10) {
            0..6 => 1,
            6..9 => members.len() / 2,
            _ => members.len(),
        };
        for place in (1..members.len()).rev() {
            members.swap(place, self.rng.index(place + 1));
        }
        members.truncate(count.max(1));
        members
    }

    fn victim(&mut self) -> u64 {
        let members = self.world.members();
        match self.world.leader() {
            // Faults of the leader find more bugs than faults of other nodes.
            Some(leader) if self.rng.percent(30) => leader,
            _ => *self.rng.pick(&members),
        }
    }

    async fn cause(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => self.kill(false).await,
            Fault::PowerCut => self.kill(true).await,
            Fault::Partition => self.partition().await,
            Fault::SlowLinks => self.slow_links().await,
            Fault::Freeze => self.freeze(),
            Fault::Transfer => self.transfer(),
            Fault::ClockJump => self.jump(),
            Fault::Snapshot => self.snapshot(),
            Fault::FullDisk => self.fill_disk(),
            Fault::Restart => self.restart(),
            Fault::Moved => self.relocate(),
            Fault::Members => self.members(),
            Fault::Damage => {
                let candidates = damage::candidates(&self.world);
                let id = *self.rng.pick(&candidates);
                damage::strike(&self.world, id, &mut self.rng);
            }
        }
    }

    /// Ends processes and starts them again later. A power cut comes at once or within the next operations.
    async fn kill(&mut self, power: bool) {
        for id in self.victims() {
            let in_the_middle = power && self.rng.percent(70);
            let down = self.time(Duration::from_millis(500));
            let (world, operations) = (self.world.clone(), self.rng.below(12));
            let patience = self.time(Duration::from_millis(300));
            world.dooms(id, true);
            drop(SimRuntime::spawn(async move {
                if in_the_middle && let Some(site) = world.sites.lock().get(&id) {
                    site.disk.cut_power_after(operations);
                }
                if in_the_middle {
                    SimRuntime::sleep(patience).await;
                }
                world.kill(id, power);
                world.dooms(id, false);
                SimRuntime::sleep(down).await;
                world.boot_again(id);
            }));
        }
    }

    /// Ends a process, and starts it again at other addresses. One node moves at a time: the next one moves once every
    /// node knows the new addresses of the one before, because only its own configuration has them.
    fn relocate(&mut self) {
        let victims = self.victims();
        let Some(id) = victims.first().copied().filter(|_| is_placed(&self.world)) else {
            return;
        };
        let down = self.time(Duration::from_millis(300));
        let world = self.world.clone();
        world.kill(id, false);
        world.relocate(id);
        drop(SimRuntime::spawn(async move {
            SimRuntime::sleep(down).await;
            world.boot_again(id);
        }));
    }

    /// The members in a random order, beginning with this one.
    fn order_from(&mut self, first: u64) -> Vec<u64> {
        let mut order = self.world.members();
        for place in (1..order.len()).rev() {
            order.swap(place, self.rng.index(place + 1));
        }
        if let Some(place) = order.iter().position(|id| *id == first) {
            order.swap(0, place);
        }
        order
    }

    /// A shape, and the number of its kind.
    fn shape(&mut self) -> (u64, Shape) {
        let kind = self.rng.below(7);
        let shape = match kind {
            0 => Shape::Halves,
            1 => Shape::Alone,
            2 => Shape::Ring,
            3 if self.rng.percent(50) => Shape::UnheardByAll,
            3 => Shape::HearsNobody,
            4 => Shape::Tethered,
            5 => Shape::Drawn {
                seed: self.rng.number(),
                percent: self.rng.between(15, 55),
            },
            _ => Shape::Bridge,
        };
        (kind, shape)
    }

    async fn partition(&mut self) {
        let alone = self.victim();
        let order = self.order_from(alone);
        let (kind, shape) = self.shape();
        let resets = self.rng.percent(30);
        let names = ["partition", "partition by resets"];
        trace::note(0, names[usize::from(resets)], [kind, alone]);
        let flaps = if self.rng.percent(20) { 4 } else { 1 };
        for _ in 0..flaps {
            for (from, to) in shape.cut(order.len()) {
                let (from, to) = (order[from], order[to]);
                match resets {
                    true => self.world.network.reject(from, to),
                    false => self.world.network.ways.cut(from, to),
                }
            }
            let duration = self.time(Duration::from_millis(1200) / flaps);
            SimRuntime::sleep(duration).await;
            self.world.network.ways.heal();
        }
    }

    /// A partition in which a majority can talk. It lasts as long as that majority may take to have a leader. The
    /// invariants check whether that comes in time.
    async fn endure(&mut self) {
        let victim = self.victim();
        let order = self.order_from(self.world.leader().unwrap_or(victim));
        let places: Vec<u64> = (0..order.len() as u64).collect();
        let is_of_use = |shape: Shape| {
            let place = |id| usize::try_from(id).unwrap_or_default();
            let reaches = |from, to| !shape.is_cut(order.len(), place(from), place(to));
            leaders::talking(&places, reaches).is_some()
        };
        let mut drawn = (0..SHAPES_MAX).map(|_| self.shape());
        let Some((kind, shape)) = drawn.find(|(_, shape)| is_of_use(*shape)) else {
            return;
        };
        trace::note(0, "long partition", [kind, order[0]]);
        for (from, to) in shape.cut(order.len()) {
            self.world.network.ways.cut(order[from], order[to]);
        }
        let begun = trace::now();
        // Until then, earlier answers may still count for the earlier leader.
        let settled = begun + self.world.settings.election * 4;
        let gives_up = begun + LEADER_WITHIN + Duration::from_secs(1);
        while trace::now() < gives_up && !trace::is_violated() {
            SimRuntime::sleep(self.world.settings.heartbeat).await;
            if self.world.led().is_some_and(|led| led > settled) {
                break;
            }
        }
        self.world.network.ways.heal();
    }

    async fn slow_links(&mut self) {
        let (slow, more) = (self.victim(), self.time(self.world.settings.election));
        trace::note(
            slow,
            "slow links",
            [u64::try_from(more.as_micros()).unwrap_or(0), 0],
        );
        for other in self.world.members() {
            self.world.network.ways.slow(slow, other, more);
            if self.rng.percent(50) {
                self.world.network.ways.slow(other, slow, more);
            }
        }
        let duration = self.time(Duration::from_millis(600));
        SimRuntime::sleep(duration).await;
        self.world.network.ways.heal();
    }

    fn freeze(&mut self) {
        let (id, duration) = (self.victim(), self.time(self.world.settings.election * 6));
        if !tasks::is_alive(id) || tasks::is_frozen(id) {
            return;
        }
        trace::note(id, "freeze", [0, 0]);
        tasks::freeze(id);
        let world = self.world.clone();
        drop(SimRuntime::spawn(async move {
            SimRuntime::sleep(duration).await;
            let off = |site: &Site| site.disk.has_lost_power();
            // It may have died meanwhile, or may be about to die.
            if tasks::is_frozen(id) && !world.ids(off).contains(&id) {
                trace::note(id, "thaw", [0, 0]);
                tasks::thaw(id);
            }
        }));
    }

    fn members(&mut self) {
        let voters = self.world.members();
        let (count, lingers) = (voters.len() as u64, self.time(Duration::from_millis(400)));
        let (victim, world) = (self.victim(), self.world.clone());
        trace::note(victim, "members change", [count, 0]);
        drop(match self.rng.below(3) {
            0 if count > self.world.settings.nodes => {
                SimRuntime::spawn(members::remove(world, victim, lingers))
            }
            1 if count <= self.world.settings.nodes + 1 => {
                let votes = self.rng.percent(80);
                SimRuntime::spawn(async move {
                    members::add(world, votes).await;
                })
            }
            _ => SimRuntime::spawn(members::replace(world, victim, lingers)),
        });
    }

    fn transfer(&mut self) {
        let (asked, to) = (self.victim(), self.victim());
        let to = self.rng.percent(70).then_some(to);
        let Some(replica) = self.world.replica(asked) else {
            return;
        };
        trace::note(asked, "transfer", [to.unwrap_or(0), 0]);
        drop(tasks::spawn(asked, async move {
            // The request may be refused or lost. The run continues in both cases.
            let _ = replica.change(&LeaderChange::TransferLeader { to }).await;
        }));
    }

    fn jump(&mut self) {
        let id = self.victim();
        let by = i64::try_from(self.rng.below(2 * JUMP_MS)).unwrap_or(0);
        let by = by - i64::try_from(JUMP_MS).unwrap_or(0);
        trace::note(id, "clock jump", [by.unsigned_abs(), 0]);
        let together = self.plan.jumps_together && self.rng.percent(40);
        // Otherwise only one clock is wrong at a time. A leader may read three of five clocks, and two wrong ones
        // would decide the median.
        for (other, site) in self.world.sites.lock().iter() {
            let wrong_by = if *other == id || together { by } else { 0 };
            site.wall_ms.store(wrong_by, Ordering::Relaxed);
        }
    }

    fn snapshot(&mut self) {
        for id in self.victims() {
            let Some(replica) = self.world.replica(id) else {
                continue;
            };
            trace::note(id, "compact", [0, 0]);
            drop(tasks::spawn(id, async move {
                // On a full disk this fails, and the nemesis retries it.
                let _ = replica.compact(true).await;
            }));
        }
    }

    fn fill_disk(&mut self) {
        let (id, duration) = (self.victim(), self.time(Duration::from_millis(2000)));
        let disk = self.world.sites.lock().get_mut(&id).map(|site| {
            site.full = true;
            site.disk.clone()
        });
        let Some(disk) = disk else {
            return;
        };
        trace::note(id, "full disk", [0, 0]);
        let free = disk.free_bytes(std::path::Path::new(DATA_DIR));
        let used = u64::MAX - free.unwrap_or(u64::MAX);
        disk.set_capacity_bytes(used.saturating_add(RESERVE_BYTES / 2));
        let world = self.world.clone();
        drop(SimRuntime::spawn(async move {
            SimRuntime::sleep(duration).await;
            disk.set_capacity_bytes(u64::MAX);
            if let Some(site) = world.sites.lock().get_mut(&id) {
                site.full = false;
            }
        }));
    }

    /// Shuts a node down as SIGTERM does, and starts it again.
    fn restart(&mut self) {
        let (id, down) = (self.victim(), self.time(Duration::from_millis(300)));
        if self.world.ids(|site| site.protected).contains(&id) {
            return;
        }
        let Some(replica) = self.world.replica(id) else {
            return;
        };
        trace::note(id, "restart", [0, 0]);
        let world = self.world.clone();
        world.dooms(id, true);
        let stopping = tasks::spawn(id, async move {
            replica.hand_over().await;
            replica.shutdown().await.is_ok()
        });
        world.stops(id, true);
        drop(SimRuntime::spawn(async move {
            let patience = Duration::from_secs(3);
            let _ = SimRuntime::timeout(patience, stopping).await;
            world.kill(id, false);
            world.dooms(id, false);
            world.stops(id, false);
            SimRuntime::sleep(down).await;
            world.boot_again(id);
        }));
    }
}
