//! The values that callers and the engine exchange: commands, replies, refusals.

mod check;
pub mod command;
pub(crate) mod reach;
pub(crate) mod refusal;
pub mod reply;

pub(crate) use check::{check_headers, check_id, check_name, check_ops, check_prose, check_text};
pub use reach::{MachineNames, Reach};
pub use refusal::{LockRefusal, Refusal, TRIED};
