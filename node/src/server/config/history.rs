//! The keys about snapshots, retention and the archive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rstmdb_objects::{BucketOptions, Location};

/// Snapshots and how long history is kept.
#[derive(Debug, Clone, Default)]
pub struct CompactionConfig {
    /// `compaction.enabled`
    pub enabled: bool,
    /// `compaction.events_threshold`
    pub events_threshold: u64,
    /// `compaction.size_threshold_mb`, in bytes
    pub size_threshold_bytes: u64,
    /// `compaction.min_interval_secs`
    pub interval_min: Duration,
    /// `compaction.retain_events`
    pub retain_events: Option<u64>,
    /// `compaction.retain_hours`
    pub retain_hours: Option<u64>,
    /// `compaction.retain_mb`
    pub retain_mb: Option<u64>,
    /// `compaction.archive_dir`
    pub archive_dir: Option<PathBuf>,
}

/// Where history goes that is no longer kept here.
#[derive(Debug, Clone, Default)]
pub struct ArchiveConfig {
    /// `archive.url`
    pub location: Option<Location>,
    /// `archive.cache_mb`, in bytes
    pub cache_bytes: u64,
    /// `archive.timeout_secs`
    pub timeout: Duration,
    /// The keys of `archive.s3`
    pub bucket: BucketOptions,
}

impl ArchiveConfig {
    /// The folder, where it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.location {
            Some(Location::Folder(dir)) => Some(dir),
            Some(Location::Bucket(_)) | None => None,
        }
    }
}
