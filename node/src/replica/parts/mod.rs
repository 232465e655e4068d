//! Parts that several rooms of the replica use. No part depends on a room.

pub(crate) mod answer;
pub(crate) mod applied;
pub(crate) mod backfilled_log;
pub(crate) mod consistency;
pub mod counters;
pub(crate) mod gate;
pub(crate) mod invariants;
pub(crate) mod log_page;
pub(crate) mod options;
pub(crate) mod pace;
pub(crate) mod replied;
pub(crate) mod signal;
