//! What each fuzz target does with one input. The test `fuzz_corpus` does it with each input of the corpora.

pub mod definition;
pub mod expression;
pub mod guard;
pub mod machine;
pub mod schema;
