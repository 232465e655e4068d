//! Whether the database does something by itself: timers, deliveries, jobs.

use xxhash_rust::xxh3::xxh3_128;

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

    pub(super) fn digest(&self) -> u128 {
        let mut text = vec![b'a', u8::from(self.paused)];
        text.extend_from_slice(&self.since_ms.to_le_bytes());
        text.extend_from_slice(&(self.reason.len() as u64).to_le_bytes());
        text.extend_from_slice(self.reason.as_bytes());
        text.extend_from_slice(self.by.as_bytes());
        xxh3_128(&text)
    }
}
