//! The commands that follow the log from fact to fact.
//!
//! | module | subject |
//! |---|---|
//! | `export` | definitions and live instances, in the form that `load` reads |
//! | `history` | one instance's facts, newest first |
//! | `walk` | the log's pages forward, one instance's facts backward |

mod export;
mod history;
mod walk;

pub(super) use export::run as export;
pub(super) use history::run as history;
