//! What the cluster has agreed on besides its contents: the feature level, and whether automation is paused.

use prometheus::IntGauge;

use super::Maker;
use crate::replica::Status;

/// The metrics of the feature level and of automation.
pub(super) struct Agreed {
    level: IntGauge,
    understood: IntGauge,
    paused: IntGauge,
}

impl Agreed {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            level: make.gauge(
                "rstmdb_feature_level",
                "The feature level: what the log may hold.",
            )?,
            understood: make.gauge(
                "rstmdb_feature_level_understood",
                "The highest feature level that this node's program understands.",
            )?,
            paused: make.gauge(
                "rstmdb_automation_paused",
                "1 while the database does nothing by itself.",
            )?,
        })
    }

    pub(super) fn set(&self, status: &Status) {
        self.level.set(status.level.into());
        self.understood.set(status.understands.into());
        self.paused.set(status.automation.paused.into());
    }
}
