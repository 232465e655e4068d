//! A data folder apart from its log and snapshots: what is in it under which name, what its owner decides about it,
//! whose it is, and who may open it.
//!
//! | module | holds |
//! |---|---|
//! | `options` | what the owner decides |
//! | `layout` | the names of files and folders |
//! | `identity`, `roster` | whose folder it is; which nodes it has met |
//! | `json_file` | how these two are written, and never misread |
//! | `lock`, `unfinished` | when it must not be opened |
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
