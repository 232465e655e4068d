//! The inputs that the fuzz targets begin with: those that reach the most code.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "corpus.rs"]
mod corpus;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use corpus::replay;

#[test]
fn every_input_of_the_corpora_passes_its_fuzz_target() {
    replay("definition", targets::definition::take);
    replay("expression", targets::expression::take);
    replay("guard", targets::guard::take);
    replay("machine", targets::machine::take);
    replay("schema", targets::schema::take);
}
