//! History from another node: entries from before this node's log began, in files of their own.
//! A node that was given a snapshot has its log from there on only; what was before is fetched
//! newest first, and each run joins what is already there.
//!
//! | module | holds |
//! |---|---|
//! | `attach` | the files that a start finds |
//! | `receive` | taking in a run |
//! | `heal` | finding damaged files, and replacing them |
//! | `serve` | choosing the run to give |

mod attach;
mod heal;
mod receive;
mod serve;

pub(crate) use attach::attach;
pub use receive::HistoryReceiver;
