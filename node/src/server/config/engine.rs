//! What the database remembers of requests, and does by itself.

use std::time::Duration;

/// How long and how many idempotency keys are remembered.
#[derive(Debug, Clone, Default)]
pub struct Idempotency {
    /// `idempotency.retention_secs`
    pub retention: Duration,
    /// `idempotency.max_keys`
    pub keys_max: u64,
    /// `idempotency.max_mb`, in bytes
    pub bytes_max: u64,
}

/// How timers fire.
#[derive(Debug, Clone, Default)]
pub struct TimersConfig {
    /// `timers.in_flight`
    pub in_flight: usize,
}
