//! History from another node: entries from before this node's log began, in files of their own. And history that has
//! left the node for an archive.
//!
//! A node that received a snapshot has a log that begins there. It fetches the entries before that newest
//! first. Each run joins the entries that the node already has.
//!
//! | module | holds |
//! |---|---|
//! | `attach` | the files that a start finds |
//! | `receive` | receiving a run |
//! | `heal` | finding damaged files, and replacing them |
//! | `serve` | choosing the run to give |
//! | `archived` | a file in the form in which an archive keeps it, and reading it again |
//! | `archived_entries` | all of its entries at once |
//! | `archive_folder` | an archive that is a folder |

mod archive_folder;
mod archived;
mod archived_entries;
mod attach;
mod heal;
mod receive;
mod serve;

pub use archive_folder::ArchiveFolder;
pub use archived::{ArchivedFile, ArchivedName, ArchivedObject};
pub use archived_entries::archived_entries;
pub(crate) use attach::attach;
pub use receive::HistoryReceiver;
