//! The inputs that the fuzz targets begin with: those that reach the most code.

#[path = "../../../engine/tests/it/corpus.rs"]
mod corpus;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use corpus::replay;

#[test]
fn every_input_of_the_corpora_passes_its_fuzz_target() {
    replay("segment", targets::segment::take);
}
