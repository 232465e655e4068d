//! What every suite needs: seeds, waits, arguments, and reasons to skip a test.
//!
//! | module | subject |
//! |---|---|
//! | [`arguments`] | parsers of the program's arguments |
//! | [`rng`] | seeded randomness |
//! | [`skipped`] | says why a test is skipped |
//! | [`wait`] | waits until an attempt succeeds |

pub mod arguments;
pub mod rng;
pub mod skipped;
pub mod wait;
