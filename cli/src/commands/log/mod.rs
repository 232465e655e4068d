//! The commands that follow the log from fact to fact.
//!
//! | module | subject |
//! |---|---|
//! | `export` | definitions and live instances, in the form that `load` reads |
//! | `history` | one instance's facts, newest first |
//! | `wal` | the log itself: a page, its end, what comes |
//! | `walk` | the log's pages forward, one instance's facts backward |

mod export;
mod history;
mod wal;
mod walk;

pub(super) use export::run as export;
pub(super) use history::run as history;
pub(super) use wal::read as wal_read;
