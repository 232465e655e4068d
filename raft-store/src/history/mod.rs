//! History from another node: entries from before this node's log began, in files of their own.
//! A node that was given a snapshot has its log from there on only; what was before is fetched
//! newest first, and each run joins what is already there.
//!
//! | module | holds |
//! |---|---|
//! | `files` | the files, and which of them join the log |
//! | `receive` | taking in a run |
//! | `heal` | finding damaged files, and replacing them |
//! | `serve` | choosing the run to give |

mod files;
mod heal;
mod receive;
mod serve;

pub(crate) use files::{attach, check_content, file_name, join, list, verify_file};
pub use receive::HistoryReceiver;
