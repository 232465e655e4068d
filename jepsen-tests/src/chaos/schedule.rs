//! The kinds, times and lengths of the faults: drawn from a seed, or read from a file.
//!
//! Each fault chooses its nodes when it begins, by a seed of its own, because the choice depends on the leader and
//! the members at that time.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::faketime::NOTICED_WITHIN;
use crate::harness::rng::Rng;

/// A kind of fault.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL for one node.
    KillOne,
    /// SIGKILL for a minority, the leader among them as often as not.
    KillMinority,
    /// SIGKILL for all nodes, one right after the other.
    KillAll,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// Two parts that do not reach each other.
    Halves,
    /// The leader reaches no other node.
    LeaderAlone,
    /// The leader reaches one node of a majority that could elect another.
    Tethered,
    /// Each node reaches a majority, and no two nodes reach the same majority.
    MajorityRing,
    /// One direction of the links of a node.
    OneWay,
    /// Two parts that only one node reaches both of.
    Bridge,
    /// Each direction of each link is cut or not, at random.
    AnyWays,
    /// A node without any connection, by other means than links.
    Isolated,
    /// Messages are late.
    Slow,
    /// Links are cut and whole in turn.
    Flapping,
    /// Connections break again and again.
    Resets,
    /// Few bytes a second.
    Narrow,
    /// Large packets are dropped however often they are sent.
    LargeLost,
    /// The wall clock of a node jumps.
    ClockJump,
    /// The clocks of a node, the monotonic one too, run at another speed.
    ClockDrift,
    /// The leader is told to hand over.
    Transfer,
    /// A node joins, or leaves.
    Members,
    /// All nodes are stopped and started, one after the other.
    Rolling,
    /// A node loses its folder and is replaced by another.
    Emptied,
    /// A node gets other addresses.
    Moved,
    /// The next step of a rolling upgrade from the program before. A run with this kind begins with that program.
    Upgrade,
    /// Tokens and limits change while the nodes run.
    Reload,
    /// A node's file system loses what was not synced.
    PowerCut,
    /// A system call on the log fails, or kills the node.
    FailingCall,
    /// The log's writes succeed and write nothing; the node is replaced.
    LyingWrites,
    /// A disk has no room.
    FullDisk,
    /// Snapshots and compaction on all nodes without a pause.
    Snapshots,
    /// Very many connections that say nothing.
    Strangers,
    /// Connections with large unfinished frames, and others that read no answer.
    Hoarders,
    /// Legal requests with large effects.
    Heavy,
}

impl FaultKind {
    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Every kind.
    pub const ALL: [FaultKind; 34] = [
        FaultKind::KillOne,
        FaultKind::KillMinority,
        FaultKind::KillAll,
        FaultKind::Pause,
        FaultKind::Halves,
        FaultKind::LeaderAlone,
        FaultKind::Tethered,
        FaultKind::MajorityRing,
        FaultKind::OneWay,
        FaultKind::Bridge,
        FaultKind::AnyWays,
        FaultKind::Isolated,
        FaultKind::Slow,
        FaultKind::Flapping,
        FaultKind::Resets,
        FaultKind::Narrow,
        FaultKind::LargeLost,
        FaultKind::ClockJump,
        FaultKind::ClockDrift,
        FaultKind::Transfer,
        FaultKind::Members,
        FaultKind::Rolling,
        FaultKind::Emptied,
        FaultKind::Moved,
        FaultKind::Upgrade,
        FaultKind::Reload,
        FaultKind::PowerCut,
        FaultKind::FailingCall,
        FaultKind::LyingWrites,
        FaultKind::FullDisk,
        FaultKind::Snapshots,
        FaultKind::Strangers,
        FaultKind::Hoarders,
        FaultKind::Heavy,
    ];
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// When, in milliseconds since the load began.
    pub at_ms: u64,
    /// For how long, where it is something that lasts.
    pub lasts_ms: u64,
    /// What.
    pub kind: FaultKind,
    /// The seed of the fault's remaining choices.
    pub seed: u64,
}

/// The time without faults at the beginning. Slow requests in that time are not due to faults.
const QUIET_AT_FIRST_MS: u64 = 3_000;
/// The time without faults at the end, so that every fault has ended.
const QUIET_AT_LAST_MS: u64 = 5_000;

/// The steps of an upgrade: of five nodes, the end of it, and an attempt to go back.
const UPGRADE_STEPS: u64 = 7;
/// The part of a run in which its nodes are upgraded.
const UPGRADE_PERCENT: u64 = 60;
/// How long a fault lasts, in milliseconds.
const LASTS_MS: (u64, u64) = (500, 6_000);

/// Draws faults of these kinds for a run of this length: each kind comes once before any comes again, in an
/// order of the seed's, and some of them overlap.
pub fn draw(kinds: &BTreeSet<FaultKind>, length: Duration, rng: &mut Rng) -> Vec<Planned> {
    let end = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let end = end.saturating_sub(QUIET_AT_LAST_MS);
    let mut planned = upgrade(kinds, end, rng);
    let kinds: Vec<FaultKind> = kinds
        .iter()
        .copied()
        .filter(|kind| *kind != FaultKind::Upgrade)
        .collect();
    let mut left: Vec<FaultKind> = Vec::new();
    let mut at_ms = QUIET_AT_FIRST_MS;
    while at_ms < end && !kinds.is_empty() {
        if left.is_empty() {
            left.extend(&kinds);
        }
        let kind = left.swap_remove(rng.index(left.len()));
        let least_ms = match kind {
            // Long enough for a node to notice it.
            FaultKind::ClockJump => NOTICED_WITHIN.as_secs() * 1_000 + 1_000,
            _ => LASTS_MS.0,
        };
        let lasts_ms = rng.between(least_ms, LASTS_MS.1).min(end - at_ms);
        let seed = rng.number();
        planned.push(Planned {
            at_ms,
            lasts_ms,
            kind,
            seed,
        });
        // Sometimes the next fault begins while this one lasts.
        let pause = rng.between(200, 3_000);
        at_ms += match rng.percent(35) {
            true => rng.between(100, lasts_ms.max(101)),
            false => lasts_ms + pause,
        };
    }
    planned.sort_by_key(|planned| planned.at_ms);
    planned
}

/// The steps of a rolling upgrade, in its part of the run: clients are to use the new level, too.
fn upgrade(kinds: &BTreeSet<FaultKind>, end: u64, rng: &mut Rng) -> Vec<Planned> {
    if !kinds.contains(&FaultKind::Upgrade) {
        return Vec::new();
    }
    let span_ms = (end * UPGRADE_PERCENT / 100).saturating_sub(QUIET_AT_FIRST_MS);
    let steps = (0..UPGRADE_STEPS).map(|step| Planned {
        at_ms: QUIET_AT_FIRST_MS + 1 + span_ms * step / UPGRADE_STEPS,
        lasts_ms: rng.between(LASTS_MS.0, LASTS_MS.0 * 3),
        kind: FaultKind::Upgrade,
        seed: rng.number(),
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_with_every_kind_and_within_its_time() {
        let kinds = BTreeSet::from(FaultKind::ALL);
        let length = Duration::from_secs(240);
        let draw = |seed| draw(&kinds, length, &mut Rng::new(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for seed in 0..50 {
            let planned = draw(seed);
            let drawn: BTreeSet<FaultKind> = planned.iter().map(|planned| planned.kind).collect();
            assert_eq!(drawn, kinds, "seed {seed}");
            assert!(
                planned
                    .iter()
                    .all(|one| one.at_ms + one.lasts_ms <= 235_000)
            );
            let jump = |planned: &&Planned| planned.kind == FaultKind::ClockJump;
            let noticed = planned.iter().filter(jump).all(|jump| {
                let is_last = jump.at_ms + jump.lasts_ms == 235_000;
                is_last || Duration::from_millis(jump.lasts_ms) > NOTICED_WITHIN
            });
            assert!(noticed, "seed {seed}");
            assert!(planned.windows(2).all(|two| two[0].at_ms <= two[1].at_ms));
            let overlap = |two: &[Planned]| two[0].at_ms + two[0].lasts_ms > two[1].at_ms;
            assert!(planned.windows(2).any(overlap), "seed {seed}");
        }
    }
}
