//! Rules of the source tree: files and functions stay short, there is no marker for later work, links lead somewhere,
//! documents name files that are there, sibling modules do not depend on each other in a circle, and code that a
//! simulation runs has no time but the simulation's.

pub mod error;
pub mod later;
pub mod length;
pub mod links;
pub mod modules;
pub mod named;
pub mod simulated;
pub mod tree;
pub mod values;

pub use error::{Error, Result};
