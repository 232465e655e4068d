//! What callers and the engine say to each other.

pub mod command;
mod refusal;
pub mod reply;

pub use refusal::Refusal;
pub(crate) use refusal::{check_name, check_ops};
