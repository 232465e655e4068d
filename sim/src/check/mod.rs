//! The checks during a run: the committed log, its meaning, the answers, and the leaders.
//!
//! | module | subject |
//! |---|---|
//! | [`chain`] | the committed log, the same on all nodes |
//! | [`facts`] | what the log means, found without the engine |
//! | [`answers`] | what clients asked and were answered |
//! | [`leaders`] | that a majority has a leader |
//! | [`locks`] | locks, and writes under them, found without the engine |
//! | [`said`] | what clients say about their writes |
//! | [`timers`] | the armed timers, found without the engine |

pub mod answers;
pub mod chain;
pub mod facts;
pub mod leaders;
pub mod locks;
pub mod said;
pub mod timers;
