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
//! | [`convert`](mod@convert) | format 1 to format 2 |
//! | [`check`](mod@check), [`diff`](mod@diff) | what is wrong with a definition, what changed between two |
//! | [`model`] | a definition as a tree |
//! | [`document`] | JSON and YAML with bounds |
//! | `cel`, `xml`, `json`, [`nearest`](mod@nearest), `problem` | what several of these use |

pub mod cases;
mod cel;
mod chart;
pub mod check;
pub mod convert;
pub mod diff;
pub mod document;
pub mod export;
pub mod import;
mod json;
pub mod model;
pub mod nearest;
mod problem;
pub mod run;
mod xml;

pub use json::pretty;
pub use problem::{Problem, Translated};
