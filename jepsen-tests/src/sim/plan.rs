//! Everything that a seed decides before its run begins. Each run has another mixture of settings and faults,
//! because some bugs show only when certain faults are absent.

use std::sync::Arc;
use std::time::Duration;

use rstmdb::replica::{ArchiveOptions, Options};
use rstmdb_engine::fact::level;
use rstmdb_raft_store::Retention;
use rstmdb_sim::archive::SimArchive;
use rstmdb_sim::rng::Rng;
use rstmdb_sim::settings::Settings;

/// With this few lost messages, elections still succeed soon.
const LOSS_PERMILLE_SMALL: u64 = 2;
/// Longer than a run takes, and far less than a wall clock jumps by.
const KEY_RETENTION_MS: u64 = 600_000;
/// How far a clock jumps at most, in milliseconds.
pub const JUMP_MS: u64 = 28 * 3_600_000;

/// How long a node waits for the archive.
const ARCHIVE_TIMEOUT: Duration = Duration::from_millis(400);

/// Only clocks of another speed put the log's time ahead, because one wall clock is wrong at a time.
const LOG_AHEAD_MAX: Duration = Duration::from_secs(3);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The processes of one or more nodes are killed. What they wrote stays.
    Kill,
    /// The power of one or more nodes is cut. Each unsynced write is lost, kept or torn.
    PowerCut,
    /// Links are cut: halves, the leader alone or at one link, a majority ring, a bridge, one way only, any ways.
    Partition,
    /// One link, or all of a node's, are slow.
    SlowLinks,
    /// A node is paused and continues.
    Freeze,
    /// The leadership is handed over.
    Transfer,
    /// The wall clock of a node jumps.
    ClockJump,
    /// Nodes are asked for a snapshot.
    Snapshot,
    /// A disk has no room for a while.
    FullDisk,
    /// Nodes are added, promoted, removed and replaced.
    Members,
    /// History or a snapshot on a disk is damaged.
    Damage,
    /// Nodes are shut down in order and started again.
    Restart,
    /// Nodes get other addresses.
    Moved,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 13] = [
        Fault::Kill,
        Fault::PowerCut,
        Fault::Partition,
        Fault::SlowLinks,
        Fault::Freeze,
        Fault::Transfer,
        Fault::ClockJump,
        Fault::Snapshot,
        Fault::FullDisk,
        Fault::Members,
        Fault::Damage,
        Fault::Restart,
        Fault::Moved,
    ];
}

/// The settings and the faults of one run.
#[derive(Debug, Clone)]
pub struct SimPlan {
    /// The cluster.
    pub settings: Settings,
    /// The faults that this run has.
    pub faults: Vec<Fault>,
    /// Where history goes that the nodes do not keep, in runs with retention.
    pub archive: Option<Arc<SimArchive>>,
    /// For how long.
    pub trouble: Duration,
    /// The mean time between two faults.
    pub pause: Duration,
    /// How many clients there are.
    pub clients: u64,
    /// How many commands each of them submits without waiting, at most.
    pub burst: u64,
    /// The longest pause of a client.
    pub think: Duration,
    /// How many instances they write to.
    pub instances: u64,
    /// How many fuses there are, whose timers fire by themselves.
    pub fuses: u64,
    /// How many clients keep them.
    pub keepers: u64,
    /// Whether automation is paused now and then.
    pub pauses: bool,
    /// Whether all clocks may jump together, and not only one of them.
    pub jumps_together: bool,
    /// Whether the run begins at the first feature level, which is raised meanwhile.
    pub raises: bool,
}

impl SimPlan {
    /// The plan of `seed`, with this many nodes; the seed decides their number when absent.
    #[must_use]
    pub fn draw(seed: u64, nodes: Option<u64>) -> Self {
        let mut rng = Rng::new(seed ^ 0x51d);
        let ms = Duration::from_millis;
        let drawn_nodes = *rng.pick(&[3, 3, 5]);
        let heartbeat = rng.between(10, 40);
        let faults = drawn_faults(&mut rng);
        let latency = [
            Duration::from_micros(rng.between(50, 2_000)),
            Duration::from_micros(*rng.pick(&[0, 500, 5_000, 20_000])),
        ];
        // At least two round trips. Otherwise no node leads for long.
        let election = ms(heartbeat * rng.between(3, 6)).max((latency[0] + latency[1]) * 4);
        let (trouble, pause) = (ms(rng.between(300, 1_500)), ms(rng.between(15, 150)));
        let loss_permille = *rng.pick(&[0, 0, 2, 20, 60]);
        let settings = Settings {
            heartbeat: ms(heartbeat),
            election,
            leader_wait: election * 6,
            stall_timeout: election * 3,
            latency,
            loss_permille,
            disk: Duration::from_micros(*rng.pick(&[0, 200, 2_000, 10_000])),
            skew: *rng.pick(&[0, 1_000, 20_000]),
            segment_bytes: *rng.pick(&[4 << 10, 8 << 10, 32 << 10]),
            cache_bytes: *rng.pick(&[0, 2 << 10, 1 << 20]),
            snapshot_entries: *rng.pick(&[10, 30, 100, 1_000_000]),
            kept: *rng.pick(&[0, 5, 50, 1_000]),
            key_retention_ms: KEY_RETENTION_MS,
            log_ahead_max: LOG_AHEAD_MAX,
            clients_say: true,
            promises_leader: !faults.contains(&Fault::Members)
                && !faults.contains(&Fault::Moved)
                && loss_permille <= LOSS_PERMILLE_SMALL,
            ..Settings::calm(seed, nodes.unwrap_or(drawn_nodes))
        };
        let is_damaged = faults.contains(&Fault::Damage);
        let (settings, archive) = archived(settings, is_damaged, &mut rng);
        let timers = TimersPlan::draw(seed, &faults);
        Self {
            fuses: timers.fuses,
            keepers: timers.keepers,
            pauses: timers.pauses,
            jumps_together: timers.jumps_together,
            raises: timers.raises,
            faults,
            archive,
            trouble,
            pause,
            clients: rng.between(2, 6),
            burst: *rng.pick(&[1, 1, 4, 10]),
            think: ms(*rng.pick(&[5, 20, 60])),
            instances: rng.between(1, 6),
            settings: Settings {
                costly_bytes: *rng.pick(&[Options::COSTLY_BYTES, 2_100, 0]),
                ..timers.allowing(settings)
            },
        }
    }
}

/// One kind of fault at least.
fn drawn_faults(rng: &mut Rng) -> Vec<Fault> {
    loop {
        let share = rng.between(20, 70);
        let chosen = Fault::ALL.into_iter().filter(|_| rng.percent(share));
        let chosen: Vec<_> = chosen.collect();
        if !chosen.is_empty() {
            return chosen;
        }
    }
}

/// The timers of a run. They are drawn beside the rest of the plan.
struct TimersPlan {
    fuses: u64,
    keepers: u64,
    pauses: bool,
    jumps_together: bool,
    raises: bool,
}

impl TimersPlan {
    fn draw(seed: u64, faults: &[Fault]) -> Self {
        let clocks_jump = faults.contains(&Fault::ClockJump);
        let mut rng = Rng::new(seed ^ 0xf05e);
        let fuses = match rng.percent(50) {
            true => rng.between(1, 5),
            false => 0,
        };
        let keepers = rng.between(1, 2);
        let jumps_together = fuses > 0 && clocks_jump && rng.percent(40);
        // A node that joins has the program that the first nodes had.
        let raises = fuses > 0 && !faults.contains(&Fault::Members) && rng.percent(20);
        Self {
            fuses,
            keepers,
            pauses: fuses > 0 && !raises && rng.percent(40),
            jumps_together,
            raises,
        }
    }

    /// If all clocks jump together, the log's time may follow at the next change of the leader. No key is to be
    /// forgotten then: its repetition would take effect.
    ///
    /// At the first level clients say nothing about their writes.
    fn allowing(&self, mut settings: Settings) -> Settings {
        if self.jumps_together {
            settings.log_ahead_max = LOG_AHEAD_MAX + Duration::from_millis(JUMP_MS);
            settings.key_retention_ms = KEY_RETENTION_MS + 4 * JUMP_MS;
        }
        if self.raises {
            settings.understands = level::FIRST;
            settings.raises_level = true;
            settings.clients_say = false;
        }
        settings
    }
}

/// The settings of a run, in which retention may let history go into an archive, and that archive. Damaged history is
/// healed from other nodes, which must not have let it go.
fn archived(
    settings: Settings,
    is_damaged: bool,
    rng: &mut Rng,
) -> (Settings, Option<Arc<SimArchive>>) {
    if !rng.percent(30) || is_damaged {
        return (settings, None);
    }
    let slowest = Duration::from_millis(*rng.pick(&[1, 20, 300]));
    let fails_percent = *rng.pick(&[0, 10, 40]);
    let archive = Arc::new(SimArchive::new(settings.seed, slowest, fails_percent));
    let settings = Settings {
        retention: Retention {
            events: Some(*rng.pick(&[5, 20, 60])),
            ..Retention::default()
        },
        archive: Some(ArchiveOptions {
            archive: archive.clone(),
            cache_bytes: 20 << 10,
            timeout: ARCHIVE_TIMEOUT,
        }),
        snapshot_entries: *rng.pick(&[10, 30]),
        segment_bytes: 4 << 10,
        kept: *rng.pick(&[0, 5]),
        ..settings
    };
    (settings, Some(archive))
}
