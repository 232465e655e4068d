//! The inputs that the fuzz targets begin with: those that reach the most code.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpora_passes_its_fuzz_target() {
    replay("definition", targets::definition::take);
    replay("expression", targets::expression::take);
    replay("guard", targets::guard::take);
    replay("machine", targets::machine::take);
    replay("schema", targets::schema::take);
}

fn replay(target: &str, take: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        let path = input.unwrap().path();
        println!("{}", path.display());
        take(&fs::read(&path).unwrap());
    }
}
