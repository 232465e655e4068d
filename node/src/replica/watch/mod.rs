//! Watches: who is woken by an event, and how a watch reads on.

pub mod cursor;
pub(crate) mod event;
pub mod hub;
