//! The log's time.

pub(crate) mod clocks;
pub(crate) mod known;
pub(crate) mod leader_clock;
pub(crate) mod log_time;
