//! The files of the log: segments, and history files in the same format. What is in each, how one is made, how they are
//! read, and what a start makes of them.
//!
//! | module | holds |
//! |---|---|
//! | `summary`, `table` | what one file holds; all of them, and what of each is still part of the log |
//! | `create` | making a segment |
//! | `scan` | decoding a file, shared by everything that reads one |
//! | `rebuild` | from records to the state they amount to |
//! | `survey` | which segments there are: the table of what is accepted, repaired, refused |
//! | `recovery` | from files to a log |
//! | `history_file` | which history files there are, and which of them join the log |
//! | `replay` | showing a whole log to a visitor |

pub(crate) mod create;
pub(crate) mod history_file;
pub(crate) mod rebuild;
pub(crate) mod recovery;
pub mod replay;
pub(crate) mod scan;
mod summary;
pub(crate) mod survey;
mod table;

pub(crate) use create::Active;
pub(crate) use summary::{HISTORY_BIT, Index, Summary};
pub(crate) use table::{FilePlace, Held, Opened, SegmentTable};
