//! The links between nodes, each in one direction, and the rules that disturb them at the moment.
//!
//! Every fault adds and removes its rules under its own number, so that faults may overlap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// From one node to another.
pub type Way = (u64, u64);

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// Nothing passes. Data waits, as in a network that drops packets.
    Cut,
    /// Everything is delayed by this time, and at random by up to this time again.
    Slow(Duration),
    /// Cut and whole in turn, each for this long.
    Flap(Duration),
    /// Each connection carries this many bytes a second.
    Rate(u64),
    /// A packet larger than this is held, together with everything after it on its connection. A connection
    /// with smaller segments has no such packets.
    PacketMax(u64),
    /// The connection breaks, on average once in this time while data passes.
    Reset(Duration),
}

/// What a link does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCondition {
    /// Whether nothing passes.
    pub cut: bool,
    /// How late everything is, at least.
    pub delay: Duration,
    /// How many bytes a second a connection carries.
    pub rate: Option<u64>,
    /// The largest packet that passes, in bytes.
    pub packet_max: Option<u64>,
    /// How often a connection breaks.
    pub reset_every: Option<Duration>,
    /// When these effects change although no rule is added or removed.
    pub until: Option<Instant>,
}

/// The rules of each fault, by its number.
type LinkRules = BTreeMap<u64, Vec<(Way, LinkRule)>>;

/// All links. Clones are the same links.
#[derive(Debug, Clone)]
pub struct Links {
    begun: Instant,
    rules: Arc<Mutex<LinkRules>>,
    changed: Arc<watch::Sender<u64>>,
    broken: Arc<watch::Sender<u64>>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            rules: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
            broken: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Links {
    /// Adds the rules of a fault.
    pub fn add(&self, fault: u64, rules: Vec<(Way, LinkRule)>) {
        self.rules.lock().insert(fault, rules);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Takes the rules of a fault back.
    pub fn remove(&self, fault: u64) {
        self.rules.lock().remove(&fault);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Takes all rules back.
    pub fn heal(&self) {
        self.rules.lock().clear();
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Breaks every connection there is.
    pub fn break_all(&self) {
        self.broken.send_modify(|times| *times += 1);
    }

    /// Tells of every change of the rules.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells whenever all connections are to break.
    pub fn breaks(&self) -> watch::Receiver<u64> {
        self.broken.subscribe()
    }

    /// What a link does now.
    pub fn condition(&self, way: Way) -> LinkCondition {
        let now = Instant::now();
        let mut condition = LinkCondition::default();
        let rules = self.rules.lock();
        let of_way = rules.values().flatten().filter(|(of, _)| *of == way);
        for (_, rule) in of_way {
            match rule {
                LinkRule::Cut => condition.cut = true,
                LinkRule::Slow(delay) => condition.delay = condition.delay.max(*delay),
                LinkRule::Rate(bytes) => condition.rate = least(condition.rate, *bytes),
                LinkRule::PacketMax(max) => {
                    condition.packet_max = least(condition.packet_max, *max)
                }
                LinkRule::Reset(every) => condition.reset_every = Some(*every),
                LinkRule::Flap(period) => {
                    let (is_cut, change) = flapping(self.begun, now, *period);
                    condition.cut |= is_cut;
                    let sooner = condition.until.map_or(change, |until| until.min(change));
                    condition.until = Some(sooner);
                }
            }
        }
        condition
    }
}

fn least(known: Option<u64>, other: u64) -> Option<u64> {
    Some(known.map_or(other, |known| known.min(other)))
}

/// Whether a flapping link is cut now, and when that changes.
fn flapping(begun: Instant, now: Instant, period: Duration) -> (bool, Instant) {
    let period_ms = period.as_millis().max(1);
    let periods = (now - begun).as_millis() / period_ms;
    let next = u64::try_from((periods + 1) * period_ms).unwrap_or(u64::MAX);
    (
        periods.is_multiple_of(2),
        begun + Duration::from_millis(next),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rules_of_several_faults_add_up_and_are_taken_back_one_by_one() {
        let links = Links::default();
        links.add(1, vec![((1, 2), LinkRule::Cut)]);
        links.add(
            2,
            vec![((1, 2), LinkRule::Cut), ((2, 1), LinkRule::Slow(5 * MS))],
        );
        assert!(links.condition((1, 2)).cut && !links.condition((2, 1)).cut);
        assert_eq!(links.condition((2, 1)).delay, 5 * MS);
        links.remove(1);
        assert!(links.condition((1, 2)).cut);
        links.remove(2);
        assert_eq!(links.condition((1, 2)), LinkCondition::default());
        links.add(
            3,
            vec![
                ((1, 2), LinkRule::Rate(9)),
                ((1, 2), LinkRule::PacketMax(7)),
            ],
        );
        links.add(4, vec![((1, 2), LinkRule::Rate(5))]);
        let condition = links.condition((1, 2));
        assert_eq!((condition.rate, condition.packet_max), (Some(5), Some(7)));
    }

    #[test]
    fn a_flapping_link_is_cut_half_of_the_time_and_says_when_it_changes() {
        let begun = Instant::now();
        let at = |ms| flapping(begun, begun + ms * MS, 100 * MS);
        assert_eq!(at(0), (true, begun + 100 * MS));
        assert_eq!(at(99), (true, begun + 100 * MS));
        assert_eq!(at(100), (false, begun + 200 * MS));
        assert_eq!(at(250), (true, begun + 300 * MS));
    }
}
