//! Definitions of machines as files: reading, checking, testing, comparing, converting, importing and exporting them.
//!
//! All of it works without a server. What a definition means is decided by the engine alone: checks and tests run it.
//! Readers take text from anywhere, so each has bounds, and none panics.
//!
//! The modules, each using only those below it:
//!
//! | module | subject |
//! |---|---|
//! | [`import`], [`export`](mod@export) | definitions from and for XState, SCXML, the Amazon States Language and Mermaid |
//! | [`cases`] | tests that users write |
//! | [`run`] | one instance in memory, run by the engine |
//! | `chart` | nested states as one level of states |
//! | [`diff`](mod@diff) | what changed between two definitions |
//! | [`convert`](mod@convert) | format 1 to format 2 |
//! | [`check`](mod@check) | what is wrong with a definition |
//! | [`model`] | a definition as a tree |
//! | [`document`] | JSON and YAML with bounds |
//! | `base` | what several of these use |

mod base;
pub mod cases;
mod chart;
pub mod check;
pub mod convert;
pub mod diff;
pub mod document;
pub mod export;
pub mod import;
pub mod model;
pub mod run;

pub use base::json::pretty;
pub use base::nearest;
pub use base::problem::{Problem, Translated};
