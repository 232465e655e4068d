//! What each fuzz target does with one input. The test `fuzz_corpus` does it with each input of the corpora.

pub mod proof;
