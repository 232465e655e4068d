//! The inputs that the fuzz targets begin with: those that reach the most code.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpora_passes_its_fuzz_target() {
    replay("decode", targets::decode::take);
    replay("json", targets::json::take);
    replay("response", targets::response::take);
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
