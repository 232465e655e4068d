//! Upkeep: timers and locks that are due, snapshots and retention, history in the archive, free disk space, history that
//! is missing or damaged, wrong states, backups, the end of a replica.

pub(crate) mod archiving;
pub(crate) mod backfill;
pub(crate) mod backup;
pub(crate) mod compaction;
pub(crate) mod disk_space;
pub(crate) mod divergence;
pub(crate) mod ending;
pub(crate) mod healing;
pub(crate) mod history_served;
pub(crate) mod timers;
