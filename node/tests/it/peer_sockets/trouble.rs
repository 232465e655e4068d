//! The faults of a run, drawn from the seed: one after the other, each for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use turmoil::Sim;

use super::node::{NODES, Shared, name};
use super::random::Random;

/// How long a message is under way on a link without trouble.
pub const LATENCY: Duration = Duration::from_millis(2);

/// The kinds of trouble, counted.
pub type Counts = BTreeMap<&'static str, u64>;

/// Who makes the trouble, between two steps of the simulation.
pub struct Trouble {
    random: Random,
    shared: Shared,
    next: Duration,
    heal: Option<Heal>,
    pub counts: Counts,
}

enum Heal {
    /// Every link works as it should.
    Links,
    /// This node is started again.
    Node(u64),
}

impl Trouble {
    pub fn new(seed: u64, shared: Shared) -> Self {
        Self {
            random: Random::new(seed),
            shared,
            next: Duration::ZERO,
            heal: None,
            counts: Counts::new(),
        }
    }

    /// Begins or ends what is due at `now`.
    pub fn step(&mut self, sim: &mut Sim<'_>, now: Duration) {
        if now < self.next {
            return;
        }
        if self.heal.is_some() {
            self.end(sim);
            self.next = now + self.random.millis(100, 1500);
        } else {
            let lasts = self.begin(sim);
            self.next = now + lasts;
        }
    }

    /// Ends what there is.
    pub fn end(&mut self, sim: &mut Sim<'_>) {
        match self.heal.take() {
            Some(Heal::Links) => heal_links(sim),
            Some(Heal::Node(id)) => sim.bounce(name(id)),
            None => {}
        }
    }

    /// Begins something; says for how long.
    fn begin(&mut self, sim: &mut Sim<'_>) -> Duration {
        let victim = 1 + self.random.below(NODES);
        let other = 1 + (victim + self.random.below(NODES - 1)) % NODES;
        let (one, two) = (name(victim), name(other));
        let kind = self.random.below(8);
        let what = match kind {
            0 => {
                others(victim).for_each(|other| sim.partition(name(victim), name(other)));
                "cut off"
            }
            1 => {
                // A few messages are lost, and with them every connection that they were for.
                others(victim).for_each(|other| sim.partition(name(victim), name(other)));
                "blink"
            }
            2 => {
                sim.partition_oneway(one, two);
                "one-way cut"
            }
            3 => {
                sim.hold(one, two);
                "hold"
            }
            4 => {
                let latency = self.random.millis(50, 250);
                others(victim)
                    .for_each(|other| sim.set_link_latency(name(victim), name(other), latency));
                "slow"
            }
            5 | 6 => {
                // Its data folder is locked for as long as any handle of the replica exists.
                self.shared.running.lock().remove(&victim);
                sim.crash(one);
                "crash"
            }
            _ => {
                *self.shared.orders.lock() = Some(victim);
                "transfer"
            }
        };
        *self.counts.entry(what).or_default() += 1;
        self.heal = match what {
            "crash" => Some(Heal::Node(victim)),
            "transfer" => None,
            _ => Some(Heal::Links),
        };
        match what {
            "blink" => self.random.millis(5, 60),
            "transfer" => self.random.millis(200, 1000),
            _ => self.random.millis(300, 7000),
        }
    }
}

fn others(id: u64) -> impl Iterator<Item = u64> {
    (1..=NODES).filter(move |other| *other != id)
}

/// Messages that were held are delivered. Lost ones stay lost.
fn heal_links(sim: &mut Sim<'_>) {
    for one in 1..=NODES {
        for two in one + 1..=NODES {
            sim.release(name(one), name(two));
            sim.repair(name(one), name(two));
            sim.set_link_latency(name(one), name(two), LATENCY);
        }
    }
}
