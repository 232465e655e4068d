//! The inputs that the fuzz target begins with: those that reach the most code.

use std::fs;
use std::path::Path;

use crate::server::peer::fuzzing;

#[test]
fn every_input_of_the_corpus_passes_the_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/peer");
    let inputs: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        let path = input.unwrap().path();
        println!("{}", path.display());
        fuzzing::take(&fs::read(&path).unwrap());
    }
}
