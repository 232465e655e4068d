//! The log while it is open: what its handles and its writer share, and the writer.
//!
//! | module | holds |
//! |---|---|
//! | `shared` | the queue between handles and writer, the failure latch, counters |
//! | `tail` | the log in memory: hard state and recent entries |
//! | `read` | entries by index, from memory or files |
//! | `batch` | one batch, built from the writer's requests |
//! | `writer` | group commit: one write and one sync for all that is queued |
//! | `supersede` | a log that a snapshot replaces |
//! | `catalog` | what is in sealed segments, so that a start need not read them |
//! | `invariants` | what must hold after every step |
//! | `planted` | a planted bug that the tests must find |

mod batch;
pub(crate) mod catalog;
mod invariants;
pub(crate) mod planted;
pub(crate) mod read;
pub(crate) mod shared;
mod supersede;
pub(crate) mod tail;
pub(crate) mod writer;
