//! What every suite needs: seeds, waits, arguments, percentiles, and reasons to skip a test.
//!
//! | module | subject |
//! |---|---|
//! | [`arguments`] | parsers of the program's arguments |
//! | [`latencies`] | percentiles of latencies |
//! | [`rng`] | seeded randomness |
//! | [`skipped`] | says why a test is skipped |
//! | [`wait`] | waits until an attempt succeeds |

pub mod arguments;
pub mod latencies;
pub mod skipped;
pub mod wait;

pub use rstmdb_sim::rng;
