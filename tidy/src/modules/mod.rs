//! Modules that stand beside each other need each other in one direction only, and there are few of them.
//!
//! For each folder of sources: its modules, and an arrow from one to another where anything in or below the first has
//! a path that leads into the second. A path through a re-export leads to where the item is defined, and to the module
//! that re-exports it. A module may use what is in its folder's own file, and the other way round.
//!
//! What only tests contain (`#[cfg(test)]`) makes no arrow: a test may set up what it needs from wherever it is, and
//! is no part of what the module needs.

mod folders;
mod module;
mod resolve;
mod rules;
mod source;
#[cfg(test)]
mod tests;
mod visit;

pub use folders::{Folder, folders};
pub use rules::{crowded, cycles};
