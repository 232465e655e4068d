//! Bugs to test the tests with: compiled in with the feature `planted-bugs` only, and even then each is off until a
//! test asks for it. A process has one bug at most, in all its replicas.
//!
//! A suite that has never found a bug proves nothing. Databases of this kind have really had these bugs. Each run of
//! `jepsen-tests` that is to find one must do so in its time.

use std::fmt;
use std::str::FromStr;
#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicU8, Ordering};

/// Names the bug that a server is to have.
pub const VARIABLE: &str = "RSTMDB_PLANTED_BUG";

/// With its bug planted, a watch misses the event that wakes it at each offset that this divides.
pub(crate) const WATCH_DROPS_EVERY: u64 = 100;

/// With its bug planted, a timer fires by so much before its time, in milliseconds.
pub(crate) const FIRES_EARLY_MS: u64 = 30;

/// What can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Linearizable reads are answered from what the node has applied, without asking the leader or a majority.
    ReadWithoutReadIndex = 1,
    /// The log reports entries as durable before it has written them.
    AckBeforeFsync,
    /// An event is applied although its entry landed elsewhere than predicted, or its instance had moved on.
    StaleFactApplied,
    /// A watch that has caught up now and then misses the event that wakes it.
    WatchDrops,
    /// A notice of a watch's progress names the next offset, which was not looked at.
    ProgressTooEarly,
    /// A leader knows no idempotency key from before it led, and the cluster forgets them with it.
    KeysLostOnFailover,
    /// A watch that reads the log's files is not told of deletions.
    CatchUpDropsDeletions,
    /// The log's time is what the leader's wall clock shows, or the last time in the log where that is later.
    LogTimeFollowsWallClock,
    /// A leader raises the feature level although it has not asked the last of the members.
    LevelRaisedTooEarly,
    /// A stale entry does not go into the chain over the log.
    ChainSkipsStale,
    /// A state that is loaded from a snapshot has lost the head of its chain.
    ChainLostBySnapshot,
    /// A dry run of an event writes the event, and takes its idempotency key.
    DryRunWrites,
    /// A leader ignores what the client of another node says about its write.
    MetadataLostByForwarding,
    /// A reload adds tokens and takes none away.
    ReloadForgetsARevocation,
    /// The new addresses of a member are confirmed, and not written.
    MovedMemberStaysWhereItWas,
    /// A write takes effect although the token of its fence does not hold the lock any more.
    FenceNotChecked,
    /// A timer fires a little before its time.
    TimerFiresBeforeDue,
    /// A new leader fires what it knew to become due, also what has fired already.
    TimerFiresTwiceAfterFailover,
    /// A transition to the same state arms the timers of the state again.
    SelfTransitionRearms,
    /// A version of a machine is deleted although instances have it.
    MachineInUseDeleted,
    /// A leader answers `lease` reads for as long as openraft's lease lasts, not only while the voters keep their part.
    LeaseOutlivesThePromise,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::ReadWithoutReadIndex,
        Self::AckBeforeFsync,
        Self::StaleFactApplied,
        Self::WatchDrops,
        Self::ProgressTooEarly,
        Self::KeysLostOnFailover,
        Self::CatchUpDropsDeletions,
        Self::LogTimeFollowsWallClock,
        Self::LevelRaisedTooEarly,
        Self::ChainSkipsStale,
        Self::ChainLostBySnapshot,
        Self::DryRunWrites,
        Self::MetadataLostByForwarding,
        Self::ReloadForgetsARevocation,
        Self::MovedMemberStaysWhereItWas,
        Self::FenceNotChecked,
        Self::TimerFiresBeforeDue,
        Self::TimerFiresTwiceAfterFailover,
        Self::SelfTransitionRearms,
        Self::MachineInUseDeleted,
        Self::LeaseOutlivesThePromise,
    ];

    /// What it is called in [`VARIABLE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadWithoutReadIndex => "read-without-read-index",
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::StaleFactApplied => "stale-fact-applied",
            Self::WatchDrops => "watch-drops",
            Self::ProgressTooEarly => "progress-too-early",
            Self::KeysLostOnFailover => "keys-lost-on-failover",
            Self::CatchUpDropsDeletions => "catch-up-drops-deletions",
            Self::LogTimeFollowsWallClock => "log-time-follows-wall-clock",
            Self::LevelRaisedTooEarly => "level-raised-too-early",
            Self::ChainSkipsStale => "chain-skips-stale",
            Self::ChainLostBySnapshot => "chain-lost-by-snapshot",
            Self::DryRunWrites => "dry-run-writes",
            Self::MetadataLostByForwarding => "metadata-lost-by-forwarding",
            Self::ReloadForgetsARevocation => "reload-forgets-a-revocation",
            Self::MovedMemberStaysWhereItWas => "moved-member-stays-where-it-was",
            Self::FenceNotChecked => "fence-not-checked",
            Self::TimerFiresBeforeDue => "timer-fires-before-due",
            Self::TimerFiresTwiceAfterFailover => "timer-fires-twice-after-failover",
            Self::SelfTransitionRearms => "self-transition-rearms",
            Self::MachineInUseDeleted => "machine-in-use-deleted",
            Self::LeaseOutlivesThePromise => "lease-outlives-the-promise",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no bug has.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE}: there is no bug {0:?}, only {known}", known = Bug::ALL.map(Bug::name).join(", "))]
pub struct UnknownBug(String);

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let known = Self::ALL.into_iter().find(|bug| bug.name() == name);
        known.ok_or_else(|| UnknownBug(name.to_owned()))
    }
}

#[cfg(feature = "planted-bugs")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants the bug in this process, for good.
#[cfg(feature = "planted-bugs")]
pub fn set(bug: Bug) {
    match bug {
        Bug::AckBeforeFsync => rstmdb_raft_store::acknowledge_before_write(),
        Bug::StaleFactApplied => rstmdb_engine::apply_stale_events(),
        Bug::FenceNotChecked => rstmdb_engine::ignore_fences(),
        Bug::ChainSkipsStale => rstmdb_engine::leave_stale_entries_out(),
        Bug::ChainLostBySnapshot => rstmdb_engine::lose_heads_of_snapshots(),
        Bug::TimerFiresBeforeDue => rstmdb_engine::fire_early(),
        Bug::TimerFiresTwiceAfterFailover => rstmdb_engine::fire_again(),
        Bug::SelfTransitionRearms => rstmdb_engine::rearm_on_self_transitions(),
        Bug::MachineInUseDeleted => rstmdb_engine::delete_machines_in_use(),
        Bug::ReadWithoutReadIndex
        | Bug::WatchDrops
        | Bug::ProgressTooEarly
        | Bug::KeysLostOnFailover
        | Bug::CatchUpDropsDeletions
        | Bug::LogTimeFollowsWallClock
        | Bug::LevelRaisedTooEarly
        | Bug::DryRunWrites
        | Bug::MetadataLostByForwarding
        | Bug::ReloadForgetsARevocation
        | Bug::MovedMemberStaysWhereItWas
        | Bug::LeaseOutlivesThePromise => {}
    }
    PLANTED.store(bug as u8, Ordering::Relaxed);
}

/// Plants what [`VARIABLE`] names, if it names anything, and says so in the log.
///
/// # Errors
/// When there is no such bug.
#[cfg(feature = "planted-bugs")]
pub fn set_by_environment() -> Result<(), UnknownBug> {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    if !name.is_empty() {
        let bug = name.parse()?;
        set(bug);
        tracing::warn!(%bug, "A BUG IS PLANTED: this server is for tests of the tests");
    }
    Ok(())
}

/// In builds for tests, the highest feature level that the server acts as if it understood: an older program. Levels
/// that this program does not understand count for nothing.
pub const LEVEL_VARIABLE: &str = "RSTMDB_TEST_FEATURE_LEVEL";

/// What [`LEVEL_VARIABLE`] says, if it says anything, also to the log.
#[cfg(any(debug_assertions, feature = "planted-bugs"))]
pub(crate) fn level_by_environment() -> Option<u32> {
    use rstmdb_engine::fact::level::{CURRENT, FIRST};
    let text = std::env::var(LEVEL_VARIABLE).ok()?;
    let level = text
        .parse()
        .ok()
        .filter(|level| (FIRST..=CURRENT).contains(level))?;
    tracing::warn!(
        level,
        "this server acts as an older program does: it is for tests"
    );
    Some(level)
}

/// Whether the bug is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}
