//! Whether the database does something by itself: timers, deliveries, jobs.

use xxhash_rust::xxh3::xxh3_128;

use crate::fact;

/// The state of automation, and who has set it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automation {
    /// Nothing happens by itself.
    pub paused: bool,
    /// Since when, Unix milliseconds; 0 when it was never paused.
    pub since_ms: u64,
    /// Why, for people; may be empty.
    pub reason: String,
    /// Who has set it; may be empty.
    pub by: String,
    /// By how much all timers were moved when it was resumed, in sum.
    pub shift_ms: u64,
    /// Timers whose time, without any shift, is below this one were skipped when it was resumed.
    pub skip_below_ms: u64,
}

impl Automation {
    /// The word for it: `paused` or `running`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.paused {
            true => "paused",
            false => "running",
        }
    }

    /// What it is after `set` at this time.
    #[must_use]
    pub(crate) fn after(&self, set: &fact::SetAutomation, time_ms: u64, by: &str) -> Self {
        let resumed = self.paused && !set.paused;
        let shift_ms = match resumed && set.shift_timers {
            true => self
                .shift_ms
                .saturating_add(time_ms.saturating_sub(self.since_ms)),
            false => self.shift_ms,
        };
        let skip_below_ms = match resumed && set.skip_overdue {
            true => time_ms.saturating_sub(shift_ms),
            false => self.skip_below_ms,
        };
        Self {
            paused: set.paused,
            since_ms: time_ms,
            reason: set.reason.clone(),
            by: by.to_owned(),
            shift_ms,
            skip_below_ms,
        }
    }

    pub(super) fn digest(&self) -> u128 {
        let mut text = vec![b'a', u8::from(self.paused)];
        text.extend_from_slice(&self.since_ms.to_le_bytes());
        text.extend_from_slice(&(self.reason.len() as u64).to_le_bytes());
        text.extend_from_slice(self.reason.as_bytes());
        text.extend_from_slice(self.by.as_bytes());
        if self.shift_ms > 0 || self.skip_below_ms > 0 {
            text.push(0);
            text.extend_from_slice(&self.shift_ms.to_le_bytes());
            text.extend_from_slice(&self.skip_below_ms.to_le_bytes());
        }
        xxh3_128(&text)
    }
}
