//! The port for clients.
//!
//! | module | subject |
//! |---|---|
//! | `admission` | the limits and the end that all listeners for clients share |
//! | `listener` | accepts RCP connections, refuses those beyond the limit |
//! | `session` | one connection: reads, orders, works, writes |
//! | `foreign` | callers that speak another protocol |
//! | `ops` | the operations |
//! | `order` | the order of the requests of one connection |
//! | `shared` | what all sessions share |
//! | `access` | what a client may do, and what each operation needs |
//! | `auth`, `auth/guesses` | tokens and certificates; recent wrong tokens |
//! | `audit_log` | what is written down of what clients do |
//! | `budget` | what all connections together may hold in memory |
//! | `snapshot_cursors` | the places of backups in the snapshots that they read |

mod access;
pub(crate) mod admission;
pub(crate) mod audit_log;
mod auth;
pub(crate) mod budget;
mod foreign;
pub(crate) mod listener;
mod ops;
mod order;
pub(crate) mod session;
pub(crate) mod shared;
mod snapshot_cursors;
