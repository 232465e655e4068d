//! The files of the log: segments, and history files in the same format. Creates them, reads them, summarises
//! them, and recovers the log from them at a start.
//!
//! | module | holds |
//! |---|---|
//! | `summary`, `table` | the content of one file; all files, and which part of each still belongs to the log |
//! | `create` | making a segment |
//! | `scan` | decoding a file, shared by everything that reads one |
//! | `rebuild` | from records to Raft's state |
//! | `survey` | lists the segments, and decides which are accepted, repaired or refused |
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

pub(crate) use create::ActiveSegment;
pub(crate) use summary::{HISTORY_BIT, Index, SegmentSummary};
pub(crate) use table::{FilePlace, HeldFile, OpenedFile, SegmentTable};
