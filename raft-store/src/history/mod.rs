//! History from another node: entries from before this node's log began, in files of their own.
//! A node that received a snapshot has a log that begins there. It fetches the entries before that newest
//! first. Each run joins the entries that the node already has.
//!
//! | module | holds |
//! |---|---|
//! | `attach` | the files that a start finds |
//! | `receive` | receiving a run |
//! | `heal` | finding damaged files, and replacing them |
//! | `serve` | choosing the run to give |

mod attach;
mod heal;
mod receive;
mod serve;

pub(crate) use attach::attach;
pub use receive::HistoryReceiver;
