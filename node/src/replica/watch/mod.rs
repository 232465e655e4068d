//! Watches: which of them an event wakes, and how a watch reads on.

pub mod cursor;
pub(crate) mod event;
pub mod hub;
