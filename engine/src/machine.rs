//! Machines: as users write them, and compiled for deciding.

mod compiled;
pub mod definition;
pub mod expression;
pub mod guard;
pub mod nearest;
mod pattern;
pub mod schema;
pub mod span;
mod version;

pub use compiled::Compiled;
pub(crate) use version::{Choices, Machine, TransitionRule, checksum};
