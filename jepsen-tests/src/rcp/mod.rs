//! The protocol below the client library: plain connections, the log, and watches.
//!
//! | module | subject |
//! |---|---|
//! | [`raw`] | a blocking connection that sends any bytes, retries nothing and hides nothing |
//! | [`wal`] | the whole log, read through WAL_READ |
//! | [`watcher`] | a watcher that resumes by offset |
//! | [`watchers`] | several watchers over a whole run |

pub mod raw;
pub mod wal;
pub mod watcher;
pub mod watchers;
