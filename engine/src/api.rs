//! The values that callers and the engine exchange: commands, replies, refusals.

pub mod command;
mod refusal;
pub mod reply;

pub use refusal::{Refusal, TRIED};
pub(crate) use refusal::{check_id, check_name, check_ops, check_text};
