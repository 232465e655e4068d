//! A data folder apart from its log and snapshots: the names in it, the options of its owner, the node it
//! belongs to, and whether it may be opened.
//!
//! | module | holds |
//! |---|---|
//! | `options` | the owner's options |
//! | `layout` | the names of files and folders |
//! | `identity`, `roster` | which node the folder belongs to; which nodes that node has met |
//! | `json_file` | how these two are written and checked |
//! | `lock`, `unfinished` | when the folder must not be opened |
//! | `rejoin` | emptying it |

pub(crate) mod identity;
mod json_file;
pub(crate) mod layout;
pub(crate) mod lock;
mod options;
mod rejoin;
pub(crate) mod roster;
pub(crate) mod unfinished;

pub use identity::{Identity, read_identity};
pub(crate) use layout::{IDENTITY_NAME, Layout, PEERS_NAME};
pub use options::{Clock, FsyncPolicy, Options, Reclaimed, Retention, Stopwatch};
pub use rejoin::rejoin;
pub use roster::{Acquaintance, Roster};
